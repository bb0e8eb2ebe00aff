//! What there is on a lane, as far as this party can see it: what it was sent, from the bucket;
//! what it sent, from its own records, because a sender may not list its lane.

use crate::chain::Arrival;
use crate::error::Result;
use crate::fetch;
use crate::layout;
use crate::office::{Office, manifest_names};
use crate::shares;
use crate::state::{lane_path, read_json, read_lines};
use consign_model::{ConsignmentId, Lane, LaneName, Layout, Manifest, Timestamp, revision_of};
use consign_s3s2::{MANIFEST, TRIGGER};
use std::collections::BTreeSet;

/// A consignment in a list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its id.
    pub id: ConsignmentId,
    /// The lane it is on.
    pub lane: LaneName,
    /// Its folder, for a share that s3s2 wrote and nobody signed; none for a consignment.
    pub share: Option<String>,
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
            share: None,
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
            share: None,
            standing: ListedAs::Sending,
            created: Timestamp::from_unix_ms(order.id.timestamp_ms()),
            sealed_bytes: 0,
            objects: 0,
            id: order.id,
        });
    }
    Ok(listed)
}

/// The revision that an object belongs to, and its name in it. Shares of s3s2 have none: there, a folder
/// is the sender's.
fn revision_on<'a>(lane: &Lane, place: &'a str) -> (u32, &'a str) {
    match lane.layout {
        Layout::Consign => revision_of(place),
        Layout::S3s2 => (0, place),
    }
}

async fn incoming(office: &Office, lane: &Lane) -> Result<Vec<Listed>> {
    let folder = lane_path(&office.state, &office.exchange.name, &lane.name, "received");
    let arrivals: Vec<Arrival> = read_lines(&folder.join("arrivals.jsonl"))?;
    let mut arrived: BTreeSet<ConsignmentId> = arrivals.into_iter().map(|a| a.id).collect();
    arrived.extend(shares::received(office, lane)?);
    let (manifest, _) = manifest_names(lane);
    let mut listed = Vec::new();
    for (folder, objects) in fetch::objects(office, lane).await? {
        let places = objects.iter().map(|(place, bytes)| (revision_on(lane, place), *bytes));
        let has = |wanted: &str| objects.iter().any(|(name, _)| name == wanted);
        let complete = places.clone().filter(|((_, name), _)| *name == manifest);
        let newest = complete.map(|((number, _), _)| number).max();
        let (id, share, complete) = match ConsignmentId::parse(&folder) {
            Ok(id) => (id, None, newest.is_some()),
            Err(_) if lane.layout == Layout::S3s2 && shares::is_name(&folder) && has(MANIFEST) => {
                (shares::id(office, lane, &folder), Some(folder), has(TRIGGER))
            }
            // Whatever has another name is not ours to judge.
            Err(_) => continue,
        };
        let content = places.filter(|((number, name), _)| {
            *number == newest.unwrap_or(0) && layout::is_content(lane, name)
        });
        listed.push(Listed {
            lane: lane.name.clone(),
            share,
            standing: match (arrived.contains(&id), complete) {
                (true, _) => ListedAs::Received,
                (false, true) => ListedAs::Waiting,
                (false, false) => ListedAs::Incomplete,
            },
            created: Timestamp::from_unix_ms(id.timestamp_ms()),
            sealed_bytes: content.clone().map(|(_, bytes)| bytes).sum(),
            objects: content.count() as u64,
            id,
        });
    }
    Ok(listed)
}
