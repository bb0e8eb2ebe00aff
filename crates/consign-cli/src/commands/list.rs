//! `consign list`: the consignments on one lane, or on every lane of the party.

use std::sync::Arc;

use consign::ListedAs;
use consign_model::LaneName;

use crate::args::LaneArgs;
use crate::error::CommandError;
use crate::office::{self, Side};
use crate::progress::Bar;
use crate::settings::Settings;
use crate::terminal::{Terminal, bytes, escape, table};

/// Lists.
pub(crate) async fn run(
    args: &LaneArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let exchange = settings.exchange()?;
    let (lane, party): (Option<LaneName>, _) = match &args.lane {
        Some(lane) => {
            let (lane, party) = office::lane_and_party(&exchange, settings, lane, Side::Either)?;
            (Some(lane), party)
        }
        None => (None, office::party(&exchange, settings)?),
    };
    let bar = Arc::new(Bar::new(terminal));
    let office = office::open(settings, exchange, party, bar).await?;
    let listed = consign::list(&office, lane.as_ref()).await?;
    let rows: Vec<Vec<String>> = listed
        .iter()
        .map(|one| {
            vec![
                one.id.to_string(),
                one.lane.to_string(),
                one.created.to_string(),
                bytes(one.sealed_bytes),
                match &one.share {
                    Some(share) => {
                        format!("{}, not signed: {}", standing(one.standing), escape(share))
                    }
                    None => standing(one.standing).to_owned(),
                },
            ]
        })
        .collect();
    let view: Vec<_> = listed
        .iter()
        .map(|one| {
            serde_json::json!({
                "id": one.id.to_string(),
                "lane": one.lane.to_string(),
                "created": one.created.to_string(),
                "objects": one.objects,
                "sealed_bytes": one.sealed_bytes,
                "standing": standing(one.standing),
                "share": one.share,
            })
        })
        .collect();
    terminal.result(&view, &table(&["ID", "LANE", "CREATED", "SEALED", "STANDING"], &rows))
}

fn standing(standing: ListedAs) -> &'static str {
    match standing {
        ListedAs::Sent => "sent",
        ListedAs::Sending => "sending",
        ListedAs::Waiting => "waiting",
        ListedAs::Received => "received",
        ListedAs::Incomplete => "incomplete",
        _ => "unknown",
    }
}
