//! The framing of OpenPGP packets (RFC 9580 §4.2): a tag, a length, a body that may come in pieces.
//!
//! [`Packets`] reads one packet after the other and gives the body of the present one through
//! [`Read`]; [`PacketWriter`] writes a body of unknown length. What is in the bodies is for others.
//! A body that ends before its length says so is [`ErrorKind::Truncated`].

use std::io::{self, Read, Write};

use crate::{Error, ErrorKind};

/// Packet types (RFC 9580 §5) as far as they matter here.
pub(super) mod tag {
    pub(in super::super) const PKESK: u8 = 1;
    pub(in super::super) const SIGNATURE: u8 = 2;
    pub(in super::super) const SKESK: u8 = 3;
    pub(in super::super) const ONE_PASS: u8 = 4;
    pub(in super::super) const SECRET_KEY: u8 = 5;
    pub(in super::super) const PUBLIC_KEY: u8 = 6;
    pub(in super::super) const COMPRESSED: u8 = 8;
    pub(in super::super) const SED: u8 = 9;
    pub(in super::super) const MARKER: u8 = 10;
    pub(in super::super) const LITERAL: u8 = 11;
    pub(in super::super) const TRUST: u8 = 12;
    pub(in super::super) const SEIPD: u8 = 18;
    pub(in super::super) const GNUPG_AEAD: u8 = 20;
    pub(in super::super) const PADDING: u8 = 21;
}

/// What is left of the body of the present packet.
#[derive(Clone, Copy)]
enum Body {
    /// This many bytes and no more.
    Fixed(u64),
    /// This many bytes, then another length (§4.2.1.4).
    Partial(u64),
    /// All there is (§4.2.2): only in the old format, without any protection against truncation.
    Indeterminate,
}

/// Reads packets; as a [`Read`] it gives the body of the present one.
pub(super) struct Packets<R> {
    inner: R,
    body: Body,
}

impl<R: Read> Packets<R> {
    pub(super) fn new(inner: R) -> Packets<R> {
        Packets { inner, body: Body::Fixed(0) }
    }

    /// The tag of the next packet, or nothing at the end. What is unread of the present body is
    /// passed over.
    pub(super) fn next_tag(&mut self) -> Result<Option<u8>, Error> {
        self.pass_over()?;
        let mut first = [0u8; 1];
        loop {
            match self.inner.read(&mut first) {
                Ok(0) => return Ok(None),
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::from_io(error)),
            }
        }
        let [first] = first;
        if first & 0x80 == 0 {
            return Err(header("a packet does not begin with a packet header"));
        }
        if first & 0x40 != 0 {
            let tag = first & 0x3f;
            self.body = self.new_length()?;
            let streamed = [tag::COMPRESSED, tag::SED, tag::LITERAL, tag::SEIPD, tag::GNUPG_AEAD]
                .contains(&tag);
            if matches!(self.body, Body::Partial(_)) && !streamed {
                return Err(header("a packet that must say its length comes in pieces"));
            }
            return Ok(Some(tag));
        }
        self.body = match first & 0x03 {
            0 => Body::Fixed(u64::from(self.byte()?)),
            1 => Body::Fixed(u64::from(u16::from_be_bytes(self.bytes()?))),
            2 => Body::Fixed(u64::from(u32::from_be_bytes(self.bytes()?))),
            _ => Body::Indeterminate,
        };
        Ok(Some((first >> 2) & 0x0f))
    }

    /// The whole body of the present packet, which must not be longer than `bytes_max`.
    pub(super) fn whole_body(&mut self, bytes_max: usize) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        let limit = bytes_max as u64 + 1;
        self.take(limit).read_to_end(&mut body).map_err(Error::from_io)?;
        if body.len() > bytes_max {
            return Err(header("a packet is far longer than any of its kind"));
        }
        Ok(body)
    }

    /// Whether the body of the present packet says where it ends.
    pub(super) fn has_end(&self) -> bool {
        !matches!(self.body, Body::Indeterminate)
    }

    /// Refuses whatever follows the present packet but filling.
    pub(super) fn nothing_follows(&mut self) -> Result<(), Error> {
        loop {
            match self.next_tag() {
                Ok(None) => return Ok(()),
                Ok(Some(tag::MARKER | tag::PADDING)) => {}
                // No packet at all: then it is something else that was appended.
                Err(error) if error.kind() != ErrorKind::Header => return Err(error),
                _ => return Err(trailing()),
            }
        }
    }

    fn pass_over(&mut self) -> Result<(), Error> {
        io::copy(self, &mut io::sink()).map(drop).map_err(Error::from_io)
    }

    fn new_length(&mut self) -> Result<Body, Error> {
        let first = self.byte()?;
        Ok(match first {
            0..=191 => Body::Fixed(u64::from(first)),
            192..=223 => {
                let second = self.byte()?;
                Body::Fixed((u64::from(first) - 192) * 256 + u64::from(second) + 192)
            }
            224..=254 => Body::Partial(1 << (first & 0x1f)),
            255 => Body::Fixed(u64::from(u32::from_be_bytes(self.bytes()?))),
        })
    }

    fn byte(&mut self) -> Result<u8, Error> {
        self.bytes().map(|[byte]: [u8; 1]| byte)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0u8; N];
        self.inner.read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof if error.get_ref().is_none_or(|e| !e.is::<Error>()) => {
                truncated()
            }
            _ => Error::from_io(error),
        })?;
        Ok(bytes)
    }
}

impl<R: Read> Read for Packets<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = match self.body {
                Body::Indeterminate => return self.inner.read(out),
                Body::Fixed(0) => return Ok(0),
                Body::Partial(0) => {
                    self.body = self.new_length()?;
                    continue;
                }
                Body::Fixed(left) | Body::Partial(left) => left,
            };
            if out.is_empty() {
                return Ok(0);
            }
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
            let count = self.inner.read(out.split_at_mut(room).0)?;
            if count == 0 {
                return Err(truncated().into());
            }
            let left = left - count as u64;
            self.body = match self.body {
                Body::Partial(_) => Body::Partial(left),
                _ => Body::Fixed(left),
            };
            return Ok(count);
        }
    }
}

fn trailing() -> Error {
    Error::new(ErrorKind::TrailingData, "something follows the end of the sealed message")
}

fn truncated() -> Error {
    Error::new(ErrorKind::Truncated, "the message ends in the middle of a packet")
}

pub(super) fn header(context: &str) -> Error {
    Error::new(ErrorKind::Header, format!("this is not a well-formed OpenPGP message: {context}"))
}

/// Writes a packet whose whole body is known.
pub(super) fn write_packet(into: &mut impl Write, tag: u8, body: &[u8]) -> io::Result<()> {
    into.write_all(&[0xc0 | tag])?;
    write_length(into, body.len())?;
    into.write_all(body)
}

/// A length of the new format (RFC 9580 §4.2.1). Bodies here are at most a few megabytes.
fn write_length(into: &mut impl Write, length: usize) -> io::Result<()> {
    match u32::try_from(length) {
        Ok(length @ 0..=191) => into.write_all(&[length as u8]),
        Ok(length @ 192..=8383) => {
            let rest = length - 192;
            into.write_all(&[(rest >> 8) as u8 + 192, (rest & 0xff) as u8])
        }
        Ok(length) => {
            into.write_all(&[255])?;
            into.write_all(&length.to_be_bytes())
        }
        Err(_) => Err(io::Error::other("a packet of more than 4 GiB in one piece")),
    }
}

/// Pieces of this size: large enough that framing costs nothing, small enough for any reader.
const PIECE_BITS: u8 = 16;
const PIECE_BYTES: usize = 1 << PIECE_BITS;

/// Writes a packet of unknown length in pieces of 64 KiB (RFC 9580 §4.2.1.4).
pub(super) struct PacketWriter<W> {
    inner: W,
    tag: u8,
    piece: Vec<u8>,
    begun: bool,
}

impl<W: Write> PacketWriter<W> {
    pub(super) fn new(inner: W, tag: u8) -> PacketWriter<W> {
        PacketWriter { inner, tag, piece: Vec::with_capacity(PIECE_BYTES), begun: false }
    }

    /// Writes the last piece; gives the inner writer back.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.begin()?;
        write_length(&mut self.inner, self.piece.len())?;
        self.inner.write_all(&self.piece)?;
        Ok(self.inner)
    }

    fn begin(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.begun, true) {
            self.inner.write_all(&[0xc0 | self.tag])?;
        }
        Ok(())
    }
}

impl<W: Write> Write for PacketWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() == PIECE_BYTES && !bytes.is_empty() {
            self.begin()?;
            self.inner.write_all(&[0xe0 | PIECE_BITS])?;
            self.inner.write_all(&self.piece)?;
            self.piece.clear();
        }
        let taken = bytes.get(..PIECE_BYTES - self.piece.len()).unwrap_or(bytes);
        self.piece.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
