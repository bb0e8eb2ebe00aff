//! What there is on a lane, as far as this party can see it: what it was sent, from the bucket;
//! what it sent, from its own records, because a sender may not list its lane.

use crate::chain::Arrival;
use crate::error::Result;
use crate::fetch;
use crate::office::{Office, manifest_names};
use crate::state::{lane_path, read_json, read_lines};
use consign_model::{ConsignmentId, Lane, LaneName, Manifest, Timestamp, revision_of};
use std::collections::BTreeSet;

/// A consignment in a list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its id.
    pub id: ConsignmentId,
    /// The lane it is on.
    pub lane: LaneName,
    /// What has become of it.
    pub standing: ListedAs,
    /// When it was made: by its id, or by its manifest where that is at hand.
    pub created: Timestamp,
    /// What its objects have together in the bucket.
    pub sealed_bytes: u64,
    /// How many objects it has, without manifest and signature.
    pub objects: u64,
}

/// What has become of a consignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListedAs {
    /// We sent it.
    Sent,
    /// We are sending it, or were interrupted.
    Sending,
    /// It is complete and waits for us.
    Waiting,
    /// We received it.
    Received,
    /// It is not complete: still being sent, or given up.
    Incomplete,
}

/// Lists the consignments on one lane, or on every lane this party has a part in; newest last.
pub async fn list(office: &Office, lane: Option<&LaneName>) -> Result<Vec<Listed>> {
    let mut listed = Vec::new();
    for (name, its) in &office.exchange.lanes {
        if lane.is_some_and(|lane| lane != name) {
            continue;
        }
        if its.from == office.me {
            listed.extend(sent(office, its)?);
        }
        if its.to.contains(&office.me) {
            listed.extend(incoming(office, its).await?);
        }
    }
    if let Some(lane) = lane {
        office.exchange.require_lane(lane)?;
    }
    listed.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(listed)
}

/// The manifests of what we sent on a lane, by our own records.
pub(crate) fn delivered(office: &Office, lane: &Lane) -> Result<Vec<Manifest>> {
    let folder = lane_path(&office.state, &office.exchange.name, &lane.name, "sent");
    let entries = std::fs::read_dir(folder.join("delivered")).into_iter().flatten();
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let manifests = paths.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    manifests.filter_map(|path| read_json(&path).transpose()).collect()
}

/// What we sent and are sending on a lane.
fn sent(office: &Office, lane: &Lane) -> Result<Vec<Listed>> {
    let folder = lane_path(&office.state, &office.exchange.name, &lane.name, "sent");
    let mut listed = Vec::new();
    for manifest in delivered(office, lane)? {
        listed.push(Listed {
            lane: lane.name.clone(),
            standing: ListedAs::Sent,
            created: manifest.created,
            sealed_bytes: manifest.sealed_bytes(),
            objects: manifest.objects.len() as u64,
            id: manifest.id,
        });
    }
    let order = folder.join("outgoing").join("order.json");
    if let Some(order) = read_json::<crate::outgoing::Order>(&order)? {
        listed.push(Listed {
            lane: lane.name.clone(),
            standing: ListedAs::Sending,
            created: Timestamp::from_unix_ms(order.id.timestamp_ms()),
            sealed_bytes: 0,
            objects: 0,
            id: order.id,
        });
    }
    Ok(listed)
}

async fn incoming(office: &Office, lane: &Lane) -> Result<Vec<Listed>> {
    let folder = lane_path(&office.state, &office.exchange.name, &lane.name, "received");
    let arrivals: Vec<Arrival> = read_lines(&folder.join("arrivals.jsonl"))?;
    let arrived: BTreeSet<ConsignmentId> = arrivals.into_iter().map(|a| a.id).collect();
    let (manifest, signature) = manifest_names(lane);
    let mut listed = Vec::new();
    for (id, objects) in fetch::objects(office, lane).await? {
        let places = objects.iter().map(|(place, bytes)| (revision_of(place), *bytes));
        let complete = places.clone().filter(|((_, name), _)| *name == manifest);
        let newest = complete.map(|((number, _), _)| number).max();
        let content = places.filter(|((number, name), _)| {
            *number == newest.unwrap_or(0) && *name != manifest && *name != signature
        });
        listed.push(Listed {
            lane: lane.name.clone(),
            standing: match (arrived.contains(&id), newest) {
                (true, _) => ListedAs::Received,
                (false, Some(_)) => ListedAs::Waiting,
                (false, None) => ListedAs::Incomplete,
            },
            created: Timestamp::from_unix_ms(id.timestamp_ms()),
            sealed_bytes: content.clone().map(|(_, bytes)| bytes).sum(),
            objects: content.count() as u64,
            id,
        });
    }
    Ok(listed)
}
