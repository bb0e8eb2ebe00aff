//! What is inside the container: perhaps compressed, perhaps signed, one file.
//!
//! [`Content`] reads `[compressed] (announced signatures) literal (signatures)` and nothing else
//! (RFC 9580 §10.3): one level of compression, bounded in what it may become, and one file.
//! Signatures are checked when the end is reached.

use std::io::{self, BufReader, Read};

use pgp::packet::{OnePassSignature, PacketHeader, Signature};
use pgp::types::Tag;

use super::packet::{Packets, header, tag};
use super::signature::{Checks, Signed};
use crate::{Error, ErrorKind};

/// Bytes from somewhere, for as long as `'a`.
pub(super) type Input<'a> = Box<dyn Read + Send + 'a>;

/// How far compressed content may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expansion {
    /// This much is always allowed.
    pub free_bytes: u64,
    /// Beyond it, so many times the sealed size.
    pub factor: u64,
}

impl Default for Expansion {
    /// 1 GiB, and beyond it 16 times the sealed size: text compresses by ten, bombs by a thousand.
    fn default() -> Expansion {
        Expansion { free_bytes: 1 << 30, factor: 16 }
    }
}

const SIGNATURE_BYTES_MAX: usize = 64 << 10;
const SIGNATURES_MAX: usize = 64;

/// The file inside a container.
pub(super) struct Content<'a> {
    packets: Packets<Input<'a>>,
    checks: Checks<'a>,
    file_name: Option<String>,
    signed: Option<Signed>,
    state: State,
}

#[derive(Clone)]
enum State {
    Literal,
    Done,
    Failed(ErrorKind, String),
}

impl<'a> Content<'a> {
    /// Reads up to the first byte of the file.
    pub(super) fn new(
        inner: Input<'a>,
        checks: Checks<'a>,
        expansion: Expansion,
    ) -> Result<Content<'a>, Error> {
        let packets = Packets::new(Box::new(BufReader::new(inner)) as Input<'a>);
        let mut content =
            Content { packets, checks, file_name: None, signed: None, state: State::Literal };
        content.begin(expansion)?;
        Ok(content)
    }

    /// The name that the sender gave, as it stands there: never a path to write to.
    pub(super) fn file_name(&self) -> Option<&str> {
        self.file_name.as_deref()
    }

    /// What was found of signatures; nothing before the end has been read.
    pub(super) fn signed(&self) -> Option<&Signed> {
        self.signed.as_ref()
    }

    fn begin(&mut self, expansion: Expansion) -> Result<(), Error> {
        let mut compressed = false;
        let mut signatures = 0;
        loop {
            let Some(kind) = self.packets.next_tag()? else {
                return Err(header("there is no content in it"));
            };
            match kind {
                tag::MARKER | tag::PADDING => {}
                tag::COMPRESSED if !compressed && signatures == 0 => {
                    compressed = true;
                    self.decompress(expansion)?;
                }
                tag::ONE_PASS | tag::SIGNATURE if signatures < SIGNATURES_MAX => {
                    signatures += 1;
                    let body = self.packets.whole_body(SIGNATURE_BYTES_MAX)?;
                    if kind == tag::ONE_PASS {
                        self.checks.announce(one_pass(&body)?);
                    } else {
                        self.checks.precede(signature(&body)?);
                    }
                }
                tag::LITERAL => return self.begin_literal(),
                _ => return Err(header("a packet is where none of its kind may be")),
            }
        }
    }

    fn decompress(&mut self, expansion: Expansion) -> Result<(), Error> {
        let [algorithm] = self.take()?;
        let empty: Input<'a> = Box::new(io::empty());
        let outer = std::mem::replace(&mut self.packets, Packets::new(empty));
        let source = Counted { inner: outer, bytes: 0 };
        let decoder = match algorithm {
            0 => Decoder::Stored(source),
            1 => Decoder::Deflate(flate2::read::DeflateDecoder::new(source)),
            2 => Decoder::Zlib(flate2::read::ZlibDecoder::new(source)),
            3 => Decoder::Bzip2(Box::new(bzip2::read::BzDecoder::new(source))),
            other => {
                let context = format!("its content is compressed in a way unknown here ({other})");
                return Err(Error::new(ErrorKind::UnsupportedVersion, context));
            }
        };
        let inflated = Inflated { decoder, expansion, given: 0 };
        self.packets = Packets::new(Box::new(BufReader::new(inflated)));
        Ok(())
    }

    /// The start of a literal packet (§5.9): how to read it, a name, a time.
    fn begin_literal(&mut self) -> Result<(), Error> {
        let [mode, name_bytes] = self.take()?;
        if !matches!(mode, b'b' | b't' | b'u' | b'l' | b'1' | b'm') {
            return Err(header("its content is of a kind unknown here"));
        }
        let mut name = vec![0u8; usize::from(name_bytes)];
        self.packets.read_exact(&mut name).map_err(ended)?;
        let [_, _, _, _] = self.take()?;
        self.file_name = (!name.is_empty()).then(|| String::from_utf8_lossy(&name).into_owned());
        Ok(())
    }

    /// What follows the file: the signatures that were announced, and the end of everything.
    fn end(&mut self) -> Result<(), Error> {
        loop {
            match self.packets.next_tag()? {
                None => break,
                Some(tag::SIGNATURE) => {
                    let body = self.packets.whole_body(SIGNATURE_BYTES_MAX)?;
                    self.checks.follow(signature(&body)?)?;
                }
                Some(tag::MARKER | tag::PADDING) => {}
                Some(_) => return Err(header("something follows its content")),
            }
        }
        self.signed = Some(self.checks.finish()?);
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0u8; N];
        self.packets.read_exact(&mut bytes).map_err(ended)?;
        Ok(bytes)
    }

    fn next(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        let count = self.packets.read(out).map_err(Error::from_io)?;
        if count == 0 {
            self.end()?;
            self.state = State::Done;
        }
        self.checks.update(out.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl Read for Content<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        match &self.state {
            State::Done => return Ok(0),
            State::Failed(kind, context) => {
                return Err(Error::new(*kind, context.as_str()).into());
            }
            State::Literal => {}
        }
        self.next(out).map_err(|error| {
            if error.kind() != ErrorKind::Io {
                self.state = State::Failed(error.kind(), error.to_string());
            }
            error.into()
        })
    }
}

fn one_pass(body: &[u8]) -> Result<OnePassSignature, Error> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let packet_header = PacketHeader::new_fixed(Tag::OnePassSignature, length);
    OnePassSignature::try_from_reader(packet_header, body).map_err(|_| malformed())
}

fn signature(body: &[u8]) -> Result<Signature, Error> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let packet_header = PacketHeader::new_fixed(Tag::Signature, length);
    Signature::try_from_reader(packet_header, body).map_err(|_| malformed())
}

fn malformed() -> Error {
    Error::new(ErrorKind::MalformedSignature, "a signature in it cannot be read")
}

/// Inside a container that is authentic, an early end is the sender's doing.
fn ended(error: io::Error) -> Error {
    let own = error.get_ref().is_some_and(|inner| inner.is::<Error>());
    if !own && error.kind() == io::ErrorKind::UnexpectedEof {
        return header("its content ends early");
    }
    Error::from_io(error)
}

struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        self.bytes += count as u64;
        Ok(count)
    }
}

type Source<'a> = Counted<Packets<Input<'a>>>;

enum Decoder<'a> {
    Stored(Source<'a>),
    Deflate(flate2::read::DeflateDecoder<Source<'a>>),
    Zlib(flate2::read::ZlibDecoder<Source<'a>>),
    Bzip2(Box<bzip2::read::BzDecoder<Source<'a>>>),
}

impl<'a> Decoder<'a> {
    fn source(&mut self) -> &mut Source<'a> {
        match self {
            Decoder::Stored(source) => source,
            Decoder::Deflate(decoder) => decoder.get_mut(),
            Decoder::Zlib(decoder) => decoder.get_mut(),
            Decoder::Bzip2(decoder) => decoder.get_mut(),
        }
    }
}

/// Decompressed content, as long as it is in proportion.
struct Inflated<'a> {
    decoder: Decoder<'a>,
    expansion: Expansion,
    given: u64,
}

impl Read for Inflated<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.decoder {
            Decoder::Stored(source) => source.read(out),
            Decoder::Deflate(decoder) => decoder.read(out),
            Decoder::Zlib(decoder) => decoder.read(out),
            Decoder::Bzip2(decoder) => decoder.read(out),
        }
        .map_err(|error| {
            let own = error.get_ref().is_some_and(|inner| inner.is::<Error>());
            if own { error } else { header("its compressed content is damaged").into() }
        })?;
        self.given += count as u64;
        let source = self.decoder.source();
        let allowed = self.expansion.factor.saturating_mul(source.bytes);
        if self.given > allowed.saturating_add(self.expansion.free_bytes) {
            let context = "its content grows far beyond its sealed size: it was made to exhaust \
                           whoever opens it";
            let error = Error::new(ErrorKind::Weak, context);
            return Err(error.hinting("if the sender confirms its size, `gpg -d` opens it").into());
        }
        if count == 0 && !out.is_empty() {
            // To the end of the container: only there is it known to be whole.
            source.inner.nothing_follows()?;
        }
        Ok(count)
    }
}
