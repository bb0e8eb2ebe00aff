//! Opening: the session key, the container, the content, in this order and no other.
//!
//! Containers of version 2 authenticate chunk by chunk and are opened in one pass. Containers of
//! version 1 authenticate at their very end, so they are read twice: once to see whether they are
//! authentic, once to give their content away (`twice.rs` sees to it that both find the same). What is
//! read twice is the sealed form; no plaintext is kept anywhere in between.

use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom, Write};

use pgp::types::KeyDetails;

use super::armor::{self, ArmorReader, SNIFF_BYTES, looks_armored};
use super::certificate::Certificate;
use super::cipher::Chunks;
use super::container::{ReadChunks, ReadOld, ReadV1};
use super::content::{Content, Expansion, Input};
use super::describe::describe;
use super::packet::Packets;
use super::passphrase::OpenWith;
use super::secret::SecretKey;
use super::session::{Container, Preamble, SessionKey, read_preamble};
use super::signature::Checks;
use super::twice::{First, Pieces, Second};
use crate::{Error, ErrorKind};

/// How to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// The time, in Unix seconds: signatures are judged by it.
    pub at: u64,
    /// Open what is not safe any more: IDEA, 3DES, CAST5 and Blowfish, containers without
    /// integrity, signatures with SHA-1 or MD5. Nothing of a container without integrity can be
    /// known to be what was sealed, whatever else is said here.
    pub allow_weak: bool,
    /// How far compressed content may grow.
    pub expansion: Expansion,
}

impl OpenOptions {
    /// Nothing weak, the default bound on compression.
    pub fn at(unix_seconds: u64) -> OpenOptions {
        OpenOptions { at: unix_seconds, allow_weak: false, expansion: Expansion::default() }
    }
}

/// Reads a sealed message, armored or not.
///
/// Every byte it gives is authentic and in its place. That the message is whole, and who signed
/// it, is known only when `read` has returned 0: until then, treat what came as the beginning of
/// something. Errors of `read` carry an [`Error`] (see [`Error::from_io`]) and stay.
pub struct OpenReader<'a> {
    content: Content<'a>,
}

impl<'a> OpenReader<'a> {
    /// Opens a message that can be read twice, from where it stands, with keys (`&[SecretKey]`) or a
    /// passphrase too ([`OpenWith::passphrase`]).
    ///
    /// With `signers`, one of them must have signed, and `read` fails at the end if none has;
    /// without, signatures are not looked at.
    ///
    /// Errors: [`ErrorKind::NotForYou`], [`ErrorKind::NeedsPassphrase`] for a locked key or a
    /// message under a passphrase, [`ErrorKind::NotSealed`], [`ErrorKind::Weak`],
    /// [`ErrorKind::Tampered`], [`ErrorKind::Truncated`], [`ErrorKind::TrailingData`],
    /// [`ErrorKind::Header`], [`ErrorKind::UnsupportedVersion`], [`ErrorKind::WrongPassphrase`].
    /// Of a message of version 1 damage anywhere is found here, before the first byte.
    pub fn new<'k, R: Read + Seek + Send + 'a>(
        with: impl Into<OpenWith<'k>>,
        signers: &'a [Certificate],
        mut sealed: R,
        options: &OpenOptions,
    ) -> Result<OpenReader<'a>, Error> {
        let with = with.into();
        let start = sealed.stream_position().map_err(Error::from_io)?;
        let read = authenticate(&mut sealed, with, options)?;
        sealed.seek(SeekFrom::Start(start)).map_err(Error::from_io)?;
        let again: Input<'a> = match read {
            Some(pieces) => Box::new(Second::new(sealed, pieces)),
            None => Box::new(sealed),
        };
        let again = Stage::new(again, with, options)?;
        Self::read(again.decrypt(options)?, with.keys, signers, options)
    }

    /// Opens a message that comes once, such as from a network. If it is of version 1 it is first
    /// copied to `spool`, as it is: sealed. Of version 2 nothing is.
    ///
    /// `spool` must be empty; what lies in it afterwards is of no use. Errors as
    /// [`OpenReader::new`].
    pub fn spooled<'k, R: Read + Send + 'a, S: Read + Write + Seek + Send + 'a>(
        with: impl Into<OpenWith<'k>>,
        signers: &'a [Certificate],
        mut sealed: R,
        mut spool: S,
        options: &OpenOptions,
    ) -> Result<OpenReader<'a>, Error> {
        let with = with.into();
        let mut start = Vec::new();
        let chunked = loop {
            let known = start.len();
            let more = known.max(4096) as u64;
            sealed.by_ref().take(more).read_to_end(&mut start).map_err(Error::from_io)?;
            match describe(&start) {
                Ok(description) => break description.is_chunked(),
                Err(error) if error.kind() == ErrorKind::Truncated && start.len() > known => {}
                Err(error) => return Err(error),
            }
        };
        let mut whole = Cursor::new(start).chain(sealed);
        if chunked {
            let stage = Stage::new(Box::new(whole), with, options)?;
            return Self::read(stage.decrypt(options)?, with.keys, signers, options);
        }
        io::copy(&mut whole, &mut spool).map_err(Error::from_io)?;
        spool.rewind().map_err(Error::from_io)?;
        Self::new(with, signers, spool, options)
    }

    fn read(
        plain: Input<'a>,
        keys: &[SecretKey],
        signers: &'a [Certificate],
        options: &OpenOptions,
    ) -> Result<OpenReader<'a>, Error> {
        let ours = keys.iter().flat_map(|key| {
            let subkeys = key.key.secret_subkeys.iter().map(|subkey| subkey.key.fingerprint());
            subkeys.chain(std::iter::once(key.key.primary_key.fingerprint()))
        });
        let checks = Checks::new(signers, ours.collect(), options.at, options.allow_weak);
        Ok(OpenReader { content: Content::new(plain, checks, options.expansion)? })
    }

    /// The file name that the sender gave: any text at all, never a path to write to.
    pub fn file_name(&self) -> Option<&str> {
        self.content.file_name()
    }

    /// The fingerprint of the expected signer who signed; nothing before the end has been read.
    pub fn signed_by(&self) -> Option<&str> {
        self.content.signed().and_then(|signed| signed.by.as_deref())
    }

    /// When it was signed, in Unix seconds; nothing before the end has been read.
    pub fn signed_at(&self) -> Option<u64> {
        self.content.signed().and_then(|signed| signed.at)
    }
}

impl Read for OpenReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.content.read(out)
    }
}

/// What was sealed, and what is known of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// The file.
    pub plain: Vec<u8>,
    /// The fingerprint of the expected signer who signed it; nothing if none was expected.
    pub signed_by: Option<String>,
    /// When it was signed, in Unix seconds.
    pub signed_at: Option<u64>,
    /// The file name that the sender gave: any text at all, never a path to write to.
    pub file_name: Option<String>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened")
            .field("plain_bytes", &self.plain.len())
            .field("signed_by", &self.signed_by)
            .finish()
    }
}

/// Opens a message that fits in memory. Nothing is returned unless all of it authenticates and,
/// where `signers` are given, one of them has signed it. Errors as [`OpenReader::new`].
pub fn open_all<'k>(
    with: impl Into<OpenWith<'k>>,
    signers: &[Certificate],
    sealed: &[u8],
    options: &OpenOptions,
) -> Result<Opened, Error> {
    let with = with.into();
    let stage = Stage::new(Box::new(sealed), with, options)?;
    let chunked = stage.container.is_chunked();
    let mut decrypted = stage.decrypt(options)?;
    if !chunked {
        let mut whole = Vec::with_capacity(sealed.len());
        decrypted.read_to_end(&mut whole).map_err(Error::from_io)?;
        decrypted = Box::new(Cursor::new(whole));
    }
    let mut reader = OpenReader::read(decrypted, with.keys, signers, options)?;
    let mut plain = Vec::with_capacity(sealed.len());
    reader.read_to_end(&mut plain).map_err(Error::from_io)?;
    Ok(Opened {
        plain,
        signed_by: reader.signed_by().map(str::to_owned),
        signed_at: reader.signed_at(),
        file_name: reader.file_name().map(str::to_owned),
    })
}

/// Reads a message to its end if only there it can be seen whether it is authentic, and says what it
/// read.
fn authenticate(
    sealed: &mut (impl Read + Send),
    with: OpenWith<'_>,
    options: &OpenOptions,
) -> Result<Option<Pieces>, Error> {
    let mut pieces = Pieces::new()?;
    let stage = Stage::new(Box::new(First::new(sealed, &mut pieces)), with, options)?;
    if stage.container.is_chunked() {
        return Ok(None);
    }
    io::copy(&mut stage.decrypt(options)?, &mut io::sink()).map_err(Error::from_io)?;
    Ok(Some(pieces))
}

/// A message read up to the content of its container.
struct Stage<'a> {
    packets: Packets<Input<'a>>,
    container: Container,
    session: SessionKey,
}

impl<'a> Stage<'a> {
    fn new(
        sealed: Input<'a>,
        with: OpenWith<'_>,
        options: &OpenOptions,
    ) -> Result<Stage<'a>, Error> {
        let (packets, preamble) = read_start(sealed)?;
        let container = preamble.container;
        if matches!(container, Container::Sed) && !options.allow_weak {
            let context = "it has no protection against changes (a packet of before 2000): whoever \
                           stored it could have altered it";
            return Err(Error::new(ErrorKind::Weak, context));
        }
        let session = preamble.session_key(with, options.allow_weak)?;
        Ok(Stage { packets, container, session })
    }

    /// The packets inside the container.
    fn decrypt(self, options: &OpenOptions) -> Result<Input<'a>, Error> {
        let Stage { packets, container, session } = self;
        let key = &session.key;
        Ok(match container {
            Container::V2(suite, salt) => {
                let chunks = Chunks::version_2(suite, key, &salt)?;
                Box::new(ReadChunks::new(packets, chunks, suite.chunk_bytes()))
            }
            Container::Gnupg(suite, nonce) => {
                let nonce = nonce.get(..suite.mode.nonce_size()).unwrap_or(&nonce);
                let chunks = Chunks::gnupg(suite, key, nonce)?;
                Box::new(ReadChunks::new(packets, chunks, suite.chunk_bytes()))
            }
            Container::V1 | Container::Sed => {
                let cipher = session.stated_cipher(options.allow_weak)?;
                let integrity = matches!(container, Container::V1);
                if integrity && super::cipher::is_aes(cipher) {
                    Box::new(ReadV1::new(packets, cipher, key, session.from_passphrase)?)
                } else {
                    Box::new(ReadOld::new(packets, cipher, key, integrity)?)
                }
            }
        })
    }
}

/// Takes the armor off, if there is any, and reads up to the container.
pub(super) fn read_start(mut sealed: Input<'_>) -> Result<(Packets<Input<'_>>, Preamble), Error> {
    let mut start = Vec::new();
    sealed.by_ref().take(SNIFF_BYTES as u64).read_to_end(&mut start).map_err(Error::from_io)?;
    if start.is_empty() {
        return Err(Error::new(ErrorKind::Truncated, "the message is empty"));
    }
    let armored = looks_armored(&start);
    let whole = BufReader::with_capacity(64 << 10, Cursor::new(start).chain(sealed));
    let binary: Input<'_> = if armored {
        Box::new(BufReader::new(ArmorReader::new(whole, armor::MESSAGE)))
    } else {
        Box::new(whole)
    };
    let mut packets = Packets::new(binary);
    let preamble = read_preamble(&mut packets)?;
    Ok((packets, preamble))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openpgp::{KeyKind, SealOptions, seal_all};

    const NOW: u64 = 1_800_000_000;

    /// What is inside a message, for one of its recipients who seals it again for another.
    fn forwarded(sealed: &[u8], by: &SecretKey, to: &SecretKey) -> Vec<u8> {
        let options = OpenOptions::at(NOW);
        let keys = std::slice::from_ref(by);
        let stage = Stage::new(Box::new(sealed), keys.into(), &options).unwrap();
        let mut packets = Vec::new();
        stage.decrypt(&options).unwrap().read_to_end(&mut packets).unwrap();
        crate::openpgp::seal::seal_packets(&[to.certificate()], &packets, NOW).unwrap()
    }

    #[test]
    fn a_signature_for_one_recipient_does_not_pass_for_another() {
        let made = |kind, name| SecretKey::generate(kind, name, NOW - 10).unwrap();
        for kind in [KeyKind::Curve25519, KeyKind::Curve25519V6] {
            let (acme, mallory, globex) = (made(kind, "a"), made(kind, "m"), made(kind, "g"));
            let options = SealOptions { signer: Some(&acme), ..SealOptions::at(NOW) };
            let signers = [acme.certificate()];
            let open = |sealed: &[u8], key: &SecretKey| {
                let keys = std::slice::from_ref(key);
                open_all(keys, &signers, sealed, &OpenOptions::at(NOW))
            };
            let sealed = seal_all(&[mallory.certificate()], b"pay", &options).unwrap();
            assert_eq!(open(&sealed, &mallory).unwrap().plain, b"pay");
            let passed_on = forwarded(&sealed, &mallory, &globex);
            assert_eq!(open(&passed_on, &globex).unwrap_err().kind(), ErrorKind::WrongContext);
            // For both from the start, it is for both.
            let both = [mallory.certificate(), globex.certificate()];
            let sealed = seal_all(&both, b"pay", &options).unwrap();
            let passed_on = forwarded(&sealed, &mallory, &globex);
            assert_eq!(open(&passed_on, &globex).unwrap().plain, b"pay");
        }
    }
}
