//! Changing who reads what lies on a lane already: for each consignment a *revision*, the same files
//! sealed for other readers. No content is opened, and little of it is downloaded.
//!
//! An age file is a header, which wraps its key for each reader, and content that knows nothing of
//! them. So a revision's objects are new headers before the old content, which S3 copies itself
//! (`rewrap/graft.rs`); then comes its manifest, signed by the sender as every manifest is. A revision
//! lies in a folder of its own beside the version before it, and is there when its manifest is; then
//! the versions before it are removed, manifests first (`rewrap/older.rs`). So at any moment, killed
//! at any point, a receiver finds one whole version, and the same call goes on where it stopped.
//!
//! Who can: the lane's sender, because the manifest that names the readers carries its signature; if
//! it reads the lane itself (`seal_to_sender`), because a header is written with the file's key; with
//! credentials that may get, put and delete there, as nobody may on an open lane: see `Maintenance` of
//! the provisioning. What removing a reader is worth, and what not: docs/decisions/0018-revisions.md.

mod graft;
mod journal;
mod older;
mod readers;

use crate::error::{Error, ErrorKind, Result};
use crate::fetch;
use crate::letter::{self, Opened};
use crate::office::{Office, key, manifest_names};
use crate::progress::Phase;
use crate::receive::{Refused, concerns_all};
use crate::seals::Sealing;
use crate::shipment::OBJECTS_AT_ONCE;
use crate::state::{LaneFolder, lane_path, private_folder, write};
use consign_cloud::s3::{Body, PutDone, PutObject};
use consign_model::{
    ConsignmentId, Keyring, Lane, LaneName, Limits, Manifest, ManifestObject, PartyName, Revision,
    Seal, revised_place,
};
use consign_transfer::Crc64;
use graft::Grafting;
use journal::Journal;
use readers::Readers;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Whom to add and remove.
#[derive(Clone, Debug, Default)]
pub struct RewrapOptions {
    /// Only these consignments; all of the lane if there are none.
    pub only: Vec<ConsignmentId>,
    /// Readers to add, whom the lane names. With nobody to add or remove, a consignment's readers
    /// become those that the lane names, with the keys that they have now.
    pub add: Vec<PartyName>,
    /// Readers to remove, whom the lane does not name any more.
    pub remove: Vec<PartyName>,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Rewrapped {
    /// Consignments that have other readers now, or would have.
    pub revised: Vec<Revised>,
    /// How many had the right readers.
    pub right: u64,
    /// Consignments that were refused; each is as it was.
    pub refused: Vec<Refused>,
    /// What the person should know besides.
    pub notices: Vec<String>,
}

/// A consignment with other readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revised {
    /// Its id.
    pub id: ConsignmentId,
    /// The number of this revision, from 1.
    pub revision: u32,
    /// Who reads it that did not.
    pub added: Vec<PartyName>,
    /// Who does not read it that did.
    pub removed: Vec<PartyName>,
    /// Who reads it with other keys than before.
    pub rekeyed: Vec<PartyName>,
    /// How many objects it has.
    pub objects: u64,
    /// What they have together in the bucket.
    pub sealed_bytes: u64,
    /// How many of these bytes were downloaded.
    pub downloaded_bytes: u64,
    /// Whether the version before it is gone. It is not where the store keeps no checksum by which
    /// to know that nothing of it is lost.
    pub older_removed: bool,
}

/// Gives consignments of a lane the readers that the exchange file names.
///
/// # Errors
/// What concerns all of them; the others are in [`Rewrapped::refused`]. [`ErrorKind::Configuration`]
/// if we are not the sender or the lane's seal has no such readers; [`ErrorKind::Denied`] if these
/// credentials may not. What was revised before stays so.
pub async fn rewrap(
    office: &Office,
    lane: &LaneName,
    options: &RewrapOptions,
) -> Result<Rewrapped> {
    let lane = lane_to_rewrap(office, lane, options)?;
    let exchange = &office.exchange.name;
    let folder = LaneFolder::hold(&office.state, exchange, &lane.name, "rewrap").await?;
    office.progress.begin(Phase::Looking, 0, 0);
    let ids = match options.only.as_slice() {
        [] => fetch::ids(office, lane).await?,
        only => only.to_vec(),
    };
    let mut done = Rewrapped::default();
    for id in ids {
        let run = Run { office, lane, options, folder: &folder, id: &id };
        match run.consignment(&mut done).await {
            Ok(()) => {}
            Err(error) if concerns_all(&error) => return Err(error),
            Err(error) => done.refused.push(Refused { id, error }),
        }
    }
    Ok(done)
}

/// What [`rewrap()`] would do, by the sender's own records of what it sent: nothing is asked of the
/// store, which shows a sender nothing of an open lane. Some of it may have expired since.
pub async fn preview_rewrap(
    office: &Office,
    lane: &LaneName,
    options: &RewrapOptions,
) -> Result<Rewrapped> {
    let lane = lane_to_rewrap(office, lane, options)?;
    let mut done = Rewrapped::default();
    for manifest in crate::list::delivered(office, lane)? {
        if !options.only.is_empty() && !options.only.contains(&manifest.id) {
            continue;
        }
        let ours = |addressee: &consign_model::Addressee| addressee.party == office.me;
        if !manifest.recipients.iter().any(ours) {
            let (id, error) = (manifest.id, not_ours_to_open(lane));
            done.refused.push(Refused { id, error });
            continue;
        }
        match readers::decide(office, lane, &manifest.recipients, options) {
            Ok(Some(readers)) => done.revised.push(revised(&manifest, &readers)),
            Ok(None) => done.right += 1,
            Err(error) => done.refused.push(Refused { id: manifest.id, error }),
        }
    }
    Ok(done)
}

fn lane_to_rewrap<'a>(
    office: &'a Office,
    name: &LaneName,
    options: &RewrapOptions,
) -> Result<&'a Lane> {
    let lane = office.exchange.require_lane(name)?;
    if lane.from != office.me {
        let message = format!(
            "only `{}`, who sends on lane `{name}`, can change who reads what it sent: the manifest \
             that names the readers carries its signature, and nobody accepts another's",
            lane.from
        );
        return Err(Error::new(ErrorKind::Configuration, message)
            .hinting(format!("ask `{}` to run this", lane.from)));
    }
    let hint = match lane.seal {
        Seal::Age => None,
        Seal::S3ec if lane.keyring == Keyring::Aes => Some(format!(
            "its readers are who has the lane's secret: `consign keys lane-secret {name} --rotate` \
             makes another for what is sent from now on"
        )),
        Seal::S3ec | Seal::Openpgp | Seal::None => Some("send the files again".to_owned()),
    };
    if let Some(hint) = hint {
        let message = format!(
            "lane `{name}` has seal = \"{}\": only age headers (seal = \"age\") are written anew",
            lane.seal.as_str()
        );
        return Err(Error::new(ErrorKind::Configuration, message).hinting(hint));
    }
    readers::check(lane, options)?;
    letter::signing_key(office, lane)?;
    office.lane_to_send(name)
}

fn not_ours_to_open(lane: &Lane) -> Error {
    let message = format!(
        "it is not sealed to its sender `{}`, who can therefore not write its header anew",
        lane.from
    );
    Error::new(ErrorKind::NotForUs, message).hinting(
        "`seal_to_sender = true` on the lane makes it possible for what is sent from then on; send \
         these files again",
    )
}

fn revised(manifest: &Manifest, readers: &Readers) -> Revised {
    Revised {
        id: manifest.id.clone(),
        revision: manifest.revision_number() + 1,
        added: readers.added.clone(),
        removed: readers.removed.clone(),
        rekeyed: readers.rekeyed.clone(),
        objects: manifest.objects.len() as u64,
        sealed_bytes: manifest.sealed_bytes(),
        downloaded_bytes: 0,
        older_removed: false,
    }
}

/// One consignment at a time.
struct Run<'a> {
    office: &'a Office,
    lane: &'a Lane,
    options: &'a RewrapOptions,
    folder: &'a LaneFolder,
    id: &'a ConsignmentId,
}

impl Run<'_> {
    async fn consignment(&self, done: &mut Rewrapped) -> Result<()> {
        let Run { office, lane, options, id, .. } = *self;
        let opened = match fetch::newest(office, lane, id).await {
            Ok(Some(opened)) => opened,
            // Still being sent, or given up: no receiver sees it either.
            Ok(None) if options.only.is_empty() => return Ok(()),
            Ok(None) => return Err(crate::show::absent(lane, id)),
            Err(error) if error.kind() == ErrorKind::NotForUs => {
                return Err(not_ours_to_open(lane).because(error));
            }
            Err(error) => return Err(error),
        };
        let Some(readers) = readers::decide(office, lane, &opened.manifest.recipients, options)?
        else {
            // What a run leaves that was killed after its last word.
            Journal::forget(office, lane, self.folder, id).await?;
            if opened.manifest.revision.is_some() {
                self.remember(&opened.manifest)?;
                self.remove_older(&opened.manifest, done).await?;
            }
            done.right += 1;
            return Ok(());
        };
        let mut revised = revised(&opened.manifest, &readers);
        if revised.revision > consign_model::REVISIONS_MAX {
            let message = "it has been revised too often; send its files again";
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        let sealed_bytes = opened.manifest.sealed_bytes();
        office.progress.begin(Phase::Rewrapping, revised.objects, sealed_bytes);
        let journal =
            Journal::open(office, lane, self.folder, id, revised.revision, &readers.terms(&opened))
                .await?;
        let made = self.objects(&opened, &readers, journal).await;
        let (objects, downloaded_bytes) = self.unless_hopeless(made).await?;
        let manifest = self.revise(&opened, &readers, objects)?;
        self.commit(&manifest, readers).await?;
        self.remember(&manifest)?;
        Journal::forget(office, lane, self.folder, id).await?;
        revised.older_removed = self.remove_older(&manifest, done).await?;
        revised.downloaded_bytes = downloaded_bytes;
        revised.sealed_bytes = manifest.sealed_bytes();
        done.revised.push(revised);
        Ok(())
    }

    /// What was begun of an object that is not as signed can never be completed.
    async fn unless_hopeless<T>(&self, made: Result<T>) -> Result<T> {
        if let Err(error) = &made
            && matches!(error.kind(), ErrorKind::Content | ErrorKind::Damaged)
        {
            // The object is what the person must hear of; leftovers expire by themselves.
            let _ = Journal::forget(self.office, self.lane, self.folder, self.id).await;
        }
        made
    }

    /// Makes all objects of the revision, a few at a time.
    async fn objects(
        &self,
        opened: &Opened,
        readers: &Readers,
        journal: Journal,
    ) -> Result<(Vec<ManifestObject>, u64)> {
        let old = opened.manifest.clone();
        let grafting = Arc::new(Grafting::new(self.office, self.lane, old, readers, journal));
        let mut waiting = opened.manifest.objects.iter().cloned().enumerate();
        let mut made = vec![None; opened.manifest.objects.len()];
        let mut tasks = JoinSet::new();
        loop {
            while tasks.len() < OBJECTS_AT_ONCE
                && let Some((place, object)) = waiting.next()
            {
                let grafting = Arc::clone(&grafting);
                tasks.spawn(async move { (place, grafting.object(&object).await) });
            }
            let Some(ended) = tasks.join_next().await else { break };
            let (place, object) = ended.map_err(crate::error::join)?;
            if let Some(slot) = made.get_mut(place) {
                *slot = Some(object?);
            }
        }
        let all: Option<Vec<ManifestObject>> = made.into_iter().collect();
        let all = all.ok_or_else(|| Error::new(ErrorKind::Bug, "an object was not made"))?;
        Ok((all, grafting.downloaded_bytes()))
    }

    /// The same manifest with other readers and other objects, as the next revision.
    fn revise(
        &self,
        opened: &Opened,
        readers: &Readers,
        objects: Vec<ManifestObject>,
    ) -> Result<Manifest> {
        let Opened { manifest, digest, .. } = opened;
        let original = manifest.revision.as_ref().map_or(*digest, |revision| revision.original);
        let revised = Manifest {
            recipients: readers.addressees.clone(),
            revision: Some(Revision {
                number: manifest.revision_number() + 1,
                original,
                previous: *digest,
                made: self.office.now(),
            }),
            objects,
            ..manifest.clone()
        };
        revised.check(&Limits::default()).map_err(|error| {
            Error::new(ErrorKind::Bug, "a receiver would refuse the revision").because(error)
        })?;
        Ok(revised)
    }

    /// Puts the signature and, last, the manifest.
    async fn commit(&self, manifest: &Manifest, readers: Readers) -> Result<()> {
        let Run { office, lane, id, .. } = *self;
        let sealing = Sealing::Age(readers.recipients);
        let letter = letter::write_to(office, lane, manifest, &sealing).await?;
        let (manifest_name, signature_name) = manifest_names(lane);
        let last = [(signature_name, letter.signature), (manifest_name, letter.manifest)];
        for (name, bytes) in last {
            let place = revised_place(manifest.revision_number(), &name);
            put(office, lane, id, &place, bytes.into()).await?;
        }
        Ok(())
    }

    /// Notes in the sender's own records how the consignment lies now.
    fn remember(&self, manifest: &Manifest) -> Result<()> {
        let (state, exchange) = (&self.office.state, &self.office.exchange.name);
        let delivered = lane_path(state, exchange, &self.lane.name, "sent").join("delivered");
        private_folder(&delivered)?;
        write(&delivered.join(format!("{}.json", self.id)), &manifest.to_bytes())
    }

    /// Whether the versions before this one are gone; what is not, is a notice.
    async fn remove_older(&self, manifest: &Manifest, done: &mut Rewrapped) -> Result<bool> {
        let removed = older::remove(self.office, self.lane, manifest).await?;
        if !removed {
            done.notices.push(format!(
                "the store keeps no checksum of {}, so the version before it was not removed, and \
                 who read it reads it still: let a receiver verify the consignment, then remove it",
                self.id
            ));
        }
        Ok(removed)
    }
}

/// Puts a small object of a revision, over what a killed run may have left there.
async fn put(
    office: &Office,
    lane: &Lane,
    id: &ConsignmentId,
    place: &str,
    bytes: bytes::Bytes,
) -> Result<PutDone> {
    let checksum = Crc64::of(&bytes).to_string();
    let encryption = office.encryption(lane, id, place)?;
    let put = || PutObject {
        bucket: lane.bucket.to_string(),
        key: key(lane, id, place),
        body: Body::Bytes(bytes.clone()),
        checksum_crc64nvme: Some(checksum.clone()),
        expected_bucket_owner: office.owner_of(lane),
        encryption: encryption.clone(),
        ..PutObject::default()
    };
    fetch::retrying(office, || office.cloud.s3().put_object(put())).await
}
