//! One file into its envelope and out of it: zip, gzip, OpenPGP, armor.
//!
//! Blocking, and in memory that does not grow with the file. The message authenticates at its end, so it
//! is opened twice: once to see that it is authentic, keeping nothing, and then to be unpacked. Sealed
//! bytes are all that waits on a disk.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{Context, SHA256};
use consign_model::RelativePath;
use consign_seal::s3s2::{self, Opened, PublicKey, SecretKey};
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

use crate::error::{Error, ErrorKind, Result};
use crate::zip;

/// How many times larger than what was fetched a share may grow when it is opened, by default. Text
/// shrinks to a tenth, empty tables to a hundredth; a bomb grows a million times.
pub const EXPANSION_MAX: u32 = 100;
/// What every share may grow to, so that a small file of zeros passes.
const FREE_BYTES: u64 = 1 << 30;
const COPY_BYTES: usize = 256 << 10;

/// How much the files of a share may still grow, all together.
#[derive(Debug)]
pub(crate) struct Allowance {
    factor: u64,
    left: AtomicU64,
}

impl Allowance {
    pub(crate) fn new(factor: u32) -> Allowance {
        Allowance { factor: factor.into(), left: AtomicU64::new(FREE_BYTES) }
    }

    /// So many sealed bytes were fetched.
    pub(crate) fn add(&self, sealed_bytes: u64) {
        let more = sealed_bytes.saturating_mul(self.factor);
        let add = |left: u64| Some(left.saturating_add(more));
        // Always succeeds: the closure never gives none.
        let _before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// So much in all, however large what was fetched is.
    fn exactly(bytes: u64) -> Allowance {
        Allowance { factor: 0, left: AtomicU64::new(bytes) }
    }

    fn spend(&self, bytes: usize) -> io::Result<()> {
        let spend = |left: u64| left.checked_sub(bytes as u64);
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::ErrorKind::QuotaExceeded.into()),
        }
    }
}

/// What an envelope held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// As the archive calls the file: to compare, never to write to.
    pub entry: String,
    /// Size.
    pub bytes: u64,
    /// Of the content.
    pub sha256: [u8; 32],
    /// Whether somebody may execute it.
    pub executable: bool,
}

/// Seals `content`, the file of this name in a share, for these keys; gives how much there was of it.
/// What was written before an error is of no use.
///
/// # Errors
/// [`ErrorKind::Source`] when the content cannot be read, [`ErrorKind::Destination`] when `sealed`
/// cannot be written.
pub fn seal_file(
    content: &mut (impl Read + Send),
    name: &RelativePath,
    executable: bool,
    keys: &[PublicKey],
    sealed: impl Write,
) -> std::result::Result<u64, Error> {
    let (reader, writer) = io::pipe().map_err(no_pipe)?;
    // The name as s3s2 makes it: the source's path without the folder, and so with a slash before it.
    let entry = format!("/{name}");
    std::thread::scope(|scope| {
        let packer = scope.spawn(move || {
            let out = BufWriter::with_capacity(COPY_BYTES, writer);
            // The archive is compressed already; gzip is here because s3s2 expects it.
            let mut gzip = GzEncoder::new(out, Compression::fast());
            let bytes = zip::write(&mut gzip, &entry, executable, content)?;
            gzip.finish()?.flush()?;
            Ok(bytes)
        });
        let sealing = s3s2::seal(reader, BufWriter::with_capacity(COPY_BYTES, sealed), keys);
        let packed: io::Result<u64> =
            packer.join().unwrap_or_else(|_| Err(io::Error::other("packing the file ended badly")));
        // Our own trouble with the pipe's other end explains the packer's.
        sealing?;
        packed.map_err(|error| {
            Error::new(ErrorKind::Source, "the file cannot be packed").because(error)
        })
    })
}

/// Opens a sealed file whose content is known to have so many bytes, and gives it to `content`. What was
/// given is authentic, if nobody else can change `sealed` meanwhile: it is read twice. That it is whole is
/// known when this returns.
///
/// # Errors
/// Those of [`unpack`], [`ErrorKind::NotForUs`] when no key opens it, [`ErrorKind::Damaged`] when it was
/// changed or cut short: then nothing was given.
pub fn open_file(
    sealed: &File,
    keys: &[SecretKey],
    content_bytes: u64,
    content: &mut dyn Write,
) -> std::result::Result<Contents, Error> {
    // The message, the archive in it and the content, none of them much larger than the last.
    let allowance = Allowance::exactly(content_bytes.saturating_mul(4).saturating_add(1 << 20));
    open(sealed, keys, &allowance, content).map(|(_, contents)| contents)
}

/// Opens `sealed`, from its start, and gives the file's content to `content`. What was given is
/// authentic; that it is whole is known when this returns.
pub(crate) fn open(
    sealed: &File,
    keys: &[SecretKey],
    allowance: &Allowance,
    content: &mut dyn Write,
) -> Result<(Opened, Contents)> {
    let from_start = || {
        let mut sealed = sealed;
        sealed.rewind().map_err(of_io)?;
        Ok::<_, Error>(BufReader::with_capacity(COPY_BYTES, sealed))
    };
    let mut nowhere = io::sink();
    let mut bounded = Bounded { inner: &mut nowhere, allowance };
    let opened = s3s2::open(from_start()?, &mut bounded, keys).map_err(of_seal)?;
    let sealed = from_start()?;
    let (reader, writer) = io::pipe().map_err(no_pipe)?;
    std::thread::scope(|scope| {
        let opener = scope.spawn(move || {
            let mut out = BufWriter::with_capacity(COPY_BYTES, writer);
            s3s2::open(sealed, &mut out, keys).map_err(of_seal)?;
            out.flush().map_err(of_io)
        });
        let packed = BufReader::with_capacity(COPY_BYTES, reader);
        let contents = unpack_within(packed, content, allowance);
        let again = opener.join().unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Bug, "opening the file a second time ended badly"))
        });
        // What was wrong with the content explains why nobody took the rest of the message.
        let contents = contents?;
        again.map(|()| (opened, contents))
    })
}

/// Opens one sealed file by itself, outside any share, and gives its content to `content`: all of it is
/// checked before the first byte is given.
///
/// # Errors
/// Those of [`unpack`], [`ErrorKind::NotForUs`], [`ErrorKind::Damaged`].
pub fn open_alone(
    sealed: &File,
    keys: &[SecretKey],
    expansion_max: u32,
    content: &mut dyn Write,
) -> std::result::Result<(Opened, Contents), Error> {
    let allowance = || {
        let allowance = Allowance::new(expansion_max);
        allowance.add(sealed.metadata().map_err(of_io)?.len());
        Ok::<_, Error>(allowance)
    };
    open(sealed, keys, &allowance()?, &mut io::sink())?;
    open(sealed, keys, &allowance()?, content)
}

/// Takes the gzip and the zip off what a message held, and gives the file's content to `content`. What
/// was given is good only when this returns without an error.
///
/// # Errors
/// [`ErrorKind::Content`] for what is not one file in an archive, [`ErrorKind::Expansion`] for one that
/// grows beyond all measure.
pub fn unpack(
    packed: &[u8],
    content: &mut dyn Write,
    expansion_max: u32,
) -> std::result::Result<Contents, Error> {
    let allowance = Allowance::new(expansion_max);
    allowance.add(packed.len() as u64);
    unpack_within(packed, content, &allowance)
}

fn unpack_within(
    mut packed: impl BufRead,
    content: &mut dyn Write,
    allowance: &Allowance,
) -> Result<Contents> {
    // The first versions of s3s2 had no gzip around the zip.
    if packed.fill_buf().map_err(of_io)?.starts_with(b"PK") {
        return unzip(&mut packed, content, allowance);
    }
    let mut gzip = GzDecoder::new(packed);
    let contents = unzip(&mut gzip, content, allowance)?;
    if gzip.into_inner().fill_buf().map_err(of_io)?.is_empty() {
        return Ok(contents);
    }
    Err(Error::new(ErrorKind::Content, "something follows the archive"))
}

fn unzip(
    archive: &mut dyn Read,
    content: &mut dyn Write,
    allowance: &Allowance,
) -> Result<Contents> {
    let mut archive = BufReader::with_capacity(COPY_BYTES, Bounded { inner: archive, allowance });
    let content = Bounded { inner: content, allowance };
    let mut content = Hashed { inner: content, context: Context::new(&SHA256) };
    let entry = zip::read(&mut archive, &mut content).map_err(of_io)?;
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(content.context.finish().as_ref());
    Ok(Contents { entry: entry.name, bytes: entry.bytes, sha256, executable: entry.executable })
}

/// Counts what passes against the allowance.
struct Bounded<'a, T: ?Sized> {
    inner: &'a mut T,
    allowance: &'a Allowance,
}

impl<R: Read + ?Sized> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.allowance.spend(read).map(|()| read)
    }
}

impl<W: Write + ?Sized> Write for Bounded<'_, W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.allowance.spend(buffer.len())?;
        self.inner.write_all(buffer).map(|()| buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

struct Hashed<W> {
    inner: W,
    context: Context,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.inner.write_all(buffer)?;
        self.context.update(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn no_pipe(error: io::Error) -> Error {
    Error::new(ErrorKind::Source, "there is no pipe to be had").because(error)
}

fn of_seal(error: consign_seal::Error) -> Error {
    let mut cause = std::error::Error::source(&error);
    while let Some(found) = cause {
        if found.downcast_ref::<io::Error>().is_some_and(is_quota) {
            return too_large();
        }
        cause = found.source();
    }
    error.into()
}

fn of_io(error: io::Error) -> Error {
    match error.kind() {
        _ if is_quota(&error) => too_large(),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            let text = "what was sealed is not one file in a zip archive";
            Error::new(ErrorKind::Content, text).because(error)
        }
        _ => Error::new(ErrorKind::Destination, "the file cannot be unpacked").because(error),
    }
}

fn is_quota(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::QuotaExceeded && error.raw_os_error().is_none()
}

fn too_large() -> Error {
    Error::new(ErrorKind::Expansion, "the files grow beyond measure when they are opened")
        .hinting("if the sender confirms their size, allow more with --expansion-max FACTOR")
}
