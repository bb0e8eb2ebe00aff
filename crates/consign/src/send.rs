//! Sending: survey, seal and upload every object, then the signed manifest. Until the manifest is
//! there, a receiver sees nothing.

use crate::chain::Head;
use crate::error::{Error, ErrorKind, Result};
use crate::layout;
use crate::letter::{self, Letter};
use crate::office::{Office, manifest_names};
use crate::outgoing::{Order, Outbox, Outgoing, Shipped};
use crate::plan::{Planned, check_single_puts, plan};
use crate::progress::Phase;
use crate::sealed_file::InMemory;
use crate::seals::{Metadata, sealing};
use crate::shipment;
use crate::state::LaneFolder;
use crate::survey::{Found, Skipped, Survey, survey};
use consign_model::{
    ChainId, ConsignmentId, Digest, FORMAT, Lane, LaneName, Limits, Manifest, ManifestFile,
};
use consign_s3s2::{MANIFEST, TRIGGER};
use consign_transfer::UploadJournal;
use std::path::PathBuf;
use std::sync::Arc;

/// How to send.
#[derive(Clone, Debug, Default)]
pub struct SendOptions {
    /// Names of files that are put before all others, on a lane with `layout = "s3s2"`.
    pub metadata_files: Vec<String>,
}

/// A consignment that was delivered.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its id.
    pub id: ConsignmentId,
    /// Its place in our chain on the lane.
    pub sequence: u64,
    /// How many files are in it.
    pub files: u64,
    /// What they have together.
    pub bytes: u64,
    /// How many objects hold them.
    pub objects: u64,
    /// What the objects have together in the bucket.
    pub sealed_bytes: u64,
    /// Whether an earlier run had begun it.
    pub resumed: bool,
    /// What lies below the given paths and was not sent.
    pub skipped: Vec<Skipped>,
    /// What the person should know besides.
    pub notices: Vec<String>,
}

/// Sends everything below these paths on a lane as one consignment.
///
/// Interrupted at any point (an error, a kill, the future dropped), it leaves the consignment
/// invisible and the state to go on from: the same call with unchanged files continues it. When
/// the caller has passed the result on it calls [`reported`]; until then the same call answers
/// with the same consignment, because whoever asks again has not heard of it.
pub async fn send(
    office: &Office,
    lane: &LaneName,
    paths: &[PathBuf],
    options: &SendOptions,
) -> Result<Sent> {
    let lane = office.lane_to_send(lane)?;
    letter::signing_key(office, lane)?;
    let outbox = open_outbox(office, lane).await?;
    let mut notices = Vec::new();

    office.progress.begin(Phase::Surveying, 0, 0);
    let survey = Arc::new(survey_on_a_thread(paths).await?);
    check_single_puts(lane, &survey)?;
    let first = layout::first(lane, &survey, &options.metadata_files)?;
    let order = new_order(office, lane, &survey)?;
    layout::check_keys(lane, &order.id, &survey)?;
    let (outgoing, resumed) = match settle(office, lane, &outbox, &order, &mut notices).await? {
        Settled::Delivered(manifest) => return Ok(sent(&manifest, &survey, true, notices)),
        Settled::Resume(order) => (outbox.open(&order)?, true),
        Settled::Begin => (outbox.open(&order)?, false),
    };

    let outgoing = Arc::new(outgoing);
    let planned = plan(&survey, lane.seal, lane.layout)?;
    let (_, sealing) = sealing(office, lane)?;
    office.progress.begin(Phase::Sending, survey.files.len() as u64, survey.content_bytes());
    let shipped =
        shipment::ship_all(office, lane, &sealing, &survey, &planned, &first, &outgoing).await;
    let shipped = forget_if_changed(office, &outbox, shipped).await?;

    office.progress.begin(Phase::Committing, survey.files.len() as u64, survey.content_bytes());
    let manifest =
        new_manifest(office, lane, &outbox, &outgoing.order, &survey, &planned, shipped)?;
    let share = layout::share(lane, &manifest, &first)?;
    outgoing.decide(&Letter { share, ..letter::write(office, lane, &manifest).await? })?;
    deliver(office, lane, &outbox, &outgoing).await?;
    Ok(sent(&manifest, &survey, resumed, notices))
}

/// What [`send()`] would send.
#[derive(Clone, Debug)]
pub struct Preview {
    /// How many files there are.
    pub files: u64,
    /// What they have together.
    pub bytes: u64,
    /// How many objects would hold them.
    pub objects: u64,
    /// What lies below the given paths and would not be sent.
    pub skipped: Vec<Skipped>,
}

/// Looks at what [`send()`] would send, with all the checks that need no connection.
pub async fn preview(office: &Office, lane: &LaneName, paths: &[PathBuf]) -> Result<Preview> {
    let lane = office.lane_to_send(lane)?;
    letter::signing_key(office, lane)?;
    office.progress.begin(Phase::Surveying, 0, 0);
    let survey = survey_on_a_thread(paths).await?;
    check_single_puts(lane, &survey)?;
    let planned = plan(&survey, lane.seal, lane.layout)?;
    Ok(Preview {
        files: survey.files.len() as u64,
        bytes: survey.content_bytes(),
        objects: planned.len() as u64,
        skipped: survey.skipped,
    })
}

/// Notes that whoever asked for a consignment knows that it was delivered: from now on the same
/// files are a new consignment.
pub async fn reported(office: &Office, lane: &LaneName, sent: &Sent) -> Result<()> {
    let lane = office.lane_to_send(lane)?;
    open_outbox(office, lane).await?.reported(&sent.id)
}

/// Gives up the consignment that an interrupted send left on a lane, and aborts its uploads. A
/// consignment whose manifest was made already is delivered instead; it cannot be taken back.
pub async fn abandon(office: &Office, lane: &LaneName) -> Result<Option<ConsignmentId>> {
    let lane = office.lane_to_send(lane)?;
    let outbox = open_outbox(office, lane).await?;
    let Some(order) = outbox.unfinished()? else { return Ok(None) };
    let outgoing = outbox.open(&order)?;
    if outgoing.decided()?.is_some() {
        let manifest = deliver(office, lane, &outbox, &outgoing).await?;
        let message = format!("{} was complete already, and has been delivered", manifest.id);
        return Err(Error::new(ErrorKind::State, message));
    }
    drop(outgoing);
    give_up(office, &outbox).await?;
    Ok(Some(order.id))
}

async fn open_outbox(office: &Office, lane: &Lane) -> Result<Outbox> {
    let exchange = &office.exchange.name;
    Ok(Outbox::new(LaneFolder::hold(&office.state, exchange, &lane.name, "sent").await?))
}

async fn survey_on_a_thread(paths: &[PathBuf]) -> Result<Survey> {
    let paths = paths.to_vec();
    tokio::task::spawn_blocking(move || survey(&paths)).await.map_err(crate::error::join)?
}

fn new_order(office: &Office, lane: &Lane, survey: &Survey) -> Result<Order> {
    let (addressees, _) = sealing(office, lane)?;
    let mut terms = blake3::Hasher::new();
    terms.update(&office.exchange.digest());
    terms.update(lane.name.as_str().as_bytes());
    if let Some(origin) = office.customer_key_origin(lane)? {
        terms.update(origin.secret.as_bytes());
    }
    for key in addressees.iter().flat_map(|addressee| &addressee.key_ids) {
        terms.update(b"\0").update(key.as_str().as_bytes());
    }
    Ok(Order {
        id: ConsignmentId::from_parts(office.now_ms(), (office.dice)()),
        survey: Digest::from(*survey.fingerprint().as_bytes()),
        terms: Digest::from(*terms.finalize().as_bytes()),
    })
}

/// What an earlier, interrupted run comes to.
enum Settled {
    /// It was this very send, and at most its manifest had to be put.
    Delivered(Box<Manifest>),
    /// It was this very send: go on with it.
    Resume(Order),
    /// There is nothing (any more) to go on with.
    Begin,
}

async fn settle(
    office: &Office,
    lane: &Lane,
    outbox: &Outbox,
    order: &Order,
    notices: &mut Vec<String>,
) -> Result<Settled> {
    let Some(unfinished) = outbox.unfinished()? else {
        let unreported = outbox.unreported(order)?;
        return Ok(
            unreported.map_or(Settled::Begin, |manifest| Settled::Delivered(Box::new(manifest)))
        );
    };
    let same = unfinished.same_as(order);
    let outgoing = outbox.open(&unfinished)?;
    if outgoing.decided()?.is_some() {
        let manifest = deliver(office, lane, outbox, &outgoing).await?;
        if same {
            return Ok(Settled::Delivered(Box::new(manifest)));
        }
        notices
            .push(format!("delivered {} first, which an earlier run had completed", manifest.id));
        return Ok(Settled::Begin);
    }
    if same {
        return Ok(Settled::Resume(unfinished));
    }
    drop(outgoing);
    give_up(office, outbox).await?;
    notices.push(format!(
        "gave up {}, which an earlier run had begun with other files, keys or exchange file",
        unfinished.id
    ));
    Ok(Settled::Begin)
}

/// Aborts what is under way, so that no part of it lingers in the bucket.
async fn give_up(office: &Office, outbox: &Outbox) -> Result<()> {
    for path in outbox.upload_journals()? {
        let failed = |e| Error::new(ErrorKind::Cloud, "cannot abort an upload").because(e);
        let mut journal = UploadJournal::open(&path).map_err(failed)?;
        let abandoning = office.engine.abandon(office.cloud.s3(), &mut journal);
        Box::pin(abandoning).await.map_err(failed)?;
    }
    outbox.forget()
}

/// What was begun over other content can never be completed: the next run begins anew.
async fn forget_if_changed<T>(office: &Office, outbox: &Outbox, result: Result<T>) -> Result<T> {
    match result {
        Err(error) if error.kind() == ErrorKind::SourceChanged => {
            // The change is what the person must hear of; leftovers expire by themselves.
            let _ = give_up(office, outbox).await;
            Err(error)
        }
        result => result,
    }
}

fn new_manifest(
    office: &Office,
    lane: &Lane,
    outbox: &Outbox,
    order: &Order,
    survey: &Survey,
    planned: &[Planned],
    shipped: Vec<Shipped>,
) -> Result<Manifest> {
    let head = outbox.head()?.unwrap_or_else(|| Head {
        chain: ChainId::from_parts(office.now_ms(), (office.dice)()),
        sequence: 0,
        digest: None,
    });
    let mut files: Vec<(usize, ManifestFile)> = Vec::new();
    for (planned, shipped) in planned.iter().zip(&shipped) {
        for (n, (index, digest)) in planned.files.iter().zip(&shipped.digests).enumerate() {
            let found = survey.files.get(*index).ok_or_else(|| lost(planned))?;
            files.push((*index, manifest_file(found, *digest, planned, n)?));
        }
    }
    files.sort_by_key(|(index, _)| *index);
    if files.len() != survey.files.len() {
        return Err(Error::new(ErrorKind::Bug, "a file was lost between survey and manifest"));
    }
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        id: order.id.clone(),
        exchange: office.exchange.name.clone(),
        lane: lane.name.clone(),
        sender: office.me.clone(),
        recipients: sealing(office, lane)?.0,
        created: office.now(),
        chain: head.chain,
        sequence: head.sequence + 1,
        previous: head.digest,
        revision: None,
        files: files.into_iter().map(|(_, file)| file).collect(),
        objects: shipped.into_iter().map(|shipped| shipped.object).collect(),
    };
    // What a receiver would refuse is not sent: names that collide, mostly.
    manifest.check(&Limits::default()).map_err(|error| {
        Error::new(ErrorKind::Source, "a receiver would refuse these files").because(error)
    })?;
    Ok(manifest)
}

fn manifest_file(
    found: &Found,
    digest: Digest,
    planned: &Planned,
    entry: usize,
) -> Result<ManifestFile> {
    let entry = u32::try_from(entry).map_err(|_| lost(planned))?;
    Ok(ManifestFile {
        path: found.path.clone(),
        size: found.size,
        mtime: found.mtime,
        executable: found.executable,
        blake3: digest,
        object: planned.name.clone(),
        entry: planned.name.is_pack().then_some(entry),
    })
}

fn lost(planned: &Planned) -> Error {
    Error::new(ErrorKind::Bug, format!("{} is not as it was planned", planned.name))
}

/// Puts the signature and then the manifest of a decided consignment; on a lane of shares what s3s2 waits
/// for comes last.
async fn deliver(
    office: &Office,
    lane: &Lane,
    outbox: &Outbox,
    outgoing: &Outgoing,
) -> Result<Manifest> {
    let Some((letter, manifest)) = outgoing.decided()? else {
        return Err(Error::new(ErrorKind::Bug, "a consignment is delivered before it is decided"));
    };
    let (manifest_name, signature_name) = manifest_names(lane);
    let signature = (signature_name, letter.signature, letter.beside.signature);
    let mut objects = vec![signature, (manifest_name, letter.manifest, letter.beside.manifest)];
    if let Some(share) = letter.share {
        objects.push((MANIFEST.to_owned(), share, Metadata::new()));
        objects.push((TRIGGER.to_owned(), Vec::new(), Metadata::new()));
    }
    for (name, bytes, metadata) in objects {
        let source = Arc::new(InMemory::new(bytes)?);
        shipment::upload(office, lane, outgoing, &name, metadata, source, 0).await?;
    }
    outbox.delivered(&letter.plain, &manifest, &outgoing.order)?;
    Ok(manifest)
}

fn sent(manifest: &Manifest, survey: &Survey, resumed: bool, notices: Vec<String>) -> Sent {
    Sent {
        id: manifest.id.clone(),
        sequence: manifest.sequence,
        files: manifest.files.len() as u64,
        bytes: manifest.content_bytes(),
        objects: manifest.objects.len() as u64,
        sealed_bytes: manifest.sealed_bytes(),
        resumed,
        skipped: survey.skipped.clone(),
        notices,
    }
}
