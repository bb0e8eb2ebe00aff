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
//! stanza     = arg-line *full-line final-line
//! arg-line   = "-> " argument *(SP argument) LF        argument   = 1*VCHAR
//! full-line  = 64base64char LF                         final-line = *63base64char LF
//! ```

use std::collections::BTreeMap;

use base64::Engine;
use zeroize::Zeroizing;

use super::keys::{Identity, Recipient};
use super::payload::{NONCE_BYTES, Opener, payload_key};
use crate::primitives::{
    BASE64_RAW, chacha20_poly1305, hkdf_sha256, hmac_sha256, hmac_sha256_matches, random,
    unwrap_file_key, wrap_file_key, x25519, x25519_private, x25519_public,
};
use crate::{Error, ErrorKind};

/// The longest header that is read or written. The specification sets no limit; this one is room
/// for 2,600 X25519 recipients and keeps a hostile header from costing memory or time.
pub const MAX_HEADER_BYTES: usize = 256 * 1024;

/// Version line, the shortest stanza, and the MAC line.
const MIN_HEADER_BYTES: usize = VERSION_LINE.len() + b"-> X\n\n".len() + MAC_LINE_BYTES;
const MAC_LINE_BYTES: usize = b"--- ".len() + 43 + 1;
const MAGIC: &[u8] = b"age-encryption.org/";
const VERSION_LINE: &[u8] = b"age-encryption.org/v1\n";
const X25519_INFO: &[u8] = b"age-encryption.org/v1/X25519";
/// Above this, a scrypt stanza is refused whoever asks: 2^22 is 4 GiB of memory (age.md, "scrypt
/// recipient stanza": SHOULD apply an upper limit; `age` has the same one).
const SCRYPT_LOG_N_MAX: u8 = 22;
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
    x25519: Vec<X25519Stanza>,
    /// INVARIANT: if true, it is the only stanza.
    passphrase: bool,
    /// How many stanzas there are of each type, for people.
    types: BTreeMap<String, usize>,
}

struct X25519Stanza {
    share: [u8; 32],
    body: [u8; 32],
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
        let file_key = self.file_key(identities)?;
        // age.md, "Header MAC".
        let mac_key = hkdf_sha256(file_key.as_slice(), &[], b"header")?;
        if !hmac_sha256_matches(&mac_key, &self.mac_input, &self.mac) {
            return Err(Error::new(
                ErrorKind::Tampered,
                "the header was changed after sealing: its authentication code does not match",
            ));
        }
        Ok(Opener::new(chacha20_poly1305(&*payload_key(&file_key, nonce)?)?))
    }

    /// How many recipients there are of each type, by the names the format gives them
    /// (`X25519`, `scrypt`, …). Not authenticated; names of unknown types are the sender's words.
    pub fn recipient_types(&self) -> impl Iterator<Item = (&str, usize)> {
        self.types.iter().map(|(name, count)| (name.as_str(), *count))
    }

    fn file_key(&self, identities: &[Identity]) -> Result<Zeroizing<[u8; 16]>, Error> {
        if self.passphrase {
            return Err(Error::new(
                ErrorKind::NeedsPassphrase,
                "the file is sealed with a passphrase, which is not supported yet",
            ));
        }
        for identity in identities {
            let secret = x25519_private(identity.secret())?;
            let public = *identity.to_recipient().public();
            for stanza in &self.x25519 {
                // age.md, "X25519 recipient stanza": MUST abort if the shared secret is zero.
                let shared = x25519(&secret, &stanza.share).ok_or_else(|| {
                    broken("the share of an X25519 recipient is a point of low order")
                })?;
                let wrap_key = wrap_key(&shared, &stanza.share, &public)?;
                if let Some(file_key) = unwrap_file_key(&wrap_key, &stanza.body)? {
                    return Ok(file_key);
                }
            }
        }
        Err(self.not_for_you(identities.len()))
    }

    fn not_for_you(&self, identities: usize) -> Error {
        let types: Vec<String> =
            self.types.iter().take(8).map(|(name, count)| format!("{count} × {name}")).collect();
        let ours = match identities {
            0 => "there is no identity to open it with".to_owned(),
            1 => "the one identity at hand is not among them".to_owned(),
            n => format!("none of the {n} identities at hand is among them"),
        };
        Error::new(
            ErrorKind::NotForYou,
            format!("the file is sealed for other recipients ({}); {ours}", types.join(", ")),
        )
    }
}

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Header").field("recipients", &self.types).finish_non_exhaustive()
    }
}

/// Writes the header that wraps `file_key` for each of `recipients`.
pub(super) fn write_header(
    file_key: &[u8; 16],
    recipients: &[Recipient],
) -> Result<Vec<u8>, Error> {
    let mut header = VERSION_LINE.to_vec();
    for recipient in recipients {
        write_x25519_stanza(&mut header, file_key, recipient)?;
    }
    header.extend_from_slice(b"---");
    let mac_key = hkdf_sha256(file_key, &[], b"header")?;
    let mac = hmac_sha256(&mac_key, &header);
    header.extend_from_slice(format!(" {}\n", BASE64_RAW.encode(mac)).as_bytes());
    if header.len() > MAX_HEADER_BYTES {
        return Err(Error::usage(format!(
            "{} recipients do not fit into a header of {} KiB",
            recipients.len(),
            MAX_HEADER_BYTES / 1024
        )));
    }
    Ok(header)
}

/// age.md, "X25519 recipient stanza". The body is 43 characters, so one short line.
fn write_x25519_stanza(
    header: &mut Vec<u8>,
    file_key: &[u8; 16],
    recipient: &Recipient,
) -> Result<(), Error> {
    let ephemeral = x25519_private(&*random::<32>()?)?;
    let share = x25519_public(&ephemeral)?;
    let shared = x25519(&ephemeral, recipient.public())
        .ok_or_else(|| Error::internal("agreement with a checked recipient"))?;
    let body = wrap_file_key(&*wrap_key(&shared, &share, recipient.public())?, file_key)?;
    let (share, body) = (BASE64_RAW.encode(share), BASE64_RAW.encode(body));
    header.extend_from_slice(format!("-> X25519 {share}\n{body}\n").as_bytes());
    Ok(())
}

fn wrap_key(
    shared: &[u8; 32],
    share: &[u8; 32],
    recipient: &[u8; 32],
) -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut salt = [0u8; 64];
    salt[..32].copy_from_slice(share);
    salt[32..].copy_from_slice(recipient);
    hkdf_sha256(shared, &salt, X25519_INFO)
}

/// Why parsing stopped: the bytes ran out, or what is there breaks a rule.
enum Stop {
    Incomplete,
    Refused(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Refused(error)
    }
}

fn broken(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Header, format!("the header breaks the age format: {what}"))
}

fn parse(bytes: &[u8]) -> Result<Header, Stop> {
    let mut lines = Lines { bytes, at: 0 };
    version_line(&mut lines)?;
    let mut header = Header {
        mac_input: Vec::new(),
        mac: [0; 32],
        x25519: Vec::new(),
        passphrase: false,
        types: BTreeMap::new(),
    };
    let mut stanzas = 0usize;
    loop {
        let start = lines.at;
        let line = lines.next()?;
        if let Some(mac) = line.strip_prefix(b"---") {
            if stanzas == 0 {
                return Err(broken("it names no recipient").into());
            }
            header.mac = mac_line(mac)?;
            header.mac_input = bytes.get(..start + b"---".len()).unwrap_or_default().to_vec();
            break;
        }
        let Some(arguments) = line.strip_prefix(b"-> ") else {
            return Err(broken("a line is neither a recipient nor the end").into());
        };
        let arguments = arguments_of(arguments)?;
        let body = stanza_body(&mut lines)?;
        stanzas += 1;
        header.add_stanza(&arguments, &body)?;
    }
    // age.md, "scrypt recipient stanza": MUST reject headers where a scrypt stanza is present
    // alongside any other.
    if header.passphrase && stanzas > 1 {
        return Err(broken("a passphrase stands beside other recipients").into());
    }
    Ok(header)
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
    decode_32(text).ok_or_else(|| broken("its authentication code is not canonical base64"))
}

fn arguments_of(line: &[u8]) -> Result<Vec<&[u8]>, Error> {
    let arguments: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    for argument in &arguments {
        if argument.is_empty() || !argument.iter().all(u8::is_ascii_graphic) {
            return Err(broken("a recipient has an empty or unprintable argument"));
        }
    }
    Ok(arguments)
}

/// Full lines of 64 characters, then one shorter, perhaps empty. 64 characters are 48 bytes
/// exactly, so decoding line by line is decoding the whole.
fn stanza_body(lines: &mut Lines<'_>) -> Result<Vec<u8>, Stop> {
    let mut body = Vec::new();
    loop {
        let line = lines.next_body()?;
        BASE64_RAW
            .decode_vec(line, &mut body)
            .map_err(|_| broken("the body of a recipient is not canonical base64"))?;
        if line.len() < 64 {
            return Ok(body);
        }
    }
}

impl Header {
    fn add_stanza(&mut self, arguments: &[&[u8]], body: &[u8]) -> Result<(), Error> {
        let Some((&name, rest)) = arguments.split_first() else {
            return Err(broken("a recipient has no type"));
        };
        match name {
            b"X25519" => self.x25519.push(x25519_stanza(rest, body)?),
            b"scrypt" => {
                check_scrypt_stanza(rest, body)?;
                self.passphrase = true;
            }
            // age.md, "Recipient stanza": MUST ignore unrecognized stanzas.
            _ => {}
        }
        let name = name.get(..TYPE_NAME_MAX).unwrap_or(name);
        *self.types.entry(String::from_utf8_lossy(name).into_owned()).or_default() += 1;
        Ok(())
    }
}

/// age.md, "X25519 recipient stanza": two arguments, a share of 32 bytes, a body of 32 bytes,
/// everything canonical; all else MUST be rejected, whoever tries to open it.
fn x25519_stanza(arguments: &[&[u8]], body: &[u8]) -> Result<X25519Stanza, Error> {
    let [share] = arguments else {
        return Err(broken("an X25519 recipient has the wrong number of arguments"));
    };
    let share = decode_32(share)
        .ok_or_else(|| broken("the share of an X25519 recipient is not 32 canonical bytes"))?;
    let body = <[u8; 32]>::try_from(body)
        .map_err(|_| broken("the body of an X25519 recipient is not 32 bytes"))?;
    Ok(X25519Stanza { share, body })
}

/// age.md, "scrypt recipient stanza". Checked although it cannot be opened yet, so that a broken
/// file is not reported as one that wants a passphrase.
fn check_scrypt_stanza(arguments: &[&[u8]], body: &[u8]) -> Result<(), Error> {
    let [salt, log_n] = arguments else {
        return Err(broken("a passphrase has the wrong number of arguments"));
    };
    if BASE64_RAW.decode(salt).ok().is_none_or(|salt| salt.len() != 16) {
        return Err(broken("the salt of a passphrase is not 16 canonical bytes"));
    }
    let plain = log_n.iter().all(u8::is_ascii_digit) && !log_n.starts_with(b"0");
    let log_n = std::str::from_utf8(log_n).ok().and_then(|text| text.parse::<u8>().ok());
    if !plain || log_n.is_none_or(|log_n| log_n > SCRYPT_LOG_N_MAX) {
        return Err(broken("the work factor of a passphrase is not a number from 1 to 22"));
    }
    if body.len() != 32 {
        return Err(broken("the body of a passphrase is not 32 bytes"));
    }
    Ok(())
}

fn decode_32(text: &[u8]) -> Option<[u8; 32]> {
    // 43 characters; asking first spares decoding hostile megabytes.
    if text.len() != 43 {
        return None;
    }
    BASE64_RAW.decode(text).ok()?.try_into().ok()
}

/// Lines that end in LF. Nothing else ends one, and CR is no part of any.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next line, without its end.
    fn next(&mut self) -> Result<&'a [u8], Stop> {
        let rest = self.rest();
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(Stop::Incomplete)?;
        self.at += end + 1;
        Ok(rest.get(..end).unwrap_or_default())
    }

    /// The next line of a body: at most 64 characters, and refused as soon as it is longer.
    fn next_body(&mut self) -> Result<&'a [u8], Stop> {
        let window = self.rest().get(..65).unwrap_or(self.rest());
        if window.len() == 65 && !window.contains(&b'\n') {
            return Err(broken("a line of a recipient's body is longer than 64 characters").into());
        }
        self.next()
    }
}
