//! Takes the `aws-chunked` framing off a body: `SIZE[;chunk-signature=…]` CRLF, data, CRLF, and at
//! the end an empty chunk and trailers. Data passes as slices of what arrived.

use bytes::{Buf, Bytes, BytesMut};

/// Longer lines are no chunk header that a client sends.
const LINE_MAX: usize = 4096;

#[derive(Default)]
pub(super) struct Decoder {
    /// The line being read, when its end has not arrived yet.
    line: BytesMut,
    state: State,
}

#[derive(Default, Clone, Copy)]
enum State {
    #[default]
    Header,
    Data(u64),
    /// The CRLF after a chunk.
    Gap,
    Trailers,
    Failed,
}

impl Decoder {
    /// Hands the data in `piece` to `keep`. `Err` when the framing is none.
    pub(super) fn feed(&mut self, mut piece: Bytes, mut keep: impl FnMut(Bytes)) -> Result<(), ()> {
        while !piece.is_empty() {
            if let State::Data(left) = self.state {
                let take = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
                keep(piece.split_to(take));
                let left = left - take as u64;
                self.state = if left == 0 { State::Gap } else { State::Data(left) };
                continue;
            }
            if matches!(self.state, State::Trailers) {
                return Ok(());
            }
            let Some(line) = self.take_line(&mut piece) else { break };
            self.state = match (self.state, line.as_ref()) {
                (State::Gap, b"") => State::Header,
                (State::Header, line) => match size(line) {
                    Some(0) => State::Trailers,
                    Some(bytes) => State::Data(bytes),
                    None => State::Failed,
                },
                _ => State::Failed,
            };
            if matches!(self.state, State::Failed) {
                return Err(());
            }
        }
        if self.line.len() > LINE_MAX { Err(()) } else { Ok(()) }
    }

    /// A whole line without its CRLF, or `None` until more arrives.
    fn take_line(&mut self, piece: &mut Bytes) -> Option<Bytes> {
        let Some(end) = piece.iter().position(|&byte| byte == b'\n') else {
            self.line.extend_from_slice(piece);
            piece.advance(piece.len());
            return None;
        };
        self.line.extend_from_slice(&piece.split_to(end + 1));
        let line = self.line.split().freeze();
        let text = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n"));
        Some(text.map_or(Bytes::new(), |text| line.slice_ref(text)))
    }
}

fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|&byte| byte == b';').next()?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
