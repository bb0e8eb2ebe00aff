//! Finds the lane of a consignment that was named by its id alone.

use std::sync::Arc;

use consign::Office;
use consign_model::{ConsignmentId, LaneName};

use crate::error::{CommandError, Kind};
use crate::office::{self, Side};
use crate::progress::Bar;
use crate::settings::Settings;

/// The office and the lane for a consignment: those of `lane`, or of the lane on which the id is
/// listed.
pub(crate) async fn consignment(
    settings: &Settings,
    lane: Option<&str>,
    id: &ConsignmentId,
    progress: Arc<Bar>,
) -> Result<(Office, LaneName), CommandError> {
    let exchange = settings.exchange()?;
    if let Some(lane) = lane {
        let (lane, party) = office::lane_and_party(&exchange, settings, lane, Side::Receiver)?;
        return Ok((office::open(settings, exchange, party, progress).await?, lane));
    }
    let party = office::party(&exchange, settings)?;
    let office = office::open(settings, exchange, party, progress).await?;
    let listed = consign::list(&office, None).await?;
    let lane = listed.into_iter().find(|one| one.id == *id).map(|one| one.lane);
    let lane = lane.ok_or_else(|| {
        CommandError::new(Kind::NotFound, format!("there is no consignment {id} on your lanes"))
            .hint("consign list")
    })?;
    Ok((office, lane))
}
