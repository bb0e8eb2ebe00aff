//! A consignment on its way out, remembered step by step, so that the same command goes on after
//! any crash.
//!
//! ```text
//! sent/chain.json               where our chain on this lane stands
//! sent/outgoing/order.json      id of the consignment, and of what it is made
//! sent/outgoing/objects.jsonl   per object: the seal that was begun, then what became of it
//! sent/outgoing/NAME.jsonl      per object: the parts that have been uploaded
//! sent/outgoing/NAME.sealed     per object of a sequential format: its sealed form, until it is uploaded
//! sent/outgoing/manifest.json, signature, beside.json, s3s2_manifest, letter    the manifest, when all objects are there
//! sent/delivered/ID.json        the manifests of what was sent
//! sent/unreported.json          the order of the last one, until its sender has been told
//! ```
//!
//! `letter` is written last: once it is there, the consignment is decided, and whoever comes next
//! on this lane puts it before anything else. A seal is remembered before its first byte is sent,
//! because a part that is uploaded and the rest must be sealed with one key.

use crate::chain::Head;
use crate::error::{Error, ErrorKind, Result};
use crate::letter::Letter;
use crate::seals::Metadata;
use crate::state::{self, LaneFolder, Lines};
use consign_model::{ConsignmentId, Digest, Limits, Manifest, ManifestObject, ObjectName};
use consign_seal::age::Sealer;
use consign_transfer::UploadJournal;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// The manifest that s3s2 reads, of a decided consignment on a lane of shares.
const SHARE: &str = "s3s2_manifest";

/// Our side of a lane: the chain, and the consignment under way.
pub(crate) struct Outbox {
    folder: Arc<LaneFolder>,
}

/// What a consignment is made of. An interrupted one goes on only if this is still the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: ConsignmentId,
    /// Changes with any file to be sent.
    pub(crate) survey: Digest,
    /// Changes with the exchange file and with the keys it is sealed to.
    pub(crate) terms: Digest,
}

impl Order {
    pub(crate) fn same_as(&self, other: &Order) -> bool {
        self.survey == other.survey && self.terms == other.terms
    }
}

/// A consignment whose objects are being made.
pub(crate) struct Outgoing {
    pub(crate) order: Order,
    path: PathBuf,
    memory: Mutex<Memory>,
    // Two runs at once could seal one object with two keys.
    _held: Arc<LaneFolder>,
}

struct Memory {
    lines: Lines,
    seals: BTreeMap<ObjectName, (SealSecret, Option<Digest>)>,
    spooled: BTreeMap<ObjectName, Spooled>,
    done: BTreeMap<ObjectName, Shipped>,
}

/// An object that is in the bucket, and the digests of the files in it, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shipped {
    pub(crate) object: ManifestObject,
    pub(crate) digests: Vec<Digest>,
}

/// An object whose sealed form is complete in a file of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spooled {
    pub(crate) object: ObjectName,
    pub(crate) bytes: u64,
    /// Of the files in it, in order.
    pub(crate) digests: Vec<Digest>,
    /// What stands beside it in the bucket.
    pub(crate) metadata: Metadata,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Spooled(Spooled),
    Begun { object: ObjectName, seal: SealSecret, content: Option<Digest> },
    Shipped(Shipped),
}

impl Outbox {
    pub(crate) fn new(folder: Arc<LaneFolder>) -> Outbox {
        Outbox { folder }
    }

    fn outgoing_path(&self) -> PathBuf {
        self.folder.path().join("outgoing")
    }

    /// Where our chain stands; none before the first delivery.
    pub(crate) fn head(&self) -> Result<Option<Head>> {
        state::read_json(&self.folder.path().join("chain.json"))
    }

    /// The order of the consignment that an earlier run left, if it left one.
    pub(crate) fn unfinished(&self) -> Result<Option<Order>> {
        state::read_json(&self.outgoing_path().join("order.json"))
    }

    /// The consignment that an earlier run delivered for this order, if nobody was told: it ended
    /// between the delivery and its last word.
    pub(crate) fn unreported(&self, order: &Order) -> Result<Option<Manifest>> {
        let last: Option<Order> = state::read_json(&self.unreported_path())?;
        let Some(last) = last.filter(|last| last.same_as(order)) else { return Ok(None) };
        let path = self.delivered_path().join(format!("{}.json", last.id));
        let Some(plain) = state::read(&path)? else { return Ok(None) };
        let manifest = Manifest::parse(&plain, &Limits::default()).map_err(|error| {
            Error::new(ErrorKind::State, format!("{} is damaged", path.display())).because(error)
        })?;
        Ok(Some(manifest))
    }

    /// The sender has been told of this consignment.
    pub(crate) fn reported(&self, id: &ConsignmentId) -> Result<()> {
        let last: Option<Order> = state::read_json(&self.unreported_path())?;
        if last.is_none_or(|last| last.id != *id) {
            return Ok(());
        }
        std::fs::remove_file(self.unreported_path()).map_err(|error| {
            Error::new(ErrorKind::State, "cannot note that a delivery was told").because(error)
        })
    }

    fn delivered_path(&self) -> PathBuf {
        self.folder.path().join("delivered")
    }

    fn unreported_path(&self) -> PathBuf {
        self.folder.path().join("unreported.json")
    }

    /// Begins a consignment, or goes on with the one of this order.
    pub(crate) fn open(&self, order: &Order) -> Result<Outgoing> {
        let path = self.outgoing_path();
        if self.unfinished()?.is_none() {
            // A crash while one was forgotten leaves what nobody may take for this one's.
            state::remove_folder(&path)?;
        }
        state::private_folder(&path)?;
        state::write_json(&path.join("order.json"), order)?;
        let (lines, values) = Lines::open::<Line>(&path.join("objects.jsonl"))?;
        let mut memory = Memory {
            lines,
            seals: BTreeMap::new(),
            spooled: BTreeMap::new(),
            done: BTreeMap::new(),
        };
        for line in values {
            memory.remember(line);
        }
        let (order, _held) = (order.clone(), Arc::clone(&self.folder));
        Ok(Outgoing { order, path, memory: Mutex::new(memory), _held })
    }

    /// Forgets the consignment under way. What is in the bucket of it stays unlisted until it
    /// expires; uploads in parts must have been aborted.
    pub(crate) fn forget(&self) -> Result<()> {
        // The order first: without it the rest is nobody's.
        let order = self.outgoing_path().join("order.json");
        match std::fs::remove_file(&order) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::new(ErrorKind::State, "cannot forget a consignment").because(e))
            }
            _ => state::remove_folder(&self.outgoing_path()),
        }
    }

    /// Journals of uploads in parts that an earlier run may have left.
    pub(crate) fn upload_journals(&self) -> Result<Vec<PathBuf>> {
        let failed = |e| Error::new(ErrorKind::State, "cannot read the state").because(e);
        let entries = match std::fs::read_dir(self.outgoing_path()) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut journals = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
            if name.ends_with(".jsonl") && name != "objects.jsonl" {
                journals.push(path);
            }
        }
        Ok(journals)
    }

    /// The manifest was put: the chain moves on, and nothing is under way any more. May be called
    /// again after a crash at any point in it.
    pub(crate) fn delivered(&self, plain: &[u8], manifest: &Manifest, order: &Order) -> Result<()> {
        let delivered = self.delivered_path();
        state::private_folder(&delivered)?;
        state::write(&delivered.join(format!("{}.json", manifest.id)), plain)?;
        state::write_json(&self.unreported_path(), order)?;
        let head = Head {
            chain: manifest.chain.clone(),
            sequence: manifest.sequence,
            digest: Some(Digest::of(plain)),
        };
        state::write_json(&self.folder.path().join("chain.json"), &head)?;
        self.forget()
    }
}

impl Outgoing {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What became of an object, if an earlier run or this one has finished it.
    pub(crate) fn shipped(&self, object: &ObjectName) -> Option<Shipped> {
        self.memory().done.get(object).cloned()
    }

    /// The seal of an object: the one an earlier run began, or `fresh`, remembered from now on.
    ///
    /// `content` is the digest of what is sealed, if it is known beforehand; a seal that was begun
    /// over other content is refused, because one key must never seal two contents.
    pub(crate) fn seal(
        &self,
        object: &ObjectName,
        content: Option<Digest>,
        fresh: impl FnOnce() -> Result<Sealer>,
    ) -> Result<Sealer> {
        if let Some((seal, begun)) = self.memory().seals.get(object) {
            if *begun != content {
                let message = format!("what goes into {object} changed since the send was begun");
                return Err(Error::new(ErrorKind::SourceChanged, message));
            }
            return Ok(Sealer::from_secret_bytes(&seal.0)?);
        }
        let sealer = fresh()?;
        let seal = SealSecret(sealer.to_secret_bytes());
        self.remember(Line::Begun { object: object.clone(), seal, content })?;
        Ok(sealer)
    }

    /// Remembers that an object is in the bucket.
    pub(crate) fn ship(&self, shipped: Shipped) -> Result<()> {
        let name = shipped.object.name.clone();
        self.remember(Line::Shipped(shipped))?;
        // Not needed any more; what is left of it is removed with the folder.
        let _ = std::fs::remove_file(self.journal_path(name.as_str()));
        let _ = std::fs::remove_file(self.spool_path(&name));
        Ok(())
    }

    /// The sealed form of an object, if an earlier run or this one completed it.
    pub(crate) fn spooled(&self, object: &ObjectName) -> Option<Spooled> {
        self.memory().spooled.get(object).cloned()
    }

    /// Remembers that the sealed form of an object is complete; the file must be on disk.
    pub(crate) fn spool(&self, spooled: Spooled) -> Result<()> {
        self.remember(Line::Spooled(spooled))
    }

    /// Where the sealed form of an object lies.
    pub(crate) fn spool_path(&self, object: &ObjectName) -> PathBuf {
        self.path.join(format!("{object}.sealed"))
    }

    fn remember(&self, line: Line) -> Result<()> {
        let mut memory = self.memory();
        memory.lines.append(&line)?;
        memory.remember(line);
        Ok(())
    }

    /// The journal of an object's upload.
    pub(crate) fn journal(&self, name: &str) -> Result<UploadJournal> {
        UploadJournal::open(&self.journal_path(name)).map_err(|error| {
            Error::new(ErrorKind::State, "cannot remember an upload").because(error)
        })
    }

    fn journal_path(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.jsonl"))
    }

    /// Decides the consignment: from now on it will be delivered.
    pub(crate) fn decide(&self, letter: &Letter) -> Result<()> {
        state::write(&self.path.join("manifest.json"), &letter.plain)?;
        state::write(&self.path.join("signature"), &letter.signature)?;
        state::write_json(&self.path.join("beside.json"), &letter.beside)?;
        if let Some(share) = &letter.share {
            state::write(&self.path.join(SHARE), share)?;
        }
        state::write(&self.path.join("letter"), &letter.manifest)
    }

    /// The letter of a consignment that was decided.
    pub(crate) fn decided(&self) -> Result<Option<(Letter, Manifest)>> {
        let Some(manifest) = state::read(&self.path.join("letter"))? else { return Ok(None) };
        let missing = || Error::new(ErrorKind::State, "the state of a decided send is incomplete");
        let signature = state::read(&self.path.join("signature"))?.ok_or_else(missing)?;
        let plain = state::read(&self.path.join("manifest.json"))?.ok_or_else(missing)?;
        let parsed = Manifest::parse(&plain, &Limits::default())
            .map_err(|error| missing().because(error))?;
        let beside = state::read_json(&self.path.join("beside.json"))?.unwrap_or_default();
        let share = state::read(&self.path.join(SHARE))?;
        Ok(Some((Letter { plain, manifest, signature, beside, share }, parsed)))
    }
}

impl Memory {
    fn remember(&mut self, line: Line) {
        match line {
            Line::Begun { object, seal, content } => {
                self.seals.insert(object, (seal, content));
            }
            Line::Spooled(spooled) => {
                self.spooled.insert(spooled.object.clone(), spooled);
            }
            Line::Shipped(shipped) => {
                self.seals.remove(&shipped.object.name);
                self.spooled.remove(&shipped.object.name);
                self.done.insert(shipped.object.name.clone(), shipped);
            }
        }
    }
}

/// What seals the rest of an object: as secret as the object. Wiped, and in no `Debug`.
struct SealSecret(Zeroizing<Vec<u8>>);

impl Serialize for SealSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = Zeroizing::new(String::with_capacity(self.0.len() * 2));
        for byte in self.0.iter() {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from(DIGITS[usize::from(nibble)]));
            }
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for SealSecret {
    fn deserialize<D: Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<SealSecret, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = unhex(&text).ok_or_else(|| D::Error::custom("a seal that is not hexadecimal"));
        bytes.map(SealSecret)
    }
}

fn unhex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    for pair in text.as_bytes().chunks(2) {
        let [high, low] = pair else { return None };
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use consign_seal::age::Identity;

    async fn outbox(state: &std::path::Path) -> Outbox {
        let (exchange, lane) =
            ("acme-globex".parse().expect("a name"), "l".parse().expect("a name"));
        let folder = LaneFolder::hold(state, &exchange, &lane, "sent").await;
        Outbox::new(folder.expect("a folder"))
    }

    fn order(n: u128) -> Order {
        let digest = Digest::of(&n.to_le_bytes());
        Order { id: ConsignmentId::from_parts(1, n), survey: digest, terms: digest }
    }

    #[tokio::test]
    async fn a_seal_that_was_begun_is_used_again_and_only_over_the_same_content() {
        let dir = tempfile::tempdir().expect("a folder");
        let recipient = Identity::generate().expect("a key").to_recipient();
        let fresh = || Ok(Sealer::new(std::slice::from_ref(&recipient))?);
        let object = ObjectName::pack(1, consign_model::Seal::Age);
        let content = Some(Digest::of(b"content"));
        let first = {
            let outgoing = outbox(dir.path()).await.open(&order(1)).expect("begins");
            outgoing.seal(&object, content, fresh).expect("a seal").to_secret_bytes()
        };
        let outbox = outbox(dir.path()).await;
        let unfinished = outbox.unfinished().expect("reads").expect("is there");
        assert!(unfinished.same_as(&order(1)) && !unfinished.same_as(&order(2)));
        let outgoing = outbox.open(&unfinished).expect("goes on");
        let again = outgoing.seal(&object, content, fresh).expect("the same").to_secret_bytes();
        assert_eq!(*first, *again);
        let error = outgoing.seal(&object, Some(Digest::of(b"other")), fresh).expect_err("differs");
        assert_eq!(error.kind(), ErrorKind::SourceChanged);
        outbox.forget().expect("forgets");
        assert!(outbox.unfinished().expect("reads").is_none());
        outbox.forget().expect("nothing to forget");
    }

    #[tokio::test]
    async fn what_a_crash_left_of_a_forgotten_consignment_is_not_the_next_ones() {
        let dir = tempfile::tempdir().expect("a folder");
        let outbox = outbox(dir.path()).await;
        let recipient = Identity::generate().expect("a key").to_recipient();
        let object = ObjectName::pack(1, consign_model::Seal::Age);
        let first = outbox.open(&order(1)).expect("begins");
        let fresh = || Ok(Sealer::new(std::slice::from_ref(&recipient))?);
        let of_first = first.seal(&object, None, fresh).expect("a seal").to_secret_bytes();
        let folder = outbox.outgoing_path();
        for left in ["letter", "signature", "manifest.json.sig.age.jsonl"] {
            std::fs::write(folder.join(left), "left").expect("writes");
        }
        // `forget` was killed after its first step.
        std::fs::remove_file(folder.join("order.json")).expect("removes");
        drop(first);

        let second = outbox.open(&order(2)).expect("begins");
        assert!(second.decided().expect("reads").is_none());
        let journal = second.journal("manifest.json.sig.age").expect("opens");
        assert!(journal.events().is_empty());
        let of_second = second.seal(&object, None, fresh).expect("a seal").to_secret_bytes();
        assert_ne!(*of_first, *of_second);
    }

    #[test]
    fn seals_are_written_and_read() {
        let bytes: Vec<u8> = (0..=255).collect();
        let text = serde_json::to_string(&SealSecret(Zeroizing::new(bytes.clone()))).expect("JSON");
        let read: SealSecret = serde_json::from_str(&text).expect("its own text");
        assert_eq!(*read.0, bytes);
        for bad in ["\"abc\"", "\"zz\"", "1"] {
            assert!(serde_json::from_str::<SealSecret>(bad).is_err(), "{bad}");
        }
    }
}
