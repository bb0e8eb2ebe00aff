//! What an upload does next, decided without doing it.
//!
//! Feed [`Upload::step`] with what happened; it gives back what to do. Events for which
//! [`Event::is_kept`] holds go to the journal before their effects are carried out, so a later run
//! that replays them knows at least what was done. The rest of this module argues from three
//! facts:
//!
//! - A part's fingerprint is in the journal before its first byte leaves, so a changed source is
//!   always noticed, whatever was lost.
//! - `Completing` is in the journal before the request that makes the object, so a later run knows
//!   that the object may exist.
//! - The key is ours alone. If the object may exist and S3 says that it does, it is ours.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Mode;
use crate::crc::Crc64;
use crate::layout::PartLayout;

/// Uploads that vanish are begun again this often before giving up: something is removing them.
const RESTARTS_MAX: u32 = 3;
/// So often S3 may deny having a part that it acknowledged.
const RELISTS_MAX: u32 = 3;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The transfer exists. Always the first.
    Begun {
        /// Bucket of the object.
        bucket: String,
        /// Key of the object.
        key: String,
        /// How it is cut.
        layout: PartLayout,
        /// By how many requests.
        mode: Mode,
    },
    /// A run begins; events before it are an earlier run's.
    Started {
        /// Parts to have in hand at once.
        window: u32,
    },
    /// S3 began the upload.
    Created {
        /// Its id.
        upload_id: String,
    },
    /// S3's list of the parts it has.
    Listed {
        /// All of them.
        parts: Vec<Listed>,
    },
    /// A part was read and is in memory.
    Read {
        /// Which, from 0.
        part: u32,
        /// Digest of the plaintext behind it.
        #[serde(with = "hex::serde")]
        fingerprint: [u8; 32],
        /// Checksum of its bytes.
        crc64nvme: Crc64,
    },
    /// S3 has a part.
    Sent {
        /// Which, from 0.
        part: u32,
        /// Its entity tag.
        etag: String,
    },
    /// All parts are sent; the object may exist from now on.
    Completing,
    /// The answer to a request that makes the object was lost.
    Unclear,
    /// S3 says the key is taken (412).
    Taken,
    /// S3 does not know the upload.
    Gone,
    /// S3 does not have a part that was to make the object.
    PartsDiffer,
    /// What HEAD says about the object.
    Probed(Probe),
    /// The upload is lost: begin another.
    Lost,
    /// The object is there.
    Completed {
        /// Its version, where known.
        version_id: Option<String>,
    },
}

impl Event {
    /// True for events that a later run must know.
    pub fn is_kept(&self) -> bool {
        match self {
            Event::Begun { .. }
            | Event::Created { .. }
            | Event::Read { .. }
            | Event::Sent { .. }
            | Event::Completing
            | Event::Lost
            | Event::Completed { .. } => true,
            Event::Started { .. }
            | Event::Listed { .. }
            | Event::Unclear
            | Event::Taken
            | Event::Gone
            | Event::PartsDiffer
            | Event::Probed(_) => false,
        }
    }
}

/// A part that S3 lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Which, from 0.
    pub part: u32,
    /// Size.
    pub bytes: u64,
    /// Entity tag.
    pub etag: String,
    /// Checksum, where S3 keeps it.
    pub crc64nvme: Option<Crc64>,
}

/// What HEAD says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Probe {
    /// An object of the right size.
    There {
        /// Its version.
        version_id: Option<String>,
    },
    /// Nothing.
    Absent,
    /// We may not look, or something else lies there.
    Unknown,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Abort uploads to this key other than the one the journal knows.
    Sweep,
    /// Begin an upload; answer with `Created`.
    Create,
    /// Ask which parts S3 has; answer with `Listed` or `Gone`.
    List,
    /// Read a part; answer with `Read`.
    Read(u32),
    /// Send a part that was read; answer with `Sent` or `Gone`.
    Send(u32),
    /// Answer with `Completing`.
    Commit,
    /// Make the object; answer with `Completed`, `Taken`, `Gone`, `PartsDiffer`, and before them
    /// with `Unclear` if an answer was lost.
    Complete,
    /// Look for the object; answer with `Probed`.
    Probe,
    /// Answer with `Completed` and this version.
    Conclude(Option<String>),
    /// Answer with `Lost`.
    GiveUp,
    /// Drop parts in hand and requests under way: they belong to an upload that is no more.
    Forget,
    /// Put the whole object by one request: read and answer `Read` for each part, then
    /// `Completed` or `Taken`, and before it `Unclear` if an answer was lost.
    Put,
    /// Abort the upload.
    Abort,
    /// The object is there.
    Finish,
    /// It cannot be made.
    Fail(Failure),
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// This part's plaintext is not what it was.
    SourceChanged(u32),
    /// Somebody else's object is there.
    KeyTaken,
    /// Uploads keep vanishing, or S3 keeps denying parts.
    Unstable,
    /// An event that cannot be.
    Confused,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::SourceChanged(part) => write!(f, "part {part} changed since it was begun"),
            Failure::KeyTaken => f.write_str("another object lies under the key"),
            Failure::Unstable => f.write_str("the upload was removed again and again"),
            Failure::Confused => f.write_str("the upload's events contradict each other"),
        }
    }
}

/// Whether the object may exist without our having heard so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    No,
    ThisRun,
    EarlierRun,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PartState {
    fingerprint: Option<[u8; 32]>,
    crc64nvme: Option<Crc64>,
    etag: Option<String>,
    in_hand: bool,
}

/// An upload at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    plan: Option<(PartLayout, Mode)>,
    parts: Vec<PartState>,
    upload_id: Option<String>,
    /// `None` while an earlier run's events are replayed.
    window: Option<u32>,
    doubt: Doubt,
    completing: bool,
    done: Option<Option<String>>,
    restarts: u32,
    relists: u32,
}

impl Default for Upload {
    fn default() -> Upload {
        Upload {
            plan: None,
            parts: Vec::new(),
            upload_id: None,
            window: None,
            doubt: Doubt::No,
            completing: false,
            done: None,
            restarts: 0,
            relists: 0,
        }
    }
}

impl Upload {
    /// The state after an earlier run's events.
    pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> Upload {
        events.into_iter().fold(Upload::default(), |state, event| state.step(event.clone()).0)
    }

    /// The state after `event`, and what to do.
    #[must_use]
    pub fn step(mut self, event: Event) -> (Upload, Vec<Effect>) {
        let effects = match event {
            Event::Begun { layout, mode, .. } => self.begun(layout, mode),
            Event::Started { window } => self.started(window),
            Event::Created { upload_id } => {
                self.upload_id = Some(upload_id);
                self.advance()
            }
            Event::Listed { parts } => self.listed(&parts),
            Event::Read { part, fingerprint, crc64nvme } => self.read(part, fingerprint, crc64nvme),
            Event::Sent { part, etag } => match self.parts.get_mut(part as usize) {
                None => vec![Effect::Fail(Failure::Confused)],
                Some(state) => {
                    state.etag = Some(etag);
                    state.in_hand = false;
                    self.advance()
                }
            },
            Event::Completing => {
                self.completing = true;
                vec![Effect::Complete]
            }
            Event::Unclear => {
                self.doubt = Doubt::ThisRun;
                Vec::new()
            }
            Event::Taken => self.taken(),
            Event::Gone if self.completing && self.doubt != Doubt::No => vec![Effect::Probe],
            Event::Gone => vec![Effect::GiveUp],
            Event::PartsDiffer => self.parts_differ(),
            Event::Probed(probe) => self.probed(probe),
            Event::Lost => self.lost(),
            Event::Completed { version_id } => {
                self.done = Some(version_id);
                vec![Effect::Finish]
            }
        };
        // While replaying, effects are what an earlier run did or no longer has to do.
        let effects = if self.window.is_some() { effects } else { Vec::new() };
        (self, effects)
    }

    fn begun(&mut self, layout: PartLayout, mode: Mode) -> Vec<Effect> {
        self.plan = Some((layout, mode));
        self.parts = vec![PartState::default(); layout.parts() as usize];
        Vec::new()
    }

    fn started(&mut self, window: u32) -> Vec<Effect> {
        let Some((_, mode)) = self.plan else { return vec![Effect::Fail(Failure::Confused)] };
        self.window = Some(window.max(1));
        self.restarts = 0;
        let resumed = self.parts.iter().any(|part| part.fingerprint.is_some());
        if self.done.is_some() {
            return vec![Effect::Finish];
        }
        if mode == Mode::Single {
            // What was read may have been sent, and what was sent whole is an object.
            if resumed {
                self.doubt = Doubt::EarlierRun;
            }
            return vec![Effect::Put];
        }
        if self.completing {
            self.doubt = Doubt::EarlierRun;
        }
        match self.upload_id {
            // Entity tags that only a list told are not in the journal: then list again.
            Some(_) if self.completing && self.all_sent() => vec![Effect::Complete],
            Some(_) => vec![Effect::Sweep, Effect::List],
            None => vec![Effect::Sweep, Effect::Create],
        }
    }

    /// Believes S3's list, and only that: a part counts as sent when it is listed with the entity
    /// tag that we were given, or, if the answer was lost, with the checksum of what we read.
    fn listed(&mut self, listed: &[Listed]) -> Vec<Effect> {
        let Some((layout, _)) = self.plan else { return vec![Effect::Fail(Failure::Confused)] };
        for (number, part) in (0..).zip(&mut self.parts) {
            let found = listed.iter().find(|listed| listed.part == number);
            part.in_hand = false;
            part.etag = found
                .filter(|listed| listed.bytes == layout.part_len(number) as u64)
                .filter(|listed| match &part.etag {
                    Some(etag) => *etag == listed.etag,
                    None => part.crc64nvme.is_some() && part.crc64nvme == listed.crc64nvme,
                })
                .map(|listed| listed.etag.clone());
        }
        self.advance()
    }

    fn read(&mut self, number: u32, fingerprint: [u8; 32], crc: Crc64) -> Vec<Effect> {
        let single = self.plan.is_some_and(|(_, mode)| mode == Mode::Single);
        let Some(part) = self.parts.get_mut(number as usize) else {
            return vec![Effect::Fail(Failure::Confused)];
        };
        let same = |known: Option<[u8; 32]>| known.is_none_or(|known| known == fingerprint);
        // The same plaintext under the same key gives the same bytes; other bytes are a source
        // that broke its word, and as dangerous.
        if !same(part.fingerprint) || part.crc64nvme.is_some_and(|known| known != crc) {
            return vec![Effect::Abort, Effect::Fail(Failure::SourceChanged(number))];
        }
        part.fingerprint = Some(fingerprint);
        part.crc64nvme = Some(crc);
        if single { Vec::new() } else { vec![Effect::Send(number)] }
    }

    fn taken(&mut self) -> Vec<Effect> {
        match self.doubt {
            Doubt::No => vec![Effect::Abort, Effect::Fail(Failure::KeyTaken)],
            // Our lost request made it. What is left of this upload is of no use.
            Doubt::ThisRun | Doubt::EarlierRun => vec![Effect::Abort, Effect::Conclude(None)],
        }
    }

    fn parts_differ(&mut self) -> Vec<Effect> {
        self.relists += 1;
        self.completing = false;
        if self.relists > RELISTS_MAX {
            return vec![Effect::Abort, Effect::Fail(Failure::Unstable)];
        }
        vec![Effect::List]
    }

    fn probed(&mut self, probe: Probe) -> Vec<Effect> {
        match (probe, self.doubt) {
            (Probe::There { version_id }, _) => vec![Effect::Conclude(version_id)],
            // Seconds ago S3 had the upload, and now it has not: it became the object.
            (Probe::Unknown, Doubt::ThisRun) => vec![Effect::Conclude(None)],
            // It may be days: the upload may have become the object, or been swept away. Sending
            // all again is certain, because S3 refuses it (412) if the object is there.
            (Probe::Unknown, _) | (Probe::Absent, _) => vec![Effect::GiveUp],
        }
    }

    fn lost(&mut self) -> Vec<Effect> {
        self.upload_id = None;
        if self.completing && self.doubt == Doubt::No {
            self.doubt = Doubt::EarlierRun;
        }
        self.completing = false;
        for part in &mut self.parts {
            part.etag = None;
            part.in_hand = false;
        }
        self.restarts += 1;
        if self.window.is_some() && self.restarts > RESTARTS_MAX {
            return vec![Effect::Forget, Effect::Fail(Failure::Unstable)];
        }
        vec![Effect::Forget, Effect::Create]
    }

    fn all_sent(&self) -> bool {
        self.parts.iter().all(|part| part.etag.is_some())
    }

    /// The next parts to read, as many as the window holds; or the end.
    fn advance(&mut self) -> Vec<Effect> {
        let Some(window) = self.window else { return Vec::new() };
        if self.all_sent() {
            return vec![Effect::Commit];
        }
        let mut room =
            (window as usize).saturating_sub(self.parts.iter().filter(|part| part.in_hand).count());
        let mut effects = Vec::new();
        for (number, part) in (0..).zip(&mut self.parts) {
            if room == 0 {
                break;
            }
            if part.etag.is_none() && !part.in_hand {
                part.in_hand = true;
                effects.push(Effect::Read(number));
                room -= 1;
            }
        }
        effects
    }

    /// How the object is cut, and by how many requests it goes.
    pub fn plan(&self) -> Option<(PartLayout, Mode)> {
        self.plan
    }

    /// The upload, while there is one.
    pub fn upload_id(&self) -> Option<&str> {
        self.upload_id.as_deref()
    }

    /// The version of the object, once it is there.
    pub fn done(&self) -> Option<Option<&str>> {
        self.done.as_ref().map(Option::as_deref)
    }

    /// Numbers, entity tags and checksums of the parts sent, in order.
    pub fn sent(&self) -> impl Iterator<Item = (u32, &str, Option<Crc64>)> {
        (0..)
            .zip(&self.parts)
            .filter_map(|(number, part)| Some((number, part.etag.as_deref()?, part.crc64nvme)))
    }

    /// True when exactly this plaintext of the part is known already.
    pub fn knows(&self, number: u32, fingerprint: &[u8; 32]) -> bool {
        self.parts.get(number as usize).and_then(|part| part.fingerprint.as_ref())
            == Some(fingerprint)
    }

    /// Checksum of the whole object, once all parts were read.
    pub fn crc64nvme(&self) -> Option<Crc64> {
        let (layout, _) = self.plan?;
        (0..).zip(&self.parts).try_fold(Crc64::default(), |whole, (number, part)| {
            Some(whole.followed_by(part.crc64nvme?, layout.part_len(number) as u64))
        })
    }

    /// Fingerprints of all parts, once all were read.
    pub fn fingerprints(&self) -> Option<Vec<[u8; 32]>> {
        self.parts.iter().map(|part| part.fingerprint).collect()
    }
}
