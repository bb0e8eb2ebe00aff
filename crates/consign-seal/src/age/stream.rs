//! Sealing and opening a stream, one chunk after the other.
//!
//! For pipes and for things of unknown length. Where the length is known and there are several
//! processors, [`Sealer`] and [`Opener`] do the same in parallel.

use std::io::{self, BufReader, Chain, Cursor, Read, Write};

use super::armor::{ArmorReader, SNIFF_BYTES, looks_armored};
use super::file_key::FileKey;
use super::header::{Header, HeaderRead, header_ended_early, read_header};
use super::keys::{Identity, Recipient};
use super::payload::{CHUNK_BYTES, NONCE_BYTES, Opener, SEALED_CHUNK_BYTES, Sealer, TAG_BYTES};
use crate::{Error, ErrorKind};

/// Seals what is written to it.
///
/// Call [`SealWriter::finish`]: the last chunk is written only there, and without it readers find
/// the file truncated. That is also what a dropped writer leaves behind, on purpose.
pub struct SealWriter<W> {
    inner: W,
    sealer: Sealer,
    index: u64,
    chunk: Vec<u8>,
    /// What a failed write left behind is unknown, so nothing may follow it.
    failed: bool,
}

impl<W: Write> SealWriter<W> {
    /// Writes the header for `recipients` to `inner`.
    pub fn new(mut inner: W, recipients: &[Recipient]) -> Result<SealWriter<W>, Error> {
        let sealer = Sealer::new(recipients)?;
        inner.write_all(sealer.prefix()).map_err(Error::from_io)?;
        let chunk = Vec::with_capacity(SEALED_CHUNK_BYTES);
        Ok(SealWriter { inner, sealer, index: 0, chunk, failed: false })
    }

    /// Seals and writes the last chunk; gives the inner writer back, unflushed.
    pub fn finish(mut self) -> Result<W, Error> {
        self.write_chunk(true).map_err(Error::from_io)?;
        Ok(self.inner)
    }

    fn write_chunk(&mut self, last: bool) -> io::Result<()> {
        if std::mem::replace(&mut self.failed, true) {
            return Err(io::Error::other("an earlier write of the sealed file failed"));
        }
        self.chunk.resize(self.chunk.len() + TAG_BYTES, 0);
        self.sealer.seal_chunk(self.index, last, &mut self.chunk)?;
        self.index += 1;
        self.inner.write_all(&self.chunk)?;
        self.chunk.clear();
        self.failed = false;
        Ok(())
    }
}

impl<W: Write> Write for SealWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits until it is known not to be the last.
        if self.chunk.len() >= CHUNK_BYTES && !bytes.is_empty() {
            self.write_chunk(false)?;
        }
        let room = CHUNK_BYTES - self.chunk.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.chunk.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Opens a sealed stream, armored or not.
///
/// Every byte it gives is authentic and in its place, but that the stream is whole is known only
/// when `read` has returned 0: until then, treat what came as the beginning of something. Errors
/// of `read` carry an [`Error`] (see [`Error::from_io`]) and stay: later reads fail the same way.
pub struct OpenReader<R> {
    input: SealedBytes<R>,
    opener: Opener,
    index: u64,
    /// Sealed bytes that have been read and not opened: at most a chunk and one byte, which tells
    /// whether the chunk is the last.
    sealed: Vec<u8>,
    plain: Vec<u8>,
    plain_bytes: usize,
    given: usize,
    state: State,
}

enum State {
    Reading,
    Done,
    Failed(ErrorKind, String),
}

impl<R: Read> OpenReader<R> {
    /// Reads the header from `inner` and opens it with one of `identities`. Buffers by itself.
    pub fn new(inner: R, identities: &[Identity]) -> Result<OpenReader<R>, Error> {
        let file = SealedFile::read(inner)?;
        // Whose file it is comes first; that it ends here comes second.
        let file_key = file.header.file_key(identities)?;
        let (opener, input) = file.into_parts(&file_key)?;
        Ok(OpenReader {
            input,
            opener,
            index: 0,
            sealed: Vec::with_capacity(SEALED_CHUNK_BYTES + 1),
            plain: vec![0; CHUNK_BYTES],
            plain_bytes: 0,
            given: 0,
            state: State::Reading,
        })
    }

    /// Says how long the content should be: see [`Opener::expecting`]. Before the first read.
    pub fn expecting(mut self, plain_bytes: u64) -> OpenReader<R> {
        self.opener = self.opener.expecting(plain_bytes);
        self
    }

    fn open_next(&mut self) -> Result<(), Error> {
        let wanted = (SEALED_CHUNK_BYTES + 1).saturating_sub(self.sealed.len());
        self.input.read_up_to(&mut self.sealed, wanted)?;
        let last = self.sealed.len() <= SEALED_CHUNK_BYTES;
        let chunk = self.sealed.get(..SEALED_CHUNK_BYTES).unwrap_or(&self.sealed);
        self.given = 0;
        match self.opener.open_into(self.index, last, chunk, &mut self.plain) {
            Ok(length) => self.plain_bytes = length,
            // The content is authentic, and whole or the beginning of something; what follows it, or
            // does not, is the error. Give the content, then the error.
            Err(error) if is_authentic_but(&error, chunk.len()) => {
                self.state = State::Failed(error.kind(), error.to_string());
                let last = error.kind() == ErrorKind::TrailingData;
                let opened = self.opener.open_into(self.index, last, chunk, &mut self.plain);
                self.plain_bytes = opened.map_err(|_| error)?;
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let length = chunk.len();
        self.sealed.drain(..length);
        self.index += 1;
        if last {
            self.state = State::Done;
        }
        Ok(())
    }
}

/// Whether the chunk may be authentic all the same, as the last before something appended or as
/// one that is not the last.
fn is_authentic_but(error: &Error, chunk_bytes: usize) -> bool {
    match error.kind() {
        ErrorKind::TrailingData => true,
        ErrorKind::Truncated => chunk_bytes == SEALED_CHUNK_BYTES,
        _ => false,
    }
}

impl<R: Read> Read for OpenReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let ready = self.plain.get(self.given..self.plain_bytes).unwrap_or_default();
            if !ready.is_empty() {
                let count = ready.len().min(out.len());
                let (now, _) = ready.split_at(count);
                out.split_at_mut(count).0.copy_from_slice(now);
                self.given += count;
                return Ok(count);
            }
            match &self.state {
                State::Done => return Ok(0),
                State::Failed(kind, context) => {
                    return Err(Error::new(*kind, context.as_str()).into());
                }
                State::Reading => {}
            }
            if let Err(error) = self.open_next() {
                self.plain_bytes = 0;
                // An interrupted read is not the file's fault; what was read is kept.
                if error.kind() != ErrorKind::Io {
                    self.state = State::Failed(error.kind(), error.to_string());
                }
                return Err(error.into());
            }
        }
    }
}

/// A sealed stream, armored or not, of which the header has been read: for whoever looks before
/// opening it, or opens it by other means than [`OpenReader`].
pub struct SealedFile<R> {
    header: Header,
    nonce: Option<[u8; NONCE_BYTES]>,
    rest: SealedBytes<R>,
}

impl<R: Read> SealedFile<R> {
    /// Reads the header and the nonce from `inner`. Buffers by itself.
    pub fn read(inner: R) -> Result<SealedFile<R>, Error> {
        let mut rest = SealedBytes::new(inner)?;
        let mut start = Vec::new();
        let (header, header_bytes) = loop {
            match read_header(&start)? {
                HeaderRead::Done(header, header_bytes) => break (header, header_bytes),
                // At least doubling, so that reading the header again costs no more than once.
                HeaderRead::Need(more) => {
                    let more = more.max(start.len()).max(512);
                    if rest.read_up_to(&mut start, more)? == 0 {
                        return Err(header_ended_early(&start));
                    }
                }
            }
        };
        start.drain(..header_bytes);
        let missing = NONCE_BYTES.saturating_sub(start.len());
        rest.read_up_to(&mut start, missing)?;
        let nonce = start.first_chunk::<NONCE_BYTES>().copied();
        if nonce.is_some() {
            start.drain(..NONCE_BYTES);
            rest.unread(start);
        }
        Ok(SealedFile { header, nonce, rest })
    }

    /// Who it is sealed for. Not authenticated.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Authenticates the header with the key that was found, and gives what opens the chunks and
    /// the sealed bytes of them, from the first on.
    pub fn into_parts(self, file_key: &FileKey) -> Result<(Opener, SealedBytes<R>), Error> {
        let opener = self.header.open_with(file_key, &self.nonce.unwrap_or_default())?;
        if self.nonce.is_none() {
            let context = "the file ends right after its header";
            return Err(Error::new(ErrorKind::Truncated, context));
        }
        Ok((opener, self.rest))
    }
}

/// The bytes of the binary file, wherever they come from. Errors of `read` carry an [`Error`].
pub struct SealedBytes<R> {
    unread: Cursor<Vec<u8>>,
    source: Source<R>,
}

enum Source<R> {
    Binary(Chain<Cursor<Vec<u8>>, R>),
    Armored(ArmorReader<BufReader<Chain<Cursor<Vec<u8>>, R>>>),
}

impl<R: Read> SealedBytes<R> {
    fn new(mut inner: R) -> Result<SealedBytes<R>, Error> {
        let mut start = Vec::new();
        inner.by_ref().take(SNIFF_BYTES as u64).read_to_end(&mut start).map_err(Error::from_io)?;
        let armored = looks_armored(&start);
        let whole = Cursor::new(start).chain(inner);
        let source = if armored {
            Source::Armored(ArmorReader::new(BufReader::new(whole)))
        } else {
            Source::Binary(whole)
        };
        Ok(SealedBytes { unread: Cursor::new(Vec::new()), source })
    }

    /// Appends up to `count` bytes to `into`; fewer only at the end of the input.
    fn read_up_to(&mut self, into: &mut Vec<u8>, count: usize) -> Result<usize, Error> {
        self.take(count as u64).read_to_end(into).map_err(Error::from_io)
    }

    fn unread(&mut self, bytes: Vec<u8>) {
        self.unread = Cursor::new(bytes);
    }
}

impl<R: Read> Read for SealedBytes<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let unread = self.unread.read(out)?;
        if unread > 0 {
            return Ok(unread);
        }
        match &mut self.source {
            Source::Binary(source) => source.read(out),
            Source::Armored(source) => source.read(out),
        }
    }
}
