//! The text form of OpenPGP (RFC 9580 §6): base64 between two lines that say what it is.
//!
//! Read strictly where it matters: one block and nothing around it but white space, and a checksum
//! that fits where there is one. The checksum guards against line noise, not against anybody; it
//! is written because tools of before 2024 expect it, and need not be there (§6.1).

use std::io::{self, BufRead, Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::{Error, ErrorKind};

/// What a block says that it is.
pub(super) const MESSAGE: &str = "PGP MESSAGE";
pub(super) const PUBLIC_KEY: &str = "PGP PUBLIC KEY BLOCK";
pub(super) const PRIVATE_KEY: &str = "PGP PRIVATE KEY BLOCK";

fn begin_line(label: &str) -> String {
    format!("-----BEGIN {label}-----")
}

fn end_line(label: &str) -> String {
    format!("-----END {label}-----")
}

/// Longer than any line that anybody writes (§6.3.1 allows 76 characters), so that text which is
/// one long line costs no memory.
const LINE_BYTES_MAX: u64 = 4096;
const HEADER_LINES_MAX: usize = 64;

/// How many bytes tell armor from the binary form.
pub(super) const SNIFF_BYTES: usize = 64;

/// Whether text of an OpenPGP message begins here, perhaps after white space or a byte order mark.
pub(super) fn looks_armored(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    start.trim_ascii_start().starts_with(b"-----BEGIN PGP")
}

fn broken(context: &str) -> Error {
    Error::new(ErrorKind::Armor, format!("the ASCII armor is damaged: {context}"))
}

/// Takes the armor off a block.
pub(super) struct ArmorReader<R> {
    inner: R,
    label: &'static str,
    /// Characters that do not yet make a group of four.
    pending: Vec<u8>,
    plain: Vec<u8>,
    given: usize,
    crc: u32,
    padded: bool,
    place: Place,
}

#[derive(PartialEq)]
enum Place {
    Start,
    Body,
    End,
}

impl<R: BufRead> ArmorReader<R> {
    pub(super) fn new(inner: R, label: &'static str) -> ArmorReader<R> {
        ArmorReader {
            inner,
            label,
            pending: Vec::new(),
            plain: Vec::new(),
            given: 0,
            crc: CRC_START,
            padded: false,
            place: Place::Start,
        }
    }

    /// The next line without its end, or nothing at the end of the input.
    fn line(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut line = Vec::new();
        let mut limited = self.inner.by_ref().take(LINE_BYTES_MAX);
        limited.read_until(b'\n', &mut line).map_err(Error::from_io)?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.len() as u64 == LINE_BYTES_MAX {
            return Err(broken("a line is too long"));
        }
        Ok(Some(line.trim_ascii_end().to_vec()))
    }

    fn begin(&mut self) -> Result<(), Error> {
        loop {
            let Some(line) = self.line()? else { return Err(ended_early()) };
            let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
            if line == begin_line(self.label).as_bytes() {
                break;
            }
            if !line.is_empty() {
                let what = String::from_utf8_lossy(line.get(..60).unwrap_or(line)).into_owned();
                let context = format!("this is no {}: it begins with `{what}`", self.label);
                return Err(Error::new(ErrorKind::NotSealed, context));
            }
        }
        for _ in 0..HEADER_LINES_MAX {
            match self.line()? {
                None => return Err(ended_early()),
                Some(line) if line.is_empty() => return Ok(()),
                Some(line) if line.contains(&b':') => {}
                Some(_) => return Err(broken("a header line is none")),
            }
        }
        Err(broken("too many header lines"))
    }

    fn is_end(&self, line: &[u8]) -> bool {
        line == end_line(self.label).as_bytes()
    }

    fn next_line(&mut self) -> Result<(), Error> {
        if self.place == Place::Start {
            self.begin()?;
            self.place = Place::Body;
        }
        let Some(line) = self.line()? else { return Err(ended_early()) };
        if self.is_end(&line) {
            return self.end();
        }
        if let Some(checksum) = line.strip_prefix(b"=").filter(|rest| rest.len() == 4) {
            let expected = self.crc.to_be_bytes();
            let stated = STANDARD.decode(checksum).map_err(|_| broken("the checksum is none"))?;
            if expected.get(1..) != Some(stated.as_slice()) {
                return Err(broken("its checksum does not fit"));
            }
            return match self.line()? {
                None => Err(ended_early()),
                Some(line) if self.is_end(&line) => self.end(),
                Some(_) => Err(broken("something follows its checksum")),
            };
        }
        self.pending.extend_from_slice(&line);
        let whole = self.pending.len() / 4 * 4;
        let group: Vec<u8> = self.pending.drain(..whole).collect();
        if group.is_empty() {
            return Ok(());
        }
        if std::mem::replace(&mut self.padded, group.ends_with(b"=")) {
            return Err(broken("something follows its end"));
        }
        self.plain = STANDARD.decode(&group).map_err(|_| broken("a line is not base64"))?;
        self.given = 0;
        self.crc = crc24(self.crc, &self.plain);
        Ok(())
    }

    /// Nothing but white space may follow: else somebody added it.
    fn end(&mut self) -> Result<(), Error> {
        if !self.pending.is_empty() {
            return Err(broken("its last line is incomplete"));
        }
        while let Some(line) = self.line()? {
            if !line.is_empty() {
                let context = "something follows the end of the armored message";
                return Err(Error::new(ErrorKind::TrailingData, context));
            }
        }
        self.place = Place::End;
        Ok(())
    }
}

fn ended_early() -> Error {
    Error::new(ErrorKind::Truncated, "the armored message ends before its last line")
}

impl<R: BufRead> Read for ArmorReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let ready = self.plain.get(self.given..).unwrap_or_default();
            if !ready.is_empty() {
                let count = ready.len().min(out.len());
                let (now, _) = ready.split_at(count);
                out.split_at_mut(count).0.copy_from_slice(now);
                self.given += count;
                return Ok(count);
            }
            if self.place == Place::End {
                return Ok(0);
            }
            self.next_line()?;
        }
    }
}

/// The binary forms of the blocks of one kind that stand one after the other in a text, as when
/// files of keys are put together. Anything else between them is an error.
pub(super) fn unarmor_blocks(text: &[u8], label: &'static str) -> Result<Vec<Vec<u8>>, Error> {
    let mut blocks = Vec::new();
    let mut block = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        block.extend_from_slice(line);
        if line.trim_ascii_end() == end_line(label).as_bytes() {
            blocks.push(std::mem::take(&mut block));
        }
    }
    if !block.trim_ascii().is_empty() {
        blocks.push(block);
    }
    let unarmored = blocks.iter().map(|block| {
        let mut binary = Vec::new();
        ArmorReader::new(block.as_slice(), label)
            .read_to_end(&mut binary)
            .map_err(Error::from_io)?;
        Ok(binary)
    });
    unarmored.collect()
}

/// A block in armor.
pub(super) fn armored(bytes: &[u8], label: &'static str) -> Result<Vec<u8>, Error> {
    let mut writer = ArmorWriter::new(Vec::new(), Some(label)).map_err(Error::from_io)?;
    writer.write_all(bytes).map_err(Error::from_io)?;
    writer.finish().map_err(Error::from_io)
}

/// 48 bytes make a line of 64 characters.
const LINE_PLAIN_BYTES: usize = 48;

/// Writes bytes as they are or in armor. [`ArmorWriter::finish`] writes the last lines.
pub(super) struct ArmorWriter<W> {
    inner: W,
    label: Option<&'static str>,
    line: Vec<u8>,
    crc: u32,
}

impl<W: Write> ArmorWriter<W> {
    /// Armor with this label, or none.
    pub(super) fn new(mut inner: W, label: Option<&'static str>) -> io::Result<ArmorWriter<W>> {
        if let Some(label) = label {
            inner.write_all(format!("{}\n\n", begin_line(label)).as_bytes())?;
        }
        Ok(ArmorWriter { inner, label, line: Vec::new(), crc: CRC_START })
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        if let Some(label) = self.label {
            self.write_line()?;
            let checksum = self.crc.to_be_bytes();
            let checksum = STANDARD.encode(checksum.get(1..).unwrap_or_default());
            self.inner.write_all(format!("={checksum}\n{}\n", end_line(label)).as_bytes())?;
        }
        Ok(self.inner)
    }

    fn write_line(&mut self) -> io::Result<()> {
        if self.line.is_empty() {
            return Ok(());
        }
        let text = STANDARD.encode(&self.line);
        self.line.clear();
        self.inner.write_all(text.as_bytes())?;
        self.inner.write_all(b"\n")
    }
}

impl<W: Write> Write for ArmorWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.label.is_none() {
            return self.inner.write(bytes);
        }
        let taken = bytes.get(..LINE_PLAIN_BYTES - self.line.len()).unwrap_or(bytes);
        self.line.extend_from_slice(taken);
        self.crc = crc24(self.crc, taken);
        if self.line.len() == LINE_PLAIN_BYTES {
            self.write_line()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

const CRC_START: u32 = 0xb7_04ce;

/// RFC 9580 §6.1.1.
fn crc24(start: u32, bytes: &[u8]) -> u32 {
    let mut crc = start;
    for byte in bytes {
        crc ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x100_0000 != 0 {
                crc ^= 0x186_4cfb;
            }
        }
    }
    crc
}
