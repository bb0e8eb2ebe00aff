//! The encodings that SSH formats share: strings with a length before them (RFC 4251 §5), and
//! base64 between two marker lines.

use base64::Engine;

use crate::primitives::BASE64_PADDED;

/// The name of the only key and signature type used (RFC 8709 §4 and §6).
pub(super) const ED25519: &[u8] = b"ssh-ed25519";

pub(super) fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    let length = u32::try_from(string.len()).expect("only short strings are written");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(string);
}

/// A public key or a signature: its type, then its bytes.
pub(super) fn typed(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + ED25519.len() + bytes.len());
    put_string(&mut out, ED25519);
    put_string(&mut out, bytes);
    out
}

/// The bytes of what [`typed`] wrote, if it is of that type and nothing follows.
pub(super) fn untyped(wire: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(wire);
    if reader.string()? != ED25519 {
        return None;
    }
    let bytes = reader.string()?;
    reader.is_empty().then_some(bytes)
}

pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (now, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(now)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        let bytes: [u8; 4] = self.bytes(4)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes))
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.bytes(length)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

pub(super) fn armor(begin: &str, end: &str, line_characters: usize, blob: &[u8]) -> String {
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
pub(super) fn unarmor(begin: &str, end: &str, text: &str) -> Option<Vec<u8>> {
    let inside = text.strip_prefix(begin)?;
    let inside = inside.trim_end_matches(['\r', '\n']).strip_suffix(end)?;
    if !inside.starts_with(['\r', '\n']) || !inside.ends_with('\n') {
        return None;
    }
    let mut packed = zeroize::Zeroizing::new(Vec::with_capacity(inside.len()));
    packed.extend(inside.bytes().filter(|byte| *byte != b'\n' && *byte != b'\r'));
    BASE64_PADDED.decode(packed.as_slice()).ok()
}
