//! The encodings that SSH formats share: strings with a length before them (RFC 4251 §5), and
//! base64 between two marker lines.

use base64::Engine;

use crate::primitives::BASE64_PADDED;

/// The name of a key and signature type (RFC 8709 §4 and §6).
pub(crate) const ED25519: &[u8] = b"ssh-ed25519";
/// The name of a key type (RFC 4253 §6.6).
pub(crate) const RSA: &[u8] = b"ssh-rsa";

pub(crate) fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    let length = u32::try_from(string.len()).expect("only short strings are written");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(string);
}

/// A positive number (RFC 4251 §5, `mpint`), given big-endian without leading zeros.
pub(crate) fn put_mpint(out: &mut Vec<u8>, digits: &[u8]) {
    let sign = digits.first().is_some_and(|byte| byte & 0x80 != 0);
    let length = u32::try_from(digits.len() + usize::from(sign)).expect("only short numbers");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend(sign.then_some(0));
    out.extend_from_slice(digits);
}

/// An Ed25519 public key or signature: its type, then its bytes.
pub(crate) fn typed(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + ED25519.len() + bytes.len());
    put_string(&mut out, ED25519);
    put_string(&mut out, bytes);
    out
}

/// The bytes of what [`typed`] wrote, if it is of that type and nothing follows.
pub(crate) fn untyped(wire: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(wire);
    if reader.string()? != ED25519 {
        return None;
    }
    let bytes = reader.string()?;
    reader.is_empty().then_some(bytes)
}

pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (now, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(now)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        let bytes: [u8; 4] = self.bytes(4)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes))
    }

    pub(crate) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.bytes(length)
    }

    /// A positive number in its only encoding (RFC 4251 §5), without the zero of its sign.
    pub(crate) fn mpint(&mut self) -> Option<&'a [u8]> {
        match self.string()? {
            [0, rest @ ..] if rest.first().is_some_and(|byte| byte & 0x80 != 0) => Some(rest),
            digits if digits.first().is_some_and(|byte| (1..0x80).contains(byte)) => Some(digits),
            _ => None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

pub(crate) fn armor(begin: &str, end: &str, line_characters: usize, blob: &[u8]) -> String {
    let text = zeroize::Zeroizing::new(BASE64_PADDED.encode(blob));
    let mut out = String::with_capacity(
        text.len() + text.len() / line_characters + begin.len() + end.len() + 8,
    );
    out.push_str(begin);
    out.push('\n');
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(line_characters.min(rest.len()));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str(end);
    out.push('\n');
    out
}

/// What is between the markers, which must be the first and the last line (PROTOCOL.sshsig §1).
/// Lines may be of any length; the base64 itself must be canonical.
pub(crate) fn unarmor(begin: &str, end: &str, text: &str) -> Option<Vec<u8>> {
    let inside = text.strip_prefix(begin)?;
    let inside = inside.trim_end_matches(['\r', '\n']).strip_suffix(end)?;
    if !inside.starts_with(['\r', '\n']) || !inside.ends_with('\n') {
        return None;
    }
    let mut packed = zeroize::Zeroizing::new(Vec::with_capacity(inside.len()));
    packed.extend(inside.bytes().filter(|byte| *byte != b'\n' && *byte != b'\r'));
    BASE64_PADDED.decode(packed.as_slice()).ok()
}
