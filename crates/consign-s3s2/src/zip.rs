//! A zip archive of exactly one file, read from front to back.
//!
//! The usual reader looks for the directory at the end of an archive, believes it, and jumps. An
//! archive can be built so that two such readers see two different files in it, or so that its directory
//! fills the memory. s3s2 puts one file into each archive, so here everything is read once, in order,
//! and every number that stands in two places must be the same in both. An archive with anything before,
//! between or after its parts, with a second entry, with an encrypted or linked one, is refused. What
//! Go, Python and Info-ZIP write for one file passes. Sections are those of PKWARE's APPNOTE 6.3.10.

use std::io::{self, BufRead, Read, Write};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use flate2::write::DeflateEncoder;

const LOCAL: u32 = 0x0403_4b50;
const DESCRIPTOR: u32 = 0x0807_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;
/// Tag of the extra field with sizes of 64 bits (section 4.5.3).
const ZIP64: u16 = 0x0001;

/// Sizes and checksum follow the content.
const FOLLOWS: u16 = 1 << 3;
/// How hard the compressor tried (bits 1 and 2), sizes that follow, a name in UTF-8: all else that a
/// flag can say (encryption, patches, a masked directory) is refused.
const FLAGS_KNOWN: u16 = 0b110 | FOLLOWS | 1 << 11;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
const NAME_BYTES_MAX: u16 = 4096;
const COPY_BYTES: usize = 64 << 10;

/// The file of an archive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As the archive calls it. Never a path to write to.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// Whether somebody may execute it.
    pub(crate) executable: bool,
}

/// Reads an archive to its end and gives its only file's content to `content`. What was given is good
/// only when this returns without an error.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for what is no archive of one file, [`io::ErrorKind::UnexpectedEof`]
/// for one that is cut short, and those of `archive` and `content`.
pub(crate) fn read(archive: &mut impl BufRead, content: &mut dyn Write) -> io::Result<Entry> {
    let local = Local::read(archive)?;
    let unpacked = local.unpack(archive, content)?;
    local.check(archive, &unpacked)?;
    let executable = check_directory(archive, &local, &unpacked)?;
    check_end(archive)?;
    Ok(Entry { name: local.name, bytes: unpacked.bytes, executable })
}

/// The header before the content (section 4.3.7).
struct Local {
    flags: u16,
    method: u16,
    crc: u32,
    packed_bytes: u64,
    bytes: u64,
    name: String,
    is_64: bool,
}

/// What was really there.
struct Unpacked {
    crc: u32,
    packed_bytes: u64,
    bytes: u64,
}

impl Local {
    fn read(archive: &mut impl BufRead) -> io::Result<Local> {
        match u32_at(archive)? {
            LOCAL => {}
            END => return refused("the archive holds no file"),
            _ => return refused("this is not a zip archive"),
        }
        let _version = u16_at(archive)?;
        let (flags, method) = (u16_at(archive)?, u16_at(archive)?);
        if flags & !FLAGS_KNOWN != 0 {
            return refused(
                "the archive is encrypted, or of a kind that nobody needs for one file",
            );
        }
        if method != DEFLATED && (method != STORED || flags & FOLLOWS != 0) {
            return refused("the archive is compressed in a way that is not read here");
        }
        let _time = u32_at(archive)?;
        let crc = u32_at(archive)?;
        let (packed, plain) = (u32_at(archive)?, u32_at(archive)?);
        let (name_bytes, extra_bytes) = (u16_at(archive)?, u16_at(archive)?);
        let name = name_at(archive, name_bytes)?;
        let extra = bytes_at(archive, usize::from(extra_bytes))?;
        let large = zip64(&extra)?;
        let mut wide = large.unwrap_or_default().iter();
        // The order of section 4.5.3: the plain size first, each only where the narrow field is full.
        let bytes = widened(plain, &mut wide)?;
        let packed_bytes = widened(packed, &mut wide)?;
        Ok(Local { flags, method, crc, packed_bytes, bytes, name, is_64: large.is_some() })
    }

    fn unpack(&self, archive: &mut impl BufRead, content: &mut dyn Write) -> io::Result<Unpacked> {
        let mut counted = Counted { inner: archive, bytes: 0 };
        let (crc, bytes) = match self.method {
            DEFLATED => copy(&mut DeflateDecoder::new(&mut counted), content)?,
            _ => copy(&mut (&mut counted).take(self.packed_bytes), content)?,
        };
        Ok(Unpacked { crc, packed_bytes: counted.bytes, bytes })
    }

    /// Compares with the sizes that were announced or follow (section 4.3.9).
    fn check(&self, archive: &mut impl BufRead, found: &Unpacked) -> io::Result<()> {
        let (mut crc, mut packed, mut plain) = (self.crc, self.packed_bytes, self.bytes);
        if self.flags & FOLLOWS != 0 {
            crc = u32_at(archive)?;
            if crc == DESCRIPTOR {
                crc = u32_at(archive)?;
            }
            let wide = self.is_64 || found.bytes.max(found.packed_bytes) >= u64::from(u32::MAX);
            let size = |archive: &mut _| match wide {
                true => u64_at(archive),
                false => u32_at(archive).map(u64::from),
            };
            (packed, plain) = (size(archive)?, size(archive)?);
        }
        if (crc, packed, plain) != (found.crc, found.packed_bytes, found.bytes) {
            return refused("the archive's content is not what its header says");
        }
        Ok(())
    }
}

/// The directory (section 4.3.12): one entry, the same as before the content. Gives whether it may be
/// executed.
fn check_directory(
    archive: &mut impl BufRead,
    local: &Local,
    found: &Unpacked,
) -> io::Result<bool> {
    match u32_at(archive)? {
        CENTRAL => {}
        LOCAL => return refused("the archive holds more than one file"),
        _ => return refused("the archive's directory is missing"),
    }
    let made_by = u16_at(archive)?;
    let _version = u16_at(archive)?;
    let (flags, method) = (u16_at(archive)?, u16_at(archive)?);
    let _time = u32_at(archive)?;
    let crc = u32_at(archive)?;
    let (packed, plain) = (u32_at(archive)?, u32_at(archive)?);
    let (name_bytes, extra_bytes, comment_bytes) =
        (u16_at(archive)?, u16_at(archive)?, u16_at(archive)?);
    let disk = u16_at(archive)?;
    let _internal = u16_at(archive)?;
    let attributes = u32_at(archive)?;
    let offset = u32_at(archive)?;
    let name = name_at(archive, name_bytes)?;
    let extra = bytes_at(archive, usize::from(extra_bytes))?;
    bytes_at(archive, usize::from(comment_bytes))?;
    let mut wide = zip64(&extra)?.unwrap_or_default().iter();
    let sizes = (widened(plain, &mut wide)?, widened(packed, &mut wide)?);
    let same = (flags, method, name.as_str()) == (local.flags, local.method, local.name.as_str())
        && (crc, sizes) == (found.crc, (found.bytes, found.packed_bytes))
        && (disk, offset) == (0, 0);
    if !same {
        return refused("the archive's directory and its content contradict each other");
    }
    // The upper half is a Unix mode if a Unix made it; the lower has the bit of DOS for folders.
    let mode = if made_by >> 8 == 3 { attributes >> 16 } else { 0 };
    let kind = mode & 0o170_000;
    if (kind != 0 && kind != 0o100_000) || attributes & 0x10 != 0 || name.ends_with('/') {
        return refused("the archive holds a folder or a link, not a file");
    }
    Ok(mode & 0o111 != 0)
}

/// The records after the directory (sections 4.3.14 to 4.3.16), and nothing after them.
fn check_end(archive: &mut impl BufRead) -> io::Result<()> {
    let mut signature = u32_at(archive)?;
    if signature == END_64 {
        // 44 bytes of a known form; the rest of the record is free.
        let size = u64_at(archive)?;
        let record = bytes_at(archive, size.clamp(44, 4096) as usize)?;
        let entries = record.get(20..28).and_then(|field| field.first_chunk().copied());
        if !(44..=4096).contains(&size) || entries.map(u64::from_le_bytes) != Some(1) {
            return refused("the archive's directory is not of one file");
        }
        if u32_at(archive)? != LOCATOR_64 {
            return refused("the archive's end is malformed");
        }
        bytes_at(archive, 16)?;
        signature = u32_at(archive)?;
    }
    match signature {
        END => {}
        CENTRAL => return refused("the archive's directory is not of one file"),
        _ => return refused("the archive's end is malformed"),
    }
    let _disks = u32_at(archive)?;
    let (here, all) = (u16_at(archive)?, u16_at(archive)?);
    if !matches!((here, all), (1, 1) | (u16::MAX, u16::MAX)) {
        return refused("the archive's directory is not of one file");
    }
    let _place = u64_at(archive)?;
    let comment_bytes = u16_at(archive)?;
    bytes_at(archive, usize::from(comment_bytes))?;
    if !archive.fill_buf()?.is_empty() {
        return refused("something follows the archive");
    }
    Ok(())
}

fn copy(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<(u32, u64)> {
    let mut crc = Crc::new();
    let (mut buffer, mut bytes) = (vec![0; COPY_BYTES], 0);
    loop {
        let read = from.read(&mut buffer)?;
        let piece = buffer.get(..read).unwrap_or_default();
        if piece.is_empty() {
            return Ok((crc.sum(), bytes));
        }
        crc.update(piece);
        bytes += read as u64;
        to.write_all(piece)?;
    }
}

fn bytes_at(archive: &mut impl BufRead, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    archive.read_exact(&mut bytes).map(|()| bytes)
}

fn name_at(archive: &mut impl BufRead, count: u16) -> io::Result<String> {
    if count > NAME_BYTES_MAX {
        return refused("a name in the archive is too long");
    }
    String::from_utf8(bytes_at(archive, usize::from(count))?)
        .or_else(|_| refused("a name in the archive is not UTF-8"))
}

fn u16_at(archive: &mut impl BufRead) -> io::Result<u16> {
    let mut bytes = [0; 2];
    archive.read_exact(&mut bytes).map(|()| u16::from_le_bytes(bytes))
}

fn u32_at(archive: &mut impl BufRead) -> io::Result<u32> {
    let mut bytes = [0; 4];
    archive.read_exact(&mut bytes).map(|()| u32::from_le_bytes(bytes))
}

fn u64_at(archive: &mut impl BufRead) -> io::Result<u64> {
    let mut bytes = [0; 8];
    archive.read_exact(&mut bytes).map(|()| u64::from_le_bytes(bytes))
}

/// The content of the extra field with wide sizes, if there is one; a second one is refused.
fn zip64(mut extra: &[u8]) -> io::Result<Option<&[u8]>> {
    let mut found = None;
    while let Some(([a, b, c, d], rest)) = extra.split_first_chunk() {
        let bytes = usize::from(u16::from_le_bytes([*c, *d]));
        let Some((field, rest)) = rest.split_at_checked(bytes) else { break };
        if u16::from_le_bytes([*a, *b]) == ZIP64 && found.replace(field).is_some() {
            return refused("the archive says its sizes twice");
        }
        extra = rest;
    }
    Ok(found)
}

/// A size of 32 bits, or the next one of 64 where that is full.
fn widened(narrow: u32, wide: &mut std::slice::Iter<'_, u8>) -> io::Result<u64> {
    if narrow != u32::MAX {
        return Ok(narrow.into());
    }
    let Some((bytes, rest)) = wide.as_slice().split_first_chunk() else {
        return refused("the archive does not say how large its file is");
    };
    *wide = rest.iter();
    Ok(u64::from_le_bytes(*bytes))
}

fn refused<T>(text: &'static str) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, text))
}

struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.bytes += count as u64;
        self.inner.consume(count);
    }
}

struct CountedWriter<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for CountedWriter<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Writes an archive with one file, without knowing its size before; gives the size.
pub(crate) fn write(
    mut archive: impl Write,
    name: &str,
    executable: bool,
    content: &mut dyn Read,
) -> io::Result<u64> {
    let name_bytes = u16::try_from(name.len()).map_err(io::Error::other)?;
    let flags = FOLLOWS | 1 << 11;
    // Version 4.5 is the first that knows sizes of 64 bits; they may turn out to be needed.
    let version: u16 = 45;
    // 1 January 1980: when a file was changed is the sender's business.
    let time: u32 = 0x0021_0000;
    let mut head = Vec::new();
    put(&mut head, &[&LOCAL.to_le_bytes(), &version.to_le_bytes(), &flags.to_le_bytes()]);
    put(&mut head, &[&DEFLATED.to_le_bytes(), &time.to_le_bytes(), &[0; 12]]);
    put(&mut head, &[&name_bytes.to_le_bytes(), &[0; 2], name.as_bytes()]);
    archive.write_all(&head)?;

    let packed = CountedWriter { inner: &mut archive, bytes: 0 };
    let mut packer = DeflateEncoder::new(packed, flate2::Compression::default());
    let (crc, bytes) = copy(content, &mut packer)?;
    let packed_bytes = packer.finish()?.bytes;

    let wide = bytes.max(packed_bytes) >= u64::from(u32::MAX);
    let narrow = |size: u64| if wide { u32::MAX } else { u32::try_from(size).unwrap_or(u32::MAX) };
    let mut tail = Vec::new();
    put(&mut tail, &[&DESCRIPTOR.to_le_bytes(), &crc.to_le_bytes()]);
    match wide {
        true => put(&mut tail, &[&packed_bytes.to_le_bytes(), &bytes.to_le_bytes()]),
        false => {
            put(&mut tail, &[&narrow(packed_bytes).to_le_bytes(), &narrow(bytes).to_le_bytes()]);
        }
    }
    let directory_at = head.len() as u64 + packed_bytes + tail.len() as u64;

    let mut extra = Vec::new();
    if wide {
        put(&mut extra, &[&ZIP64.to_le_bytes(), &16u16.to_le_bytes()]);
        put(&mut extra, &[&bytes.to_le_bytes(), &packed_bytes.to_le_bytes()]);
    }
    let mode: u32 = if executable { 0o100_755 } else { 0o100_644 };
    let made_by: u16 = 3 << 8 | version;
    let mut directory = Vec::new();
    put(&mut directory, &[&CENTRAL.to_le_bytes(), &made_by.to_le_bytes(), &version.to_le_bytes()]);
    put(&mut directory, &[&flags.to_le_bytes(), &DEFLATED.to_le_bytes(), &time.to_le_bytes()]);
    put(&mut directory, &[&crc.to_le_bytes(), &narrow(packed_bytes).to_le_bytes()]);
    put(&mut directory, &[&narrow(bytes).to_le_bytes(), &name_bytes.to_le_bytes()]);
    put(&mut directory, &[&(extra.len() as u16).to_le_bytes(), &[0; 6]]);
    put(&mut directory, &[&(mode << 16).to_le_bytes(), &[0; 4], name.as_bytes(), &extra]);

    let directory_bytes = directory.len() as u64;
    put(&mut tail, &[&directory]);
    let far = directory_at >= u64::from(u32::MAX);
    if far {
        let record_at = directory_at + directory_bytes;
        put(&mut tail, &[&END_64.to_le_bytes(), &44u64.to_le_bytes()]);
        put(&mut tail, &[&made_by.to_le_bytes(), &version.to_le_bytes(), &[0; 8]]);
        put(&mut tail, &[&1u64.to_le_bytes(), &1u64.to_le_bytes()]);
        put(&mut tail, &[&directory_bytes.to_le_bytes(), &directory_at.to_le_bytes()]);
        put(&mut tail, &[&LOCATOR_64.to_le_bytes(), &[0; 4]]);
        put(&mut tail, &[&record_at.to_le_bytes(), &1u32.to_le_bytes()]);
    }
    let count: u16 = if far { u16::MAX } else { 1 };
    let place = |value: u64| if far { u32::MAX } else { u32::try_from(value).unwrap_or(u32::MAX) };
    put(&mut tail, &[&END.to_le_bytes(), &[0; 4], &count.to_le_bytes(), &count.to_le_bytes()]);
    put(&mut tail, &[&place(directory_bytes).to_le_bytes()]);
    put(&mut tail, &[&place(directory_at).to_le_bytes(), &[0; 2]]);
    archive.write_all(&tail)?;
    archive.flush()?;
    Ok(bytes)
}

fn put(out: &mut Vec<u8>, fields: &[&[u8]]) {
    for field in fields {
        out.extend_from_slice(field);
    }
}
