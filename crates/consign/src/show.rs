//! What is in one consignment.

use crate::error::{Error, ErrorKind, Result};
use crate::fetch;
use crate::office::Office;
use crate::shares;
use crate::state::{lane_path, read};
use consign_model::{ConsignmentId, Digest, KeyId, Lane, LaneName, Limits, Manifest};

/// A consignment's manifest, opened and judged.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What the sender says it sent.
    pub manifest: Manifest,
    /// BLAKE3 of the manifest's bytes.
    pub digest: Digest,
    /// Which of the sender's keys signed it; none for what we sent ourselves.
    pub signer: Option<KeyId>,
}

/// Shows a consignment: one that was sent to us from the bucket, its signature checked; one that
/// we sent from our own records.
pub async fn show(office: &Office, lane: &LaneName, id: &ConsignmentId) -> Result<Shown> {
    let found = office.exchange.require_lane(lane)?;
    if found.from == office.me {
        return sent(office, found, id);
    }
    let lane = office.lane_to_receive(lane)?;
    let Some(opened) = fetch::manifest(office, lane, id).await? else {
        return Err(shares::absent(office, lane, id).await);
    };
    Ok(Shown { manifest: opened.manifest, digest: opened.digest, signer: Some(opened.signer) })
}

fn sent(office: &Office, lane: &Lane, id: &ConsignmentId) -> Result<Shown> {
    let folder = lane_path(&office.state, &office.exchange.name, &lane.name, "sent");
    let path = folder.join("delivered").join(format!("{id}.json"));
    let bytes = read(&path)?.ok_or_else(|| absent(lane, id))?;
    let manifest = Manifest::parse(&bytes, &Limits::default()).map_err(|error| {
        Error::new(ErrorKind::State, format!("the record {} is damaged", path.display()))
            .because(error)
    })?;
    Ok(Shown { manifest, digest: Digest::of(&bytes), signer: None })
}

pub(crate) fn absent(lane: &Lane, id: &ConsignmentId) -> Error {
    let message = format!("there is no complete consignment {id} on lane `{}`", lane.name);
    Error::new(ErrorKind::NotFound, message).hinting(format!("consign list --lane {}", lane.name))
}
