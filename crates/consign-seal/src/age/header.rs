//! The textual header: who can open the file, and the key for it, wrapped for each of them.
//!
//! [`read_header`] takes what has arrived so far and says how much more it needs, so the header
//! can come from a file, a pipe or the first range of a download. It is parsed as strictly as the
//! specification words it; whatever deviates by a byte is refused, because a header with two
//! readings is a header that two programs disagree about. The grammar (age.md, "ABNF definition
//! of file header"):
//!
//! ```text
//! header     = v1-line 1*stanza end
//! v1-line    = "age-encryption.org/v1" LF
//! end        = "--- " 43base64char LF
//! ```
//!
//! with stanzas as in [`super::stanza`].

use std::collections::BTreeMap;

use base64::Engine;

use super::file_key::FileKey;
use super::keys::{Identity, Recipient};
use super::payload::{NONCE_BYTES, Opener};
use super::stanza::{Lines, Stanza, Stop, broken, decode_exactly, read_after_marker};
use super::{hybrid, passphrase, x25519};
use crate::primitives::{BASE64_RAW, chacha20_poly1305, hmac_sha256, hmac_sha256_matches};
use crate::{Error, ErrorKind};

/// The longest header that is read or written. The specification sets no limit; this one is room
/// for 10,000 X25519 or 650 post-quantum recipients and keeps a hostile header from costing memory
/// or time.
pub const MAX_HEADER_BYTES: usize = 1024 * 1024;

/// Version line, the shortest stanza, and the MAC line.
const MIN_HEADER_BYTES: usize = VERSION_LINE.len() + b"-> X\n\n".len() + MAC_LINE_BYTES;
const MAC_LINE_BYTES: usize = b"--- ".len() + 43 + 1;
/// What every version of the format begins with.
pub(super) const MAGIC: &[u8] = b"age-encryption.org/";
const VERSION_LINE: &[u8] = b"age-encryption.org/v1\n";
/// How much of a foreign stanza's name is kept for messages.
const TYPE_NAME_MAX: usize = 32;

/// What [`read_header`] found.
#[derive(Debug)]
pub enum HeaderRead {
    /// The header is not complete: at least that many more bytes are needed. Bring more than
    /// that if there are more; bytes after the header do no harm.
    Need(usize),
    /// The header, and how many bytes it took. The 16-byte nonce follows it.
    Done(Header, usize),
}

/// A parsed header. It is not yet authenticated: [`Header::open`] does that.
pub struct Header {
    /// All of the header up to and including `---`: what the MAC covers.
    mac_input: Vec<u8>,
    mac: [u8; 32],
    // INVARIANT: not empty; those of native types are well-formed; a passphrase stands alone.
    stanzas: Vec<Stanza>,
}

/// Reads a header from the start of `bytes`, which may end before it or go on after it.
///
/// Fails as soon as what is there cannot become a header: not an age file, a later version, a
/// broken rule, or more than [`MAX_HEADER_BYTES`] without an end. When `bytes` is all there will
/// ever be and the answer is [`HeaderRead::Need`], the error to report is [`header_ended_early`].
pub fn read_header(bytes: &[u8]) -> Result<HeaderRead, Error> {
    let bounded = bytes.get(..MAX_HEADER_BYTES).unwrap_or(bytes);
    match parse(bounded) {
        Ok(header) => {
            let consumed = header.mac_input.len() + MAC_LINE_BYTES - b"---".len();
            Ok(HeaderRead::Done(header, consumed))
        }
        Err(Stop::Refused(error)) => Err(error),
        Err(Stop::Incomplete) if bounded.len() == MAX_HEADER_BYTES => {
            Err(broken(format!("it does not end within {} KiB", MAX_HEADER_BYTES / 1024)))
        }
        Err(Stop::Incomplete) => {
            Ok(HeaderRead::Need(MIN_HEADER_BYTES.saturating_sub(bytes.len()).max(1)))
        }
    }
}

/// The error for an input that ended while [`read_header`] still asked for more.
pub fn header_ended_early(bytes: &[u8]) -> Error {
    let context =
        if bytes.is_empty() { "the file is empty" } else { "the file ends within its header" };
    Error::new(ErrorKind::Truncated, context)
}

impl Header {
    /// Finds the file key with one of `identities`, authenticates the header with it, and returns
    /// what opens the content. `nonce` is the 16 bytes that follow the header.
    pub fn open(
        &self,
        identities: &[Identity],
        nonce: &[u8; NONCE_BYTES],
    ) -> Result<Opener, Error> {
        self.open_with(&self.find_file_key(identities)?, nonce)
    }

    /// The same with a file key from elsewhere, such as a plugin to which [`Header::stanzas`] were
    /// shown.
    pub fn open_with(
        &self,
        file_key: &FileKey,
        nonce: &[u8; NONCE_BYTES],
    ) -> Result<Opener, Error> {
        self.authenticate(file_key)?;
        Ok(Opener::new(chacha20_poly1305(&*file_key.payload_key(nonce)?)?))
    }

    /// The file key, found with one of `identities` and authenticated: what
    /// [`write_header`] wraps for other recipients, without touching the content.
    pub fn file_key(&self, identities: &[Identity]) -> Result<FileKey, Error> {
        let file_key = self.find_file_key(identities)?;
        self.authenticate(&file_key)?;
        Ok(file_key)
    }

    /// The header that opens the same content for other recipients, written anew with the file key
    /// that one of `identities` finds: nonce and content stay as they are, at whatever offset the
    /// new header ends.
    ///
    /// Who had the old header and a key for it opens the content for ever: the file key is the same.
    pub fn rewrapped(
        &self,
        identities: &[Identity],
        recipients: &[Recipient],
    ) -> Result<Vec<u8>, Error> {
        write_header(&self.file_key(identities)?, recipients, &[])
    }

    /// The stanzas, in their order. Not authenticated.
    pub fn stanzas(&self) -> &[Stanza] {
        &self.stanzas
    }

    /// Whether a passphrase opens it, and nothing else.
    pub fn is_for_passphrase(&self) -> bool {
        self.stanzas.iter().any(|stanza| stanza.name() == passphrase::STANZA)
    }

    /// How many recipients there are of each type, by the names the format gives them
    /// (`X25519`, `scrypt`, …). Not authenticated; names of unknown types are the sender's words.
    pub fn recipient_types(&self) -> impl Iterator<Item = (&str, usize)> {
        let mut types = BTreeMap::new();
        for stanza in &self.stanzas {
            let name = stanza.name();
            *types.entry(name.get(..TYPE_NAME_MAX).unwrap_or(name)).or_default() += 1;
        }
        types.into_iter()
    }

    /// age.md, "Header MAC".
    fn authenticate(&self, file_key: &FileKey) -> Result<(), Error> {
        if hmac_sha256_matches(&*file_key.mac_key()?, &self.mac_input, &self.mac) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Tampered,
            "the header was changed after sealing: its authentication code does not match",
        ))
    }

    fn find_file_key(&self, identities: &[Identity]) -> Result<FileKey, Error> {
        for identity in identities {
            for stanza in &self.stanzas {
                if let Some(file_key) = identity.unwrap(stanza)? {
                    return Ok(file_key);
                }
            }
        }
        if !self.is_for_passphrase() {
            return Err(self.not_for_you(identities.len()));
        }
        if identities.iter().any(|identity| matches!(identity, Identity::Passphrase(_))) {
            let context = "the file is sealed with a passphrase, and this is not the one";
            return Err(Error::new(ErrorKind::WrongPassphrase, context));
        }
        Err(Error::new(ErrorKind::NeedsPassphrase, "the file is sealed with a passphrase"))
    }

    fn not_for_you(&self, identities: usize) -> Error {
        let types: Vec<String> = self
            .recipient_types()
            .take(8)
            .map(|(name, count)| format!("{count} × {name}"))
            .collect();
        let ours = match identities {
            0 => "there is no identity to open it with".to_owned(),
            1 => "the one identity at hand is not among them".to_owned(),
            n => format!("none of the {n} identities at hand is among them"),
        };
        Error::new(
            ErrorKind::NotForYou,
            format!("the file is sealed for other recipients ({}); {ours}", types.join(", ")),
        )
        .hinting(
            "compare your recipient (`age1…`) with those the sender sealed for; open it with the \
             identity that belongs to one of them",
        )
    }
}

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Header").field("stanzas", &self.stanzas).finish_non_exhaustive()
    }
}

/// Writes the header that wraps `file_key` for each of `recipients`, and with `stanzas`, in which
/// somebody else has wrapped it already.
///
/// What is sealed for a post-quantum and another recipient is only as safe as the other, so they
/// are refused beside each other (age.md: "the same file SHOULD NOT be encrypted to both"); what
/// `stanzas` are worth in that regard is the caller's to know. A passphrase is the only recipient
/// or none ("MUST be the only stanza in the header").
pub fn write_header(
    file_key: &FileKey,
    recipients: &[Recipient],
    stanzas: &[Stanza],
) -> Result<Vec<u8>, Error> {
    if recipients.is_empty() && stanzas.is_empty() {
        return Err(Error::usage("there is no recipient to seal for"));
    }
    may_stand_together(recipients, stanzas)?;
    let mut header = VERSION_LINE.to_vec();
    for recipient in recipients {
        header.extend_from_slice(recipient.wrap(file_key)?.to_text().as_bytes());
    }
    for stanza in stanzas {
        header.extend_from_slice(stanza.to_text().as_bytes());
    }
    header.extend_from_slice(b"---");
    let mac = hmac_sha256(file_key.mac_key()?.as_slice(), &header);
    header.extend_from_slice(format!(" {}\n", BASE64_RAW.encode(mac)).as_bytes());
    if header.len() > MAX_HEADER_BYTES {
        return Err(Error::usage(format!(
            "{} recipients do not fit into a header of {} KiB",
            recipients.len() + stanzas.len(),
            MAX_HEADER_BYTES / 1024
        )));
    }
    Ok(header)
}

fn may_stand_together(recipients: &[Recipient], stanzas: &[Stanza]) -> Result<(), Error> {
    let all = recipients.len() + stanzas.len();
    if all > 1 && recipients.iter().any(|one| matches!(one, Recipient::Passphrase(_))) {
        let context = "a passphrase cannot stand beside other recipients: whoever knows it could \
                       seal in the name of all of them";
        return Err(Error::new(ErrorKind::BadKey, context));
    }
    let post_quantum = recipients.iter().filter(|one| one.is_post_quantum()).count();
    if post_quantum == 0 || post_quantum == recipients.len() {
        return Ok(());
    }
    let other = recipients.iter().find(|one| !one.is_post_quantum());
    let other = other.map(ToString::to_string).unwrap_or_default();
    let short: String = other.chars().take(40).collect();
    let context = format!(
        "post-quantum recipients cannot stand beside others, which would be the easier way in: \
         `{short}` is not post-quantum"
    );
    Err(Error::new(ErrorKind::BadKey, context))
}

fn parse(bytes: &[u8]) -> Result<Header, Stop> {
    let mut lines = Lines::new(bytes);
    version_line(&mut lines)?;
    let mut stanzas = Vec::new();
    loop {
        let start = lines.at;
        let line = lines.next()?;
        if let Some(mac) = line.strip_prefix(b"---") {
            if stanzas.is_empty() {
                return Err(broken("it names no recipient").into());
            }
            let mac = mac_line(mac)?;
            let mac_input = bytes.get(..start + b"---".len()).unwrap_or_default().to_vec();
            let header = Header { mac_input, mac, stanzas };
            // age.md, "scrypt recipient stanza": MUST reject headers where a scrypt stanza is
            // present alongside any other.
            if header.is_for_passphrase() && header.stanzas.len() > 1 {
                return Err(broken("a passphrase stands beside other recipients").into());
            }
            return Ok(header);
        }
        let Some(arguments) = line.strip_prefix(b"-> ") else {
            return Err(broken("a line is neither a recipient nor the end").into());
        };
        let stanza = read_after_marker(arguments, &mut lines)?;
        check_native(&stanza)?;
        stanzas.push(stanza);
    }
}

/// What of a native type is malformed is refused whoever tries to open it, so that a broken file is
/// not reported as one for somebody else. Unknown types MUST be ignored (age.md, "Recipient
/// stanza").
fn check_native(stanza: &Stanza) -> Result<(), Error> {
    match stanza.name() {
        x25519::STANZA => x25519::check(stanza),
        hybrid::STANZA => hybrid::check(stanza),
        passphrase::STANZA => passphrase::check(stanza),
        _ => Ok(()),
    }
}

fn version_line(lines: &mut Lines<'_>) -> Result<(), Stop> {
    let seen = lines.bytes.get(..MAGIC.len()).unwrap_or(lines.bytes);
    if !MAGIC.starts_with(seen) {
        return Err(Error::new(ErrorKind::NotSealed, not_sealed(lines.bytes)).into());
    }
    // A version is short; what goes on and on is not one.
    let version_max = 64;
    let window = lines.bytes.get(..version_max).unwrap_or(lines.bytes);
    if window.len() == version_max && !window.contains(&b'\n') {
        return Err(broken("its first line is too long").into());
    }
    let line = lines.next()?;
    let version = line.get(MAGIC.len()..).unwrap_or_default();
    if version == b"v1" {
        return Ok(());
    }
    if version.is_empty() || !version.iter().all(u8::is_ascii_graphic) {
        return Err(broken("its first line is not `age-encryption.org/v1`").into());
    }
    Err(Error::new(
        ErrorKind::UnsupportedVersion,
        format!(
            "the file is of version `{}` of the age format; only `v1` is known",
            String::from_utf8_lossy(version)
        ),
    )
    .into())
}

/// Says what it is instead, where that is easy to see.
fn not_sealed(bytes: &[u8]) -> String {
    let seems = if bytes.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----") {
        "an armored age file; take the armor off first"
    } else if bytes.starts_with(b"-----BEGIN PGP") {
        "an OpenPGP message"
    } else if bytes.starts_with(b"PK\x03\x04") {
        "a zip archive"
    } else if bytes.starts_with(b"\x28\xb5\x2f\xfd") {
        "a zstd stream"
    } else if bytes.iter().take(512).all(|byte| *byte == 0) {
        "zeros"
    } else {
        return "this is not an age file".to_owned();
    };
    format!("this is not an age file, it seems to be {seems}")
}

fn mac_line(after_dashes: &[u8]) -> Result<[u8; 32], Error> {
    let text = after_dashes
        .strip_prefix(b" ")
        .filter(|text| text.len() == 43)
        .ok_or_else(|| broken("its last line is not `--- ` and 43 characters"))?;
    let text = std::str::from_utf8(text).unwrap_or_default();
    decode_exactly(text).ok_or_else(|| broken("its authentication code is not canonical base64"))
}
