//! The armor of s3s2: that of OpenPGP (RFC 9580 section 6), under the name `Message`.

use std::io::{self, BufRead, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Error, ErrorKind};

/// What s3s2 writes, and what every other program writes.
const NAMES: [&str; 2] = ["Message", "PGP MESSAGE"];
/// s3s2's library reads lines of up to 96 characters; nobody writes more than 76.
const LINE_BYTES_MAX: usize = 128;
/// Header lines of an armor (`Version: …`, `Comment: …`).
const HEADERS_MAX: usize = 32;
/// What one line of 64 characters holds.
const LINE_CONTENT_BYTES: usize = 48;

/// Writes the armor. Without [`ArmorWriter::finish`] the armor has no end.
pub(super) struct ArmorWriter<W> {
    out: W,
    line: Vec<u8>,
    crc: u32,
}

impl<W: Write> ArmorWriter<W> {
    pub(super) fn new(mut out: W) -> io::Result<ArmorWriter<W>> {
        out.write_all(b"-----BEGIN Message-----\n\n")?;
        Ok(ArmorWriter { out, line: Vec::with_capacity(LINE_CONTENT_BYTES), crc: CRC24_INIT })
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        if !self.line.is_empty() {
            self.put_line()?;
        }
        let checksum = self.crc.to_be_bytes();
        let checksum = STANDARD.encode(checksum.get(1..).unwrap_or_default());
        write!(self.out, "={checksum}\n-----END Message-----\n")?;
        Ok(self.out)
    }

    fn put_line(&mut self) -> io::Result<()> {
        let mut text = STANDARD.encode(&self.line);
        text.push('\n');
        self.line.clear();
        self.out.write_all(text.as_bytes())
    }
}

impl<W: Write> Write for ArmorWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = LINE_CONTENT_BYTES - self.line.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.crc = crc24(self.crc, taken);
        self.line.extend_from_slice(taken);
        if self.line.len() == LINE_CONTENT_BYTES {
            self.put_line()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads the armor strictly: nothing before it, nothing after it, every line whole.
pub(super) struct ArmorReader<R> {
    source: R,
    name: &'static str,
    crc: u32,
    /// The content of the line at hand, and how much of it is given.
    line: Vec<u8>,
    given: usize,
    /// A short line was read: only the checksum and the end may follow.
    closing: bool,
    ended: bool,
}

impl<R: BufRead> ArmorReader<R> {
    /// Reads up to the first line of content.
    pub(super) fn new(mut source: R) -> Result<ArmorReader<R>, Error> {
        let first = read_line(&mut source)?.unwrap_or_default();
        let name =
            NAMES.into_iter().find(|name| first == format!("-----BEGIN {name}-----")).ok_or_else(
                || Error::new(ErrorKind::NotSealed, "this is not an OpenPGP message of s3s2"),
            )?;
        for _ in 0..HEADERS_MAX {
            match read_line(&mut source)? {
                None => return Err(truncated()),
                Some(line) if line.trim().is_empty() => {
                    return Ok(ArmorReader {
                        source,
                        name,
                        crc: CRC24_INIT,
                        line: Vec::new(),
                        given: 0,
                        closing: false,
                        ended: false,
                    });
                }
                Some(line) if line.contains(": ") => {}
                Some(_) => break,
            }
        }
        Err(Error::new(ErrorKind::Armor, "the armor's header lines are malformed"))
    }

    /// Reads the next line; false at the end of the armor.
    fn next_line(&mut self) -> Result<bool, Error> {
        let line = read_line(&mut self.source)?.ok_or_else(truncated)?;
        if let Some(checksum) = line.strip_prefix('=') {
            self.check(checksum)?;
            let end = read_line(&mut self.source)?.ok_or_else(truncated)?;
            return self.end(&end).map(|()| false);
        }
        if line.starts_with('-') {
            return self.end(&line).map(|()| false);
        }
        if self.closing {
            return Err(Error::new(ErrorKind::Armor, "the armor goes on after its last line"));
        }
        self.line = STANDARD
            .decode(&line)
            .map_err(|_| Error::new(ErrorKind::Armor, "a line of the armor is malformed"))?;
        self.given = 0;
        self.closing = line.ends_with('=') || line.is_empty();
        self.crc = crc24(self.crc, &self.line);
        Ok(true)
    }

    fn check(&self, checksum: &str) -> Result<(), Error> {
        let ours = self.crc.to_be_bytes();
        if STANDARD.decode(checksum).is_ok_and(|theirs| Some(theirs.as_slice()) == ours.get(1..)) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Armor, "the armor's checksum does not fit its content"))
    }

    fn end(&mut self, line: &str) -> Result<(), Error> {
        if line != format!("-----END {}-----", self.name) {
            return Err(Error::new(ErrorKind::Armor, "the armor's last line is malformed"));
        }
        while let Some(line) = read_line(&mut self.source)? {
            if !line.trim().is_empty() {
                let text = "something follows the sealed message that was not sealed";
                return Err(Error::new(ErrorKind::TrailingData, text));
            }
        }
        Ok(())
    }
}

impl<R: BufRead> Read for ArmorReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.ended && self.given == self.line.len() && !buffer.is_empty() {
            self.ended = !self.next_line()?;
        }
        let rest = self.line.get(self.given..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.given += count;
        Ok(count)
    }
}

/// A line without its end, be it `\n` or `\r\n`; none at the end of the source.
fn read_line(source: &mut impl BufRead) -> Result<Option<String>, Error> {
    let mut line = Vec::new();
    let limit = LINE_BYTES_MAX as u64 + 1;
    source.take(limit).read_until(b'\n', &mut line).map_err(Error::from_io)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.len() > LINE_BYTES_MAX {
        return Err(Error::new(ErrorKind::Armor, "a line of the armor is too long"));
    }
    while line.ends_with(b"\n") || line.ends_with(b"\r") {
        line.pop();
    }
    String::from_utf8(line)
        .map(Some)
        .map_err(|_| Error::new(ErrorKind::Armor, "the armor is not text"))
}

fn truncated() -> Error {
    Error::new(ErrorKind::Truncated, "the end of the sealed message is missing")
}

const CRC24_INIT: u32 = 0x00B7_04CE;
const CRC24_POLYNOMIAL: u32 = 0x0186_4CFB;

/// The checksum of RFC 9580 section 6.1, by table: sealed bytes pass here one by one.
fn crc24(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, byte| {
        let index = ((crc >> 16) ^ u32::from(*byte)) & 0xff;
        let step = CRC24_TABLE.get(index as usize).copied().unwrap_or_default();
        ((crc << 8) ^ step) & 0x00ff_ffff
    })
}

const CRC24_TABLE: [u32; 256] = crc24_table();

const fn crc24_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u32) << 16;
        let mut bit = 0;
        while bit < 8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= CRC24_POLYNOMIAL;
            }
            bit += 1;
        }
        table[index] = crc & 0x00ff_ffff;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn armored(content: &[u8]) -> Vec<u8> {
        let mut writer = ArmorWriter::new(Vec::new()).unwrap();
        writer.write_all(content).unwrap();
        writer.finish().unwrap()
    }

    fn read(armored: &[u8]) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        ArmorReader::new(armored)?.read_to_end(&mut content).map_err(Error::from_io)?;
        Ok(content)
    }

    #[test]
    fn what_is_armored_is_read_again_at_every_length() {
        for length in 0..=200 {
            let content: Vec<u8> = (0..length).map(|n| (n * 7) as u8).collect();
            assert_eq!(read(&armored(&content)).unwrap(), content, "{length} bytes");
        }
    }

    #[test]
    fn the_checksum_is_that_of_openpgp() {
        // `printf 123456789 | …`: the catalogue value of CRC-24/OPENPGP.
        assert_eq!(crc24(CRC24_INIT, b"123456789"), 0x0021_cf02);
    }

    #[test]
    fn damage_of_every_kind_has_its_name() {
        let good = String::from_utf8(armored(&[7; 100])).unwrap();
        let kind = |text: &str| read(text.as_bytes()).unwrap_err().kind();
        assert_eq!(kind("hello"), ErrorKind::NotSealed);
        assert_eq!(kind(""), ErrorKind::NotSealed);
        assert_eq!(kind(&format!("leading\n{good}")), ErrorKind::NotSealed);
        assert_eq!(kind(&format!("{good}trailing")), ErrorKind::TrailingData);
        assert_eq!(kind(&good.replacen("BwcH", "BwcI", 1)), ErrorKind::Armor);
        assert_eq!(kind(&good.replacen("BwcH", "B!cH", 1)), ErrorKind::Armor);
        assert_eq!(kind(&good.replace("END Message", "END PGP MESSAGE")), ErrorKind::Armor);
        assert_eq!(kind(&good.replace("\n\n", "\nno header\n\n")), ErrorKind::Armor);
        assert_eq!(kind(&good.replace("\n\n", &"\nA: b".repeat(40))), ErrorKind::Armor);
        assert_eq!(kind(&"A".repeat(10_000)), ErrorKind::Armor);
        for cut in 24..good.len() - 1 {
            let cut_short = &good[..cut];
            assert!(
                matches!(kind(cut_short), ErrorKind::Truncated | ErrorKind::Armor),
                "cut at {cut}"
            );
        }
        let crlf = good.replace('\n', "\r\n");
        assert_eq!(read(crlf.as_bytes()).unwrap(), [7; 100]);
    }
}
