//! The encrypted containers (RFC 9580 §5.13): what is around the packets of a message.
//!
//! Version 1 is CFB with a SHA-1 of everything at the very end, so nothing of it is authentic
//! before all of it has been read: [`ReadV1`] tells only then, and whoever reads must wait.
//! Version 2, and GnuPG's packet 20, are chunks that each authenticate: [`ReadChunks`] gives none
//! that does not.

use std::io::{self, BufReader, Read, Write};

use aws_lc_rs::cipher::StreamingEncryptingKey;
use aws_lc_rs::digest;
use pgp::crypto::sym::{StreamDecryptor, SymmetricKeyAlgorithm};
use pgp::types::Seipdv1ReadMode;

use super::cipher::{CfbDecrypt, Chunks, SALT_BYTES, Suite, TAG_BYTES, cfb_encrypt, tampered};
use super::packet::Packets;
use crate::{Error, primitives};

const BLOCK_BYTES: usize = 16;
/// Random bytes, the last two of them again (§5.13.1).
const PREFIX_BYTES: usize = BLOCK_BYTES + 2;
/// The packet that ends the content of version 1: its header and a SHA-1 of all before.
const MDC_HEADER: [u8; 2] = [0xd3, 20];
const MDC_BYTES: usize = 22;

/// A container that is being written.
pub(super) enum WriteContainer<W> {
    V1(WriteV1<W>),
    V2(WriteV2<W>),
}

impl<W: Write> WriteContainer<W> {
    /// Writes what ends the container; gives the inner writer back.
    pub(super) fn finish(self) -> Result<W, Error> {
        match self {
            WriteContainer::V1(container) => container.finish(),
            WriteContainer::V2(container) => container.finish(),
        }
    }
}

impl<W: Write> Write for WriteContainer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            WriteContainer::V1(container) => container.write(bytes),
            WriteContainer::V2(container) => container.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) struct WriteV1<W> {
    inner: W,
    cipher: StreamingEncryptingKey,
    hash: digest::Context,
    out: Vec<u8>,
}

impl<W: Write> WriteV1<W> {
    pub(super) fn new(
        mut inner: W,
        cipher: SymmetricKeyAlgorithm,
        session_key: &[u8],
    ) -> Result<WriteV1<W>, Error> {
        inner.write_all(&[1]).map_err(Error::from_io)?;
        let cipher = cfb_encrypt(cipher, session_key)?;
        let hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
        let mut container = WriteV1 { inner, cipher, hash, out: Vec::new() };
        let random = primitives::random::<BLOCK_BYTES>()?;
        let mut prefix = [0u8; PREFIX_BYTES];
        let (start, again) = prefix.split_at_mut(BLOCK_BYTES);
        start.copy_from_slice(random.as_slice());
        again.copy_from_slice(start.get(BLOCK_BYTES - 2..).unwrap_or_default());
        container.write_all(&prefix).map_err(Error::from_io)?;
        Ok(container)
    }

    fn finish(mut self) -> Result<W, Error> {
        self.write_all(&MDC_HEADER).map_err(Error::from_io)?;
        let digest = self.hash.clone().finish();
        self.write_all(digest.as_ref()).map_err(Error::from_io)?;
        Ok(self.inner)
    }
}

impl<W: Write> Write for WriteV1<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.out.resize(bytes.len() + BLOCK_BYTES, 0);
        let sealed =
            self.cipher.update(bytes, &mut self.out).map_err(|_| Error::internal("AES-CFB"))?;
        self.inner.write_all(sealed.written())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) struct WriteV2<W> {
    inner: W,
    chunks: Chunks,
    chunk_bytes: usize,
    chunk: Vec<u8>,
    index: u64,
    total: u64,
}

impl<W: Write> WriteV2<W> {
    pub(super) fn new(mut inner: W, suite: Suite, session_key: &[u8]) -> Result<WriteV2<W>, Error> {
        let salt = primitives::random::<SALT_BYTES>()?;
        let start = [2, suite.cipher.into(), suite.mode.into(), suite.chunk_octet];
        inner.write_all(&start).map_err(Error::from_io)?;
        inner.write_all(salt.as_slice()).map_err(Error::from_io)?;
        let chunks = Chunks::version_2(suite, session_key, &salt)?;
        let chunk_bytes = suite.chunk_bytes();
        let chunk = Vec::with_capacity(chunk_bytes + TAG_BYTES);
        Ok(WriteV2 { inner, chunks, chunk_bytes, chunk, index: 0, total: 0 })
    }

    fn write_chunk(&mut self) -> Result<(), Error> {
        self.total += self.chunk.len() as u64;
        self.chunks.seal(self.index, None, &mut self.chunk)?;
        self.index += 1;
        self.inner.write_all(&self.chunk).map_err(Error::from_io)?;
        self.chunk.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<W, Error> {
        if !self.chunk.is_empty() {
            self.write_chunk()?;
        }
        self.chunks.seal(self.index, Some(self.total), &mut self.chunk)?;
        self.inner.write_all(&self.chunk).map_err(Error::from_io)?;
        Ok(self.inner)
    }
}

impl<W: Write> Write for WriteV2<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.get(..self.chunk_bytes - self.chunk.len()).unwrap_or(bytes);
        self.chunk.extend_from_slice(taken);
        if self.chunk.len() == self.chunk_bytes {
            self.write_chunk()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How much is decrypted at once.
const STEP_BYTES: usize = 64 * 1024;

/// Reads a container of version 1 under AES, after its version octet. The content is authentic
/// when `read` has returned 0, and not before.
pub(super) struct ReadV1<R> {
    inner: Packets<R>,
    cipher: CfbDecrypt,
    hash: digest::Context,
    sealed: Vec<u8>,
    /// Decrypted: `given` of it has been given, and the last bytes may turn out to be the MDC.
    plain: Vec<u8>,
    given: usize,
    prefix_read: bool,
    from_passphrase: bool,
    ended: bool,
}

impl<R: Read> ReadV1<R> {
    /// `from_passphrase`: what the session key comes from, for telling a wrong one from a change.
    pub(super) fn new(
        inner: Packets<R>,
        cipher: SymmetricKeyAlgorithm,
        session_key: &[u8],
        from_passphrase: bool,
    ) -> Result<ReadV1<R>, Error> {
        Ok(ReadV1 {
            inner,
            cipher: CfbDecrypt::new(cipher, session_key)?,
            hash: digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            sealed: Vec::new(),
            plain: Vec::new(),
            given: 0,
            prefix_read: false,
            from_passphrase,
            ended: false,
        })
    }

    fn ready(&self) -> usize {
        let held = if self.prefix_read { MDC_BYTES } else { usize::MAX };
        self.plain.len().saturating_sub(self.given).saturating_sub(held)
    }

    fn step(&mut self) -> Result<(), Error> {
        self.plain.drain(..self.given);
        self.given = 0;
        self.sealed.clear();
        let mut limited = self.inner.by_ref().take(STEP_BYTES as u64);
        limited.read_to_end(&mut self.sealed).map_err(Error::from_io)?;
        if self.sealed.is_empty() {
            return self.end();
        }
        self.cipher.update(&self.sealed, &mut self.plain)?;
        if !self.prefix_read && self.plain.len() >= PREFIX_BYTES {
            // Under a public key the repeated two bytes are not looked at: they prove nothing, and
            // answering whether they fit has been an oracle (§5.13.1). A person who has mistyped a
            // passphrase is told by nothing else.
            let prefix: Vec<u8> = self.plain.drain(..PREFIX_BYTES).collect();
            let repeated = prefix.get(BLOCK_BYTES - 2..BLOCK_BYTES) == prefix.get(BLOCK_BYTES..);
            if self.from_passphrase && !repeated {
                return Err(super::passphrase::wrong());
            }
            self.hash.update(&prefix);
            self.prefix_read = true;
        }
        let content = self.plain.get(..self.ready()).unwrap_or_default();
        self.hash.update(content);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        self.ended = true;
        let Some((start, digest)) = self.plain.split_first_chunk::<2>() else {
            return Err(tampered());
        };
        if !self.prefix_read || *start != MDC_HEADER {
            return Err(tampered());
        }
        self.hash.update(start);
        let expected = self.hash.clone().finish();
        aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_ref(), digest)
            .map_err(|_| tampered())?;
        self.plain.clear();
        self.inner.nothing_follows()
    }
}

impl<R: Read> Read for ReadV1<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        while self.ready() == 0 {
            if self.ended {
                return if self.plain.is_empty() { Ok(0) } else { Err(tampered().into()) };
            }
            self.step()?;
        }
        let count = self.ready().min(out.len());
        let from = self.plain.get(self.given..self.given + count).unwrap_or_default();
        out.split_at_mut(count).0.copy_from_slice(from);
        self.given += count;
        Ok(count)
    }
}

/// Reads what rPGP decrypts: containers of version 1 under other ciphers than AES, and such without
/// integrity. Whatever it says went wrong with foreign bytes is tampering.
pub(super) struct ReadOld<R: Read> {
    decryptor: StreamDecryptor<BufReader<Packets<R>>>,
}

impl<R: Read> ReadOld<R> {
    pub(super) fn new(
        inner: Packets<R>,
        cipher: SymmetricKeyAlgorithm,
        session_key: &[u8],
        integrity: bool,
    ) -> Result<ReadOld<R>, Error> {
        let inner = BufReader::new(inner);
        let decryptor = if integrity {
            cipher.stream_decryptor_protected(Seipdv1ReadMode::Streaming, session_key, inner)
        } else {
            cipher.stream_decryptor_unprotected(session_key, inner)
        };
        Ok(ReadOld { decryptor: decryptor.map_err(|_| tampered())? })
    }
}

impl<R: Read> Read for ReadOld<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.decryptor.read(out).map_err(|error| {
            let own = error.get_ref().is_some_and(|inner| inner.is::<Error>());
            if own { error } else { tampered().into() }
        })?;
        if count == 0 && !out.is_empty() {
            self.decryptor.get_mut().get_mut().nothing_follows()?;
        }
        Ok(count)
    }
}

/// Reads containers of chunks. Every byte it gives is authentic and in its place.
pub(super) struct ReadChunks<R> {
    inner: Packets<R>,
    chunks: Chunks,
    chunk_bytes: usize,
    sealed: Vec<u8>,
    plain: Vec<u8>,
    given: usize,
    index: u64,
    total: u64,
    ended: bool,
    failed: bool,
}

impl<R: Read> ReadChunks<R> {
    pub(super) fn new(inner: Packets<R>, chunks: Chunks, chunk_bytes: usize) -> ReadChunks<R> {
        ReadChunks {
            inner,
            chunks,
            chunk_bytes,
            sealed: Vec::new(),
            plain: Vec::new(),
            given: 0,
            index: 0,
            total: 0,
            ended: false,
            failed: false,
        }
    }

    /// Opens the next chunk, and the last tag with the last chunk: so no content is given as the
    /// last without it being known that nothing is missing.
    fn step(&mut self) -> Result<(), Error> {
        let wanted = self.chunk_bytes + 2 * TAG_BYTES;
        let missing = wanted.saturating_sub(self.sealed.len()) as u64;
        self.inner.by_ref().take(missing).read_to_end(&mut self.sealed).map_err(Error::from_io)?;
        let last = self.sealed.len() < wanted;
        let end = if last {
            self.sealed.len().checked_sub(TAG_BYTES).ok_or_else(tampered)?
        } else {
            self.chunk_bytes + TAG_BYTES
        };
        let rest = self.sealed.split_off(end);
        self.plain.clear();
        std::mem::swap(&mut self.plain, &mut self.sealed);
        self.sealed.extend_from_slice(&rest);
        self.given = 0;
        // A container without content has the last tag alone.
        if !(last && self.plain.is_empty()) {
            self.chunks.open(self.index, None, &mut self.plain)?;
            self.index += 1;
            self.total += self.plain.len() as u64;
        }
        if last {
            self.chunks.open(self.index, Some(self.total), &mut self.sealed)?;
            self.ended = true;
        }
        Ok(())
    }
}

impl<R: Read> Read for ReadChunks<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let ready = self.plain.get(self.given..).unwrap_or_default();
            if !ready.is_empty() {
                let count = ready.len().min(out.len());
                let (now, _) = ready.split_at(count);
                out.split_at_mut(count).0.copy_from_slice(now);
                self.given += count;
                return Ok(count);
            }
            if self.failed {
                return Err(tampered().into());
            }
            if self.ended {
                self.inner.nothing_follows()?;
                return Ok(0);
            }
            if let Err(error) = self.step() {
                self.plain.clear();
                self.given = 0;
                self.failed = true;
                return Err(error.into());
            }
        }
    }
}
