//! Receiving: manifests first, each judged before anything is fetched; then the objects, into a
//! hidden folder; then, when everything is verified and on disk, one rename.

use crate::chain::{Arrival, Known};
use crate::destination::{Destination, Standing};
use crate::error::{Error, ErrorKind, Result};
use crate::fetch;
use crate::letter::Opened;
use crate::office::Office;
use crate::progress::Phase;
use crate::shares::{self, ArrivedShare};
use crate::state::{LaneFolder, Lines};
use crate::unload::unload_all;
use consign_model::{ConsignmentId, KeyId, Lane, LaneName, Layout, PartyName, Timestamp};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How to receive.
#[derive(Clone, Debug, Default)]
pub struct ReceiveOptions {
    /// Only this consignment, even if it has been received before.
    pub only: Option<ConsignmentId>,
    /// Go on where consignments of the sender's chain are missing, with a notice.
    pub accept_gap: bool,
    /// Also what has been received before.
    pub again: bool,
    /// On a lane with `layout = "s3s2"`: take shares that nobody has signed, though the sender could.
    pub accept_unsigned: bool,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Received {
    /// Complete consignments, each under its final name.
    pub consignments: Vec<Arrived>,
    /// Shares of s3s2, complete and under their final names, and not signed by anybody.
    pub shares: Vec<ArrivedShare>,
    /// Consignments that were refused; nothing of them has a final name.
    pub refused: Vec<Refused>,
    /// What the person should know besides.
    pub notices: Vec<String>,
}

/// A consignment that was received.
#[derive(Clone, Debug)]
pub struct Arrived {
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
    /// The folder that holds them.
    pub path: PathBuf,
}

/// A consignment that was refused, and why.
#[derive(Debug)]
pub struct Refused {
    /// Its id.
    pub id: ConsignmentId,
    /// Why.
    pub error: Error,
}

/// Receives every complete consignment on a lane that has not been received yet.
///
/// One that is refused does not keep the others back; the error is for what concerns all of them.
/// Interrupted at any point, it leaves nothing under a final name that is not complete, and the
/// same call goes on.
pub async fn receive(
    office: &Office,
    lane: &LaneName,
    into: &Path,
    options: &ReceiveOptions,
) -> Result<Received> {
    let lane = office.lane_to_receive(lane)?;
    let mut records = Records::open(office, lane).await?;
    let destination = Destination::open(into)?;
    let mut received = Received::default();
    if !options.again {
        // What a run leaves that was killed after its last word on a consignment.
        records.known.ids().for_each(|id| destination.clean(id));
        shares::received(office, lane)?.iter().for_each(|id| destination.clean(id));
    }

    office.progress.begin(Phase::Looking, 0, 0);
    let ids = wanted(office, lane, &records.known, options).await?;
    let letters = open_letters(office, lane, ids, options, &mut received).await?;

    for opened in letters {
        let id = opened.manifest.id.clone();
        let arrival = Arrival::of(&opened.manifest, opened.digest);
        let judged = records.known.judge(&arrival, options.accept_gap);
        let taken = match judged {
            Ok(notice) => {
                received.notices.extend(notice);
                take(office, lane, &destination, &mut records, opened).await
            }
            Err(error) => Err(error),
        };
        match taken {
            Ok(arrived) => received.consignments.push(arrived),
            Err(error) if concerns_all(&error) => return Err(error),
            Err(error) => received.refused.push(Refused { id, error }),
        }
    }
    if lane.layout == Layout::S3s2 {
        shares::receive(office, lane, into, &records.folder, options, &mut received).await?;
    }
    Ok(received)
}

/// The ids to look at: all that are new, or the one that is asked for.
async fn wanted(
    office: &Office,
    lane: &Lane,
    known: &Known,
    options: &ReceiveOptions,
) -> Result<Vec<ConsignmentId>> {
    if let Some(id) = &options.only {
        let is_share = shares::is_share(office, lane, id).await?;
        return Ok(if is_share { Vec::new() } else { vec![id.clone()] });
    }
    let mut ids = fetch::ids(office, lane).await?;
    ids.retain(|id| options.again || !known.has(id));
    Ok(ids)
}

/// Opens and judges the manifests, and puts them into the order of their chains: each is judged
/// by the one before.
async fn open_letters(
    office: &Office,
    lane: &Lane,
    ids: Vec<ConsignmentId>,
    options: &ReceiveOptions,
    received: &mut Received,
) -> Result<Vec<Opened>> {
    let mut letters = Vec::new();
    for id in ids {
        match fetch::manifest(office, lane, &id).await {
            Ok(Some(opened)) => letters.push(opened),
            Ok(None) if options.only.is_some() => {
                let message = format!("there is no complete consignment {id} on this lane");
                return Err(Error::new(ErrorKind::NotFound, message));
            }
            // Still being sent, or given up: invisible.
            Ok(None) => {}
            Err(error) if concerns_all(&error) => return Err(error),
            Err(error) => received.refused.push(Refused { id, error }),
        }
    }
    letters.sort_by(|a, b| {
        let key = |opened: &Opened| (opened.manifest.chain.clone(), opened.manifest.sequence);
        key(a).cmp(&key(b)).then_with(|| a.manifest.id.cmp(&b.manifest.id))
    });
    Ok(letters)
}

/// Fetches, opens, verifies and commits one consignment.
async fn take(
    office: &Office,
    lane: &Lane,
    destination: &Destination,
    records: &mut Records,
    opened: Opened,
) -> Result<Arrived> {
    let Opened { manifest, digest, signer } = opened;
    let arrived = Arrived {
        id: manifest.id.clone(),
        sender: manifest.sender.clone(),
        signer,
        created: manifest.created,
        sequence: manifest.sequence,
        files: manifest.files.len() as u64,
        bytes: manifest.content_bytes(),
        path: destination.final_path(&manifest.id),
    };
    let arrival = Arrival::of(&manifest, digest);
    // Of the original, if it is a revision: what was complete before the readers changed still is.
    let digest = arrival.digest;
    if let Standing::Open(partial) = destination.begin(&manifest.id, &digest)? {
        office.progress.begin(Phase::Receiving, arrived.files, arrived.bytes);
        let held = Arc::clone(&records.folder);
        let partial = Some((partial, Arc::clone(&held)));
        let partial = unload_all(office, lane, &Arc::new(manifest), partial).await?;
        let partial = partial.ok_or_else(|| Error::new(ErrorKind::Bug, "a folder was lost"))?;
        office.progress.begin(Phase::Committing, arrived.files, arrived.bytes);
        let committed = tokio::task::spawn_blocking(move || {
            let _held = held;
            partial.commit(&digest)
        });
        committed.await.map_err(crate::error::join)??;
    }
    records.add(arrival)?;
    destination.clean(&arrived.id);
    Ok(arrived)
}

/// Errors that the next consignment would meet as well.
pub(crate) fn concerns_all(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Cloud
            | ErrorKind::Cancelled
            | ErrorKind::State
            | ErrorKind::Configuration
            | ErrorKind::Bug
    )
}

/// What has been received on a lane, in memory and on disk.
struct Records {
    known: Known,
    lines: Lines,
    folder: Arc<LaneFolder>,
}

impl Records {
    async fn open(office: &Office, lane: &Lane) -> Result<Records> {
        let exchange = &office.exchange.name;
        let folder = LaneFolder::hold(&office.state, exchange, &lane.name, "received").await?;
        let (lines, arrivals) = Lines::open::<Arrival>(&folder.path().join("arrivals.jsonl"))?;
        let mut known = Known::default();
        for arrival in arrivals {
            known.add(arrival);
        }
        Ok(Records { known, lines, folder })
    }

    fn add(&mut self, arrival: Arrival) -> Result<()> {
        if !self.known.has(&arrival.id) {
            self.lines.append(&arrival)?;
            self.known.add(arrival);
        }
        Ok(())
    }
}
