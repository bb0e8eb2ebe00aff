//! Recipient stanzas: the text in which a file key is wrapped for one recipient (age.md,
//! "Recipient stanza").
//!
//! ```text
//! stanza     = arg-line *full-line final-line
//! arg-line   = "-> " argument *(SP argument) LF        argument   = 1*VCHAR
//! full-line  = 64base64char LF                         final-line = *63base64char LF
//! ```
//!
//! Plugins speak in the same text (age-plugin.md, "IPC protocol"), which is why a [`Stanza`] is
//! public: what a plugin answers becomes part of a header, and the reverse.

use std::fmt;

use base64::Engine;
use zeroize::Zeroizing;

use crate::primitives::BASE64_RAW;
use crate::{Error, ErrorKind};

const LINE_CHARACTERS: usize = 64;

/// A type, arguments, and a body of bytes. The body is wiped when dropped: in a plugin's answer it
/// is a file key.
#[derive(Clone, PartialEq, Eq)]
pub struct Stanza {
    // INVARIANT: at least one, none empty, all of visible ASCII.
    arguments: Vec<String>,
    body: Zeroizing<Vec<u8>>,
}

impl Stanza {
    /// A stanza of a type with its arguments. Refuses what the text cannot hold: empty arguments,
    /// spaces, anything but visible ASCII.
    pub fn new(name: &str, arguments: &[&str], body: &[u8]) -> Result<Stanza, Error> {
        let words = std::iter::once(&name).chain(arguments);
        let arguments: Vec<String> = words.map(|word| (*word).to_owned()).collect();
        if arguments.iter().any(|word| !is_argument(word.as_bytes())) {
            return Err(Error::usage("an argument of a stanza is empty or not visible ASCII"));
        }
        Ok(Stanza { arguments, body: Zeroizing::new(body.to_vec()) })
    }

    /// The type, such as `X25519`.
    pub fn name(&self) -> &str {
        self.arguments.first().map(String::as_str).unwrap_or_default()
    }

    /// What follows the type on the first line.
    pub fn arguments(&self) -> &[String] {
        self.arguments.get(1..).unwrap_or_default()
    }

    /// The bytes below the first line.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The text, with its last line feed.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(80 + self.body.len() / 48 * 65 + 4096));
        out.push_str("->");
        for argument in &self.arguments {
            out.push(' ');
            out.push_str(argument);
        }
        out.push('\n');
        let body = Zeroizing::new(BASE64_RAW.encode(self.body.as_slice()));
        let mut rest = body.as_str();
        // The last line is shorter than the others, and empty if need be.
        while let Some((line, after)) = rest.split_at_checked(LINE_CHARACTERS) {
            out.push_str(line);
            out.push('\n');
            rest = after;
        }
        out.push_str(rest);
        out.push('\n');
        out
    }

    /// Reads a stanza from the start of `bytes`: the stanza and how many bytes it took, or `None`
    /// where it is not complete yet. Fails as soon as it cannot become one.
    pub fn read(bytes: &[u8]) -> Result<Option<(Stanza, usize)>, Error> {
        let mut lines = Lines::new(bytes);
        let stanza = lines.next().and_then(|line| {
            let arguments =
                line.strip_prefix(b"-> ").ok_or_else(|| broken("a line does not begin one"))?;
            read_after_marker(arguments, &mut lines)
        });
        match stanza {
            Ok(stanza) => Ok(Some((stanza, lines.at))),
            Err(Stop::Incomplete) => Ok(None),
            Err(Stop::Refused(error)) => Err(error),
        }
    }
}

impl fmt::Debug for Stanza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stanza").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// Why parsing stopped: the bytes ran out, or what is there breaks a rule.
pub(super) enum Stop {
    Incomplete,
    Refused(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Refused(error)
    }
}

/// A header that deviates from its grammar.
pub(super) fn broken(what: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Header, format!("the header breaks the age format: {what}"))
}

/// What stands after `-> `, and the lines below it.
pub(super) fn read_after_marker(arguments: &[u8], lines: &mut Lines<'_>) -> Result<Stanza, Stop> {
    let arguments = arguments
        .split(|byte| *byte == b' ')
        .map(|argument| {
            if !is_argument(argument) {
                return Err(broken("a recipient has an empty or unprintable argument"));
            }
            Ok(String::from_utf8_lossy(argument).into_owned())
        })
        .collect::<Result<Vec<String>, Error>>()?;
    Ok(Stanza { arguments, body: body(lines)? })
}

fn is_argument(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(u8::is_ascii_graphic)
}

/// Full lines of 64 characters, then one shorter, perhaps empty. 64 characters are 48 bytes
/// exactly, so decoding line by line is decoding the whole.
fn body(lines: &mut Lines<'_>) -> Result<Zeroizing<Vec<u8>>, Stop> {
    let mut body = Zeroizing::new(Vec::new());
    loop {
        let line = lines.next_body()?;
        BASE64_RAW
            .decode_vec(line, &mut body)
            .map_err(|_| broken("the body of a recipient is not canonical base64"))?;
        if line.len() < LINE_CHARACTERS {
            return Ok(body);
        }
    }
}

/// Exactly `N` bytes in canonical base64 without padding.
pub(super) fn decode_exactly<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Asking for the length first spares decoding hostile megabytes.
    if text.len() != (N * 4).div_ceil(3) {
        return None;
    }
    BASE64_RAW.decode(text).ok()?.try_into().ok()
}

/// Lines that end in LF. Nothing else ends one, and CR is no part of any.
pub(super) struct Lines<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Lines<'a> {
        Lines { bytes, at: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next line, without its end.
    pub(super) fn next(&mut self) -> Result<&'a [u8], Stop> {
        let rest = self.rest();
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(Stop::Incomplete)?;
        self.at += end + 1;
        Ok(rest.get(..end).unwrap_or_default())
    }

    /// The next line of a body: at most 64 characters, and refused as soon as it is longer.
    fn next_body(&mut self) -> Result<&'a [u8], Stop> {
        let window = self.rest().get(..=LINE_CHARACTERS).unwrap_or(self.rest());
        if window.len() > LINE_CHARACTERS && !window.contains(&b'\n') {
            return Err(broken("a line of a recipient's body is longer than 64 characters").into());
        }
        self.next()
    }
}
