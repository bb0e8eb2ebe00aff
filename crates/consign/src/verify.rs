//! Checking a consignment where it lies: everything is fetched, opened and compared with the
//! signed manifest, and nothing is kept.

use crate::chain::{Arrival, Known};
use crate::error::Result;
use crate::fetch;
use crate::letter::Opened;
use crate::office::Office;
use crate::progress::Phase;
use crate::shares;
use crate::state::{lane_path, read_lines};
use crate::unload::unload_all;
use consign_model::{ConsignmentId, KeyId, LaneName, PartyName, Timestamp};
use std::sync::Arc;

/// A consignment that is whole, and what is known of it.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Its id.
    pub id: ConsignmentId,
    /// Who sent it.
    pub sender: PartyName,
    /// Which of the sender's keys signed it.
    pub signer: KeyId,
    /// When it was made, by the sender's clock.
    pub created: Timestamp,
    /// Its place in the sender's chain.
    pub sequence: u64,
    /// How many files are in it.
    pub files: u64,
    /// What they have together.
    pub bytes: u64,
    /// What the person should know besides.
    pub notices: Vec<String>,
}

/// Verifies a consignment without keeping anything of it.
pub async fn verify(office: &Office, lane: &LaneName, id: &ConsignmentId) -> Result<Verified> {
    let lane = office.lane_to_receive(lane)?;
    office.progress.begin(Phase::Looking, 0, 0);
    let Some(opened) = fetch::manifest(office, lane, id).await? else {
        return Err(shares::absent(office, lane, id).await);
    };
    let Opened { manifest, digest, signer } = opened;

    let folder = lane_path(&office.state, &office.exchange.name, &lane.name, "received");
    let mut known = Known::default();
    for arrival in read_lines::<Arrival>(&folder.join("arrivals.jsonl"))? {
        known.add(arrival);
    }
    let notice = known.judge(&Arrival::of(&manifest, digest), true)?;

    let verified = Verified {
        id: manifest.id.clone(),
        sender: manifest.sender.clone(),
        signer,
        created: manifest.created,
        sequence: manifest.sequence,
        files: manifest.files.len() as u64,
        bytes: manifest.content_bytes(),
        notices: notice.into_iter().collect(),
    };
    office.progress.begin(Phase::Receiving, verified.files, verified.bytes);
    unload_all(office, lane, &Arc::new(manifest), None).await?;
    Ok(verified)
}
