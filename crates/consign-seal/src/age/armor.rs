//! ASCII armor: strict PEM (RFC 7468 §3, figure 3) around an age file.
//!
//! Armor is outside what age authenticates, so a lenient reader would let anybody change an
//! armored file without anyone noticing. This one follows age.md, "ASCII armor": lines of exactly
//! 64 characters but the last, padded canonical base64, nothing before or after but whitespace,
//! and LF or CRLF at the end of a line.

use std::io::{self, BufRead, Read, Write};

use base64::Engine;

use crate::primitives::BASE64_PADDED;
use crate::{Error, ErrorKind};

const BEGIN: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
const END: &[u8] = b"-----END AGE ENCRYPTED FILE-----";
const LINE_CHARACTERS: usize = 64;
const LINE_BYTES: usize = 48;
/// How much whitespace is read before and after. Any limit will do; `age` has this one.
const WHITESPACE_MAX: usize = 1024;

/// Bytes from the start of an input that [`looks_armored`] looks at.
pub(super) const SNIFF_BYTES: usize = WHITESPACE_MAX + BEGIN.len();

/// Whether it begins like an armored age file, after whitespace.
pub(super) fn looks_armored(bytes: &[u8]) -> bool {
    let start = bytes.get(..SNIFF_BYTES).unwrap_or(bytes);
    start.trim_ascii_start().starts_with(b"-----BEGIN AGE ")
}

/// Takes the armor off something in memory.
pub(super) fn unarmor(armored: &[u8]) -> Result<Vec<u8>, Error> {
    let mut binary = Vec::with_capacity(armored.len() / 4 * 3);
    ArmorReader::new(armored).read_to_end(&mut binary).map_err(Error::from_io)?;
    Ok(binary)
}

/// Reads armored text, gives the binary file. Its errors carry an [`Error`]: see
/// [`Error::from_io`]. It reads to the end of the input, to see that nothing follows.
pub struct ArmorReader<R> {
    inner: R,
    place: Place,
    line: Vec<u8>,
    decoded: Vec<u8>,
    given: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    Body,
    /// A line shorter than the others has been read: only the end may follow.
    AfterShortLine,
    Done,
    /// What comes after damage must not be taken for what comes after the line before it.
    Failed,
}

impl<R: BufRead> ArmorReader<R> {
    /// Reads from `inner`.
    pub fn new(inner: R) -> ArmorReader<R> {
        ArmorReader {
            inner,
            place: Place::Before,
            line: Vec::with_capacity(LINE_CHARACTERS + 2),
            decoded: Vec::with_capacity(LINE_BYTES),
            given: 0,
        }
    }

    /// Decodes the next line, or finds the end. A failure stays.
    fn advance(&mut self) -> Result<(), Error> {
        let place = std::mem::replace(&mut self.place, Place::Failed);
        self.decoded.clear();
        self.given = 0;
        match self.next_place(place) {
            Ok(next) => self.place = next,
            Err(error) => {
                // A line that fails to decode leaves a part of itself behind.
                self.decoded.clear();
                return Err(error);
            }
        }
        Ok(())
    }

    fn next_place(&mut self, place: Place) -> Result<Place, Error> {
        if place == Place::Failed {
            return Err(broken("reading it failed before"));
        }
        if place == Place::Before {
            self.find_begin()?;
        }
        self.read_line(LINE_CHARACTERS)?;
        if self.line == END {
            self.nothing_follows()?;
            return Ok(Place::Done);
        }
        if place == Place::AfterShortLine || self.line.is_empty() {
            return Err(broken("a line is shorter than 64 characters before the last"));
        }
        BASE64_PADDED
            .decode_vec(&self.line, &mut self.decoded)
            .map_err(|_| broken("a line is not canonical base64"))?;
        Ok(if self.decoded.len() < LINE_BYTES { Place::AfterShortLine } else { Place::Body })
    }

    fn find_begin(&mut self) -> Result<(), Error> {
        let mut whitespace = 0;
        loop {
            self.read_line(WHITESPACE_MAX)?;
            if self.line == BEGIN {
                return Ok(());
            }
            whitespace += self.line.len() + 1;
            if !self.line.trim_ascii().is_empty() || whitespace > WHITESPACE_MAX {
                return Err(broken("it does not begin with its first line"));
            }
        }
    }

    /// Reads a line of at most `max` characters into `self.line`, without its LF or CRLF.
    fn read_line(&mut self, max: usize) -> Result<(), Error> {
        self.line.clear();
        (&mut self.inner)
            .take(max as u64 + 2)
            .read_until(b'\n', &mut self.line)
            .map_err(Error::from_io)?;
        let ended = self.line.pop_if(|byte| *byte == b'\n').is_some();
        if ended {
            self.line.pop_if(|byte| *byte == b'\r');
        }
        if self.line.len() > max {
            return Err(broken("a line is too long"));
        }
        // Only the very last line may go without an end.
        if !ended && self.line != END {
            let context = "the armored file ends before the last line of its armor";
            return Err(Error::new(ErrorKind::Truncated, context));
        }
        Ok(())
    }

    fn nothing_follows(&mut self) -> Result<(), Error> {
        let mut rest = Vec::new();
        (&mut self.inner)
            .take(WHITESPACE_MAX as u64 + 1)
            .read_to_end(&mut rest)
            .map_err(Error::from_io)?;
        if rest.len() > WHITESPACE_MAX || !rest.trim_ascii().is_empty() {
            return Err(Error::new(ErrorKind::TrailingData, "something follows the armored file"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for ArmorReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.given == self.decoded.len() && self.place != Place::Done {
            self.advance()?;
        }
        let ready = self.decoded.get(self.given..).unwrap_or_default();
        let count = ready.len().min(out.len());
        for (slot, byte) in out.iter_mut().zip(ready) {
            *slot = *byte;
        }
        self.given += count;
        Ok(count)
    }
}

/// Writes armored text around what is written to it. Without [`ArmorWriter::finish`] the end is
/// missing, and readers say so.
pub struct ArmorWriter<W> {
    inner: W,
    line: Vec<u8>,
}

impl<W: Write> ArmorWriter<W> {
    /// Writes the first line of the armor to `inner`.
    pub fn new(mut inner: W) -> io::Result<ArmorWriter<W>> {
        inner.write_all(BEGIN)?;
        inner.write_all(b"\n")?;
        Ok(ArmorWriter { inner, line: Vec::with_capacity(LINE_BYTES) })
    }

    /// Writes the rest and the last line of the armor; gives the inner writer back.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.line.is_empty() {
            self.write_line()?;
        }
        self.inner.write_all(END)?;
        self.inner.write_all(b"\n")?;
        Ok(self.inner)
    }

    fn write_line(&mut self) -> io::Result<()> {
        let mut text = BASE64_PADDED.encode(&self.line);
        text.push('\n');
        self.line.clear();
        self.inner.write_all(text.as_bytes())
    }
}

impl<W: Write> Write for ArmorWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.chunks(LINE_BYTES) {
            let (now, later) = piece.split_at(piece.len().min(LINE_BYTES - self.line.len()));
            self.line.extend_from_slice(now);
            if self.line.len() == LINE_BYTES {
                self.write_line()?;
            }
            self.line.extend_from_slice(later);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::Armor, format!("the armor around the file is damaged: {what}"))
}
