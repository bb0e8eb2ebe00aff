//! What s3s2 itself has put on a lane of shares: received without a signature, or refused.
//!
//! A consignment of ours lies in a folder that is called by its id, with a signed manifest. Every other
//! folder with an `s3s2_manifest.json` is a share that somebody wrote with s3s2, or wants us to believe
//! so: its manifest says nothing about who wrote it, and nothing about what came before. So shares are
//! taken only where the exchange file gives the sender no signers, which says that it cannot sign, or
//! where the caller asks for it. They are taken once each, when their trigger is there, because s3s2
//! writes the manifest anew while it goes on; and all that `consign_s3s2::collect` checks, is checked.
//!
//! A share has no id of its own. Ours for it follows from exchange, lane and folder, so that it sorts
//! among consignments, names a folder that is safe everywhere, and is the same whoever asks.

use crate::error::{Error, ErrorKind, Result};
use crate::fetch;
use crate::office::Office;
use crate::progress::Phase;
use crate::receive::{ReceiveOptions, Received, Refused, concerns_all};
use crate::show;
use crate::state::{LaneFolder, Lines, lane_path, read_lines};
use consign_model::{ConsignmentId, Lane, Layout, PartyName, RelativePath, Timestamp};
use consign_s3s2::{
    Collect, Collected, EXPANSION_MAX, MANIFEST, Store, TRIGGER, Wildcards, collect,
};
use consign_seal::s3s2::Cipher;
use consign_transfer::Cancel;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A share of s3s2 that was received. Nobody has signed it.
#[derive(Clone, Debug)]
pub struct ArrivedShare {
    /// Ours for it.
    pub id: ConsignmentId,
    /// Its folder on the lane, as s3s2 named it.
    pub share: String,
    /// Who sends on this lane; that this party wrote the share is what the lane's policies say, and
    /// nothing else does.
    pub sender: PartyName,
    /// How many files are in it.
    pub files: u64,
    /// What they have together.
    pub bytes: u64,
    /// How many of them were sealed with CAST5, as s3s2 does it.
    pub old_ciphers: u64,
    /// The folder that holds them.
    pub path: PathBuf,
}

/// A share that was received, as it is remembered.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    id: ConsignmentId,
    share: String,
}

const RECORDS: &str = "shares.jsonl";

/// Receives every complete share on the lane that has not been received yet.
pub(crate) async fn receive(
    office: &Office,
    lane: &Lane,
    into: &Path,
    folder: &Arc<LaneFolder>,
    options: &ReceiveOptions,
    received: &mut Received,
) -> Result<()> {
    let (mut lines, records) = Lines::open::<Record>(&folder.path().join(RECORDS))?;
    let known: BTreeSet<ConsignmentId> = records.into_iter().map(|record| record.id).collect();
    for (id, share) in names(office, lane).await? {
        let wanted = match &options.only {
            Some(only) => *only == id,
            None => options.again || !known.contains(&id),
        };
        let has = async |name: &str| {
            fetch::is_there(office, lane, &format!("{}{share}/{name}", lane.prefix)).await
        };
        if !wanted || !has(MANIFEST).await? {
            continue;
        }
        if !has(TRIGGER).await? {
            received.notices.push(format!(
                "the share {share} has no trigger yet: its sender has not finished, or writes none \
                 (`consign s3s2 decrypt` takes it as it is)"
            ));
            continue;
        }
        match take(office, lane, into, &id, share, options).await {
            Ok(arrived) => {
                if !known.contains(&id) {
                    lines.append(&Record { id, share: arrived.share.clone() })?;
                }
                received.shares.push(arrived);
            }
            Err(error) if concerns_all(&error) => return Err(error),
            Err(error) => received.refused.push(Refused { id, error }),
        }
    }
    Ok(())
}

/// The ids of the shares that were received on a lane.
pub(crate) fn received(office: &Office, lane: &Lane) -> Result<Vec<ConsignmentId>> {
    let folder = lane_path(&office.state, &office.exchange.name, &lane.name, "received");
    let records: Vec<Record> = read_lines(&folder.join(RECORDS))?;
    Ok(records.into_iter().map(|record| record.id).collect())
}

/// Whether this is our id of a share on the lane.
pub(crate) async fn is_share(office: &Office, lane: &Lane, id: &ConsignmentId) -> Result<bool> {
    Ok(lane.layout == Layout::S3s2
        && names(office, lane).await?.iter().any(|(share, _)| share == id))
}

/// Why there is no signed manifest of this id.
pub(crate) async fn absent(office: &Office, lane: &Lane, id: &ConsignmentId) -> Error {
    match is_share(office, lane, id).await {
        Ok(false) => show::absent(lane, id),
        Ok(true) => {
            let message = format!(
                "{id} is a share of s3s2: nobody has signed it, so there is nothing to show or verify \
                 that the sender has said"
            );
            Error::new(ErrorKind::NotFound, message)
                .hinting(format!("consign receive --lane {} takes it", lane.name))
        }
        Err(error) => error,
    }
}

/// Our id of a share.
pub(crate) fn id(office: &Office, lane: &Lane, share: &str) -> ConsignmentId {
    let mut hasher = blake3::Hasher::new();
    for part in ["consign-share/1", office.exchange.name.as_str(), lane.name.as_str(), share] {
        hasher.update(part.as_bytes()).update(b"\0");
    }
    let mut random = [0; 16];
    random.copy_from_slice(hasher.finalize().as_bytes().get(..16).unwrap_or(&[0; 16]));
    ConsignmentId::from_parts(moment(share), u128::from_le_bytes(random))
}

/// The names of the shares on the lane, by their ids.
async fn names(office: &Office, lane: &Lane) -> Result<Vec<(ConsignmentId, String)>> {
    let folders = fetch::folders(office, lane).await?;
    let mut names: Vec<_> = folders
        .into_iter()
        .filter(|folder| is_name(folder))
        .map(|folder| (id(office, lane, &folder), folder))
        .collect();
    names.sort();
    Ok(names)
}

/// Whether a folder may be a share's: not a consignment's, and safe to show.
pub(crate) fn is_name(folder: &str) -> bool {
    ConsignmentId::parse(folder).is_err() && RelativePath::parse(folder).is_ok()
}

/// When it was made, in milliseconds, as its name says (`…_s3s2_20260131120000_0`); 0 if it does not.
fn moment(share: &str) -> u64 {
    let digits = share.rsplit_once("_s3s2_").map_or("", |(_, rest)| rest).get(..14);
    let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let moment = digits.and_then(|digits| {
        let part = |from, to| digits.get(from..to).unwrap_or_default();
        let (year, month, day) = (part(0, 4), part(4, 6), part(6, 8));
        let (hour, minute, second) = (part(8, 10), part(10, 12), part(12, 14));
        Timestamp::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")).ok()
    });
    let seconds = moment.map_or(0, |moment| u64::try_from(moment.unix_seconds()).unwrap_or(0));
    seconds.saturating_mul(1000)
}

async fn take(
    office: &Office,
    lane: &Lane,
    into: &Path,
    id: &ConsignmentId,
    share: String,
    options: &ReceiveOptions,
) -> Result<ArrivedShare> {
    let sender = office.exchange.party(&lane.from);
    if sender.is_some_and(|sender| !sender.signers.is_empty()) && !options.accept_unsigned {
        let message = format!(
            "the share {share} is not signed, and `{}` has signers in the exchange file: whoever may \
             write to the bucket could have made it",
            lane.from
        );
        return Err(Error::new(ErrorKind::Signature, message)
            .hinting("if the sender says that it used s3s2, receive with --accept-unsigned"));
    }
    office.progress.begin(Phase::Receiving, 0, 0);
    let (store, cancel) = store(office, lane);
    let options = Collect {
        file: format!("{}{share}/{MANIFEST}", lane.prefix),
        organization: None,
        into: into.to_owned(),
        own_folder: Some(id.to_string()),
        keys: Arc::clone(&office.keys.s3s2_secret),
        filter: Wildcards::parse(""),
        parallelism: crate::shipment::OBJECTS_AT_ONCE,
        expansion_max: EXPANSION_MAX,
        trigger_required: true,
    };
    let mut collecting = Box::pin(collect(&store, &options));
    let collected: Collected = tokio::select! {
        collected = &mut collecting => collected?,
        how = office.cancel.cancelled() => {
            cancel.cancel(how);
            collecting.await?
        }
    };
    let old = collected.files.iter().filter(|file| file.cipher == Cipher::Cast5);
    Ok(ArrivedShare {
        id: id.clone(),
        share,
        sender: lane.from.clone(),
        files: collected.files.len() as u64,
        bytes: collected.files.iter().map(|file| file.bytes).sum(),
        old_ciphers: old.count() as u64,
        path: collected.folder,
    })
}

/// The lane's bucket; and what stops this share alone, because one that fails stops its own transfers.
fn store(office: &Office, lane: &Lane) -> (Store, Cancel) {
    let cancel = Cancel::new();
    let store = Store {
        s3: office.cloud.s3().clone(),
        engine: office.engine.clone(),
        bucket: lane.bucket.to_string(),
        owner: office.owner_of(lane),
        kms_key: None,
        cancel: cancel.clone(),
        progress: Arc::new(consign_transfer::Silent),
    };
    (store, cancel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_when_a_share_was_made() {
        assert_eq!(moment("clinical_s3s2_19700101000001_0"), 1000);
        assert_eq!(moment("a_s3s2_b_s3s2_20260131120000_12"), 1_769_860_800_000);
        for none in
            ["", "clinical", "x_s3s2_2026", "x_s3s2_20261331120000_0", "x_s3s2_２０２６0131"]
        {
            assert_eq!(moment(none), 0, "{none}");
        }
    }

    #[test]
    fn folders_that_cannot_be_shares_are_passed_over() {
        assert!(is_name("clinical_s3s2_20260131120000_0"));
        for not in ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "..", "", "a\u{1b}[31m", "NUL"] {
            assert!(!is_name(not), "{not:?}");
        }
    }
}
