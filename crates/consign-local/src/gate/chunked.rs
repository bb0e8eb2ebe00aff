//! `aws-chunked`: the framing in which SDKs stream a payload whose hash they do not know yet.
//!
//! ```text
//! 10000;chunk-signature=<64 hex>\r\n <65536 bytes> \r\n
//! 0;chunk-signature=<64 hex>\r\n
//! x-amz-checksum-crc32c:sOO8/Q==\r\n
//! x-amz-trailer-signature:<64 hex>\r\n
//! \r\n
//! ```
//!
//! Each chunk's signature covers the one before it, so chunks cannot be dropped, swapped or added.
//! In the unsigned variant (`STREAMING-UNSIGNED-PAYLOAD-TRAILER`) there are no signatures, and the
//! checksum in the trailer is what protects. The decoder is synchronous and never holds more than a
//! line.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::signature::{EMPTY_SHA256, Scope, SigningKey, sha256_hex};
use crate::error::ApiError;

/// Room for `FFFFFFFFFFFFFFFF;chunk-signature=` and 64 digits, and for one checksum trailer.
const LINE_BYTES_MAX: usize = 1024;
const TRAILERS_MAX: usize = 16;
/// S3's own rule, which bounds what a client can make us spend on framing and signatures.
const SIGNED_CHUNK_BYTES_MIN: u64 = 8192;

/// What signs the chunks.
pub struct ChunkSignature {
    /// The key of the request's scope.
    pub key: SigningKey,
    /// The request's `x-amz-date`.
    pub timestamp: String,
    /// The request's scope.
    pub scope: Scope,
    /// The signature of what came before: at first the request's own.
    pub previous: String,
}

/// What [`ChunkDecoder::step`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Decoded payload.
    Data(Bytes),
    /// Nothing until more input comes.
    NeedMore,
    /// The end of the payload, trailers verified.
    Done,
}

/// Takes `aws-chunked` apart.
pub struct ChunkDecoder {
    state: State,
    signature: Option<ChunkSignature>,
    announced: Vec<String>,
    left_bytes: u64,
    line: Vec<u8>,
    trailers: HeaderMap,
    trailer_text: String,
    trailer_signature: Option<String>,
}

enum State {
    Size,
    Data { left: u64, chunk: Option<OpenChunk>, short: bool },
    DataEnd { short: bool },
    SizeAfterShort,
    Trailers,
    Done,
}

struct OpenChunk {
    hash: Context,
    signature: String,
}

impl ChunkDecoder {
    /// A decoder for a payload of exactly `decoded_bytes`, whose trailers are `announced` in
    /// `x-amz-trailer`.
    pub fn new(
        decoded_bytes: u64,
        announced: Vec<String>,
        signature: Option<ChunkSignature>,
    ) -> ChunkDecoder {
        ChunkDecoder {
            state: State::Size,
            signature,
            announced,
            left_bytes: decoded_bytes,
            line: Vec::new(),
            trailers: HeaderMap::new(),
            trailer_text: String::new(),
            trailer_signature: None,
        }
    }

    /// Takes what it can from the front of `input`.
    pub fn step(&mut self, input: &mut Bytes) -> Result<Step, ApiError> {
        loop {
            match &mut self.state {
                State::Done if input.is_empty() => return Ok(Step::Done),
                State::Done => return Err(incomplete("bytes after the last chunk")),
                State::Data { left: 0, chunk, short } => {
                    let (chunk, short) = (chunk.take(), *short);
                    self.close_chunk(chunk)?;
                    self.state = State::DataEnd { short };
                }
                State::Data { left, chunk, .. } => {
                    if input.is_empty() {
                        return Ok(Step::NeedMore);
                    }
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    let data = input.split_to(here);
                    *left -= here as u64;
                    if let Some(chunk) = chunk {
                        chunk.hash.update(&data);
                    }
                    return Ok(Step::Data(data));
                }
                State::Size | State::SizeAfterShort | State::DataEnd { .. } | State::Trailers => {
                    let Some(line) = self.take_line(input)? else { return Ok(Step::NeedMore) };
                    self.read_line(&line)?;
                }
            }
        }
    }

    /// The trailers, once [`Step::Done`] came.
    pub fn into_trailers(self) -> HeaderMap {
        self.trailers
    }

    fn read_line(&mut self, line: &str) -> Result<(), ApiError> {
        match self.state {
            State::DataEnd { short } if line.is_empty() => {
                self.state = if short { State::SizeAfterShort } else { State::Size };
            }
            State::DataEnd { .. } => return Err(incomplete("a chunk is longer than it said")),
            State::Size => self.open_chunk(line, false)?,
            State::SizeAfterShort => self.open_chunk(line, true)?,
            State::Trailers if line.is_empty() => {
                self.check_trailers()?;
                self.state = State::Done;
            }
            State::Trailers => self.read_trailer(line)?,
            State::Data { .. } | State::Done => {}
        }
        Ok(())
    }

    /// A line up to `\r\n`, kept across calls until it is whole.
    fn take_line(&mut self, input: &mut Bytes) -> Result<Option<String>, ApiError> {
        let (upto, found) = match input.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (input.len(), false),
        };
        if self.line.len() + upto > LINE_BYTES_MAX {
            return Err(incomplete("a chunk's head is too long"));
        }
        self.line.extend_from_slice(input.get(..upto).unwrap_or_default());
        input.advance(upto);
        if !found {
            return Ok(None);
        }
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r\n").ok_or_else(|| incomplete("a line without CR"))?;
        let line = std::str::from_utf8(line).map_err(|_| incomplete("a line that is not ASCII"))?;
        Ok(Some(line.to_owned()))
    }

    fn open_chunk(&mut self, line: &str, after_short: bool) -> Result<(), ApiError> {
        let (size, extension) = line.split_once(';').unwrap_or((line, ""));
        let digits = !size.is_empty() && size.len() <= 16;
        if !digits || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(incomplete("a chunk's size is not hexadecimal"));
        }
        let size = u64::from_str_radix(size, 16).map_err(|_| incomplete("a chunk's size"))?;
        if size > self.left_bytes {
            return Err(incomplete("more payload than x-amz-decoded-content-length says"));
        }
        self.left_bytes -= size;
        let chunk = match &self.signature {
            None => None,
            Some(_) if size > 0 && after_short => return Err(short_chunk()),
            Some(_) => {
                let signature = extension
                    .strip_prefix("chunk-signature=")
                    .filter(|signature| signature.len() == 64)
                    .ok_or_else(|| mismatch("a chunk has no signature"))?;
                Some(OpenChunk { hash: Context::new(&SHA256), signature: signature.to_owned() })
            }
        };
        if size > 0 {
            let short = size < SIGNED_CHUNK_BYTES_MIN;
            self.state = State::Data { left: size, chunk, short };
            return Ok(());
        }
        self.close_chunk(chunk)?;
        if self.left_bytes > 0 {
            return Err(incomplete("less payload than x-amz-decoded-content-length says"));
        }
        self.state = State::Trailers;
        Ok(())
    }

    fn close_chunk(&mut self, chunk: Option<OpenChunk>) -> Result<(), ApiError> {
        let (Some(chunk), Some(signature)) = (chunk, &mut self.signature) else { return Ok(()) };
        let ChunkSignature { key, timestamp, scope, previous } = signature;
        let hash = hex::encode(chunk.hash.finish());
        let text = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{timestamp}\n{scope}\n{previous}\n{EMPTY_SHA256}\n{hash}"
        );
        if !key.verify(&text, &chunk.signature) {
            return Err(mismatch("a chunk's signature"));
        }
        *previous = chunk.signature;
        Ok(())
    }

    fn read_trailer(&mut self, line: &str) -> Result<(), ApiError> {
        let (name, value) = line.split_once(':').ok_or_else(malformed_trailer)?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if name == "x-amz-trailer-signature" {
            if self.trailer_signature.replace(value.to_owned()).is_some() {
                return Err(malformed_trailer());
            }
            return Ok(());
        }
        // A trailer is a header that comes late: only what was announced under the signature counts.
        let expected = self.announced.contains(&name) && self.trailers.len() < TRAILERS_MAX;
        let name_ok = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed_trailer())?;
        let value_ok = HeaderValue::from_str(value).map_err(|_| malformed_trailer())?;
        if !expected || self.trailers.insert(name_ok, value_ok).is_some() {
            return Err(malformed_trailer());
        }
        self.trailer_text.push_str(&format!("{name}:{value}\n"));
        Ok(())
    }

    fn check_trailers(&mut self) -> Result<(), ApiError> {
        if self.announced.iter().any(|name| !self.trailers.contains_key(name)) {
            return Err(malformed_trailer());
        }
        let Some(signature) = &self.signature else {
            return match self.trailer_signature {
                Some(_) => Err(malformed_trailer()),
                None => Ok(()),
            };
        };
        match &self.trailer_signature {
            None if self.announced.is_empty() => Ok(()),
            None => Err(mismatch("the trailers are not signed")),
            Some(provided) => {
                let ChunkSignature { key, timestamp, scope, previous } = signature;
                let hash = sha256_hex(self.trailer_text.as_bytes());
                let text =
                    format!("AWS4-HMAC-SHA256-TRAILER\n{timestamp}\n{scope}\n{previous}\n{hash}");
                match key.verify(&text, provided) {
                    true => Ok(()),
                    false => Err(mismatch("the trailers' signature")),
                }
            }
        }
    }
}

/// The payload is not what its framing or its declared length says.
pub fn incomplete(why: &str) -> ApiError {
    ApiError::bad_request(
        "IncompleteBody",
        "The request body terminated unexpectedly or does not have the length it declares",
    )
    .because(why)
}

fn malformed_trailer() -> ApiError {
    ApiError::bad_request(
        "MalformedTrailerError",
        "The request contained trailing data that was not well-formed or did not conform to our \
         published schema.",
    )
}

fn short_chunk() -> ApiError {
    ApiError::forbidden(
        "InvalidChunkSizeError",
        "Only the last chunk is allowed to have a size less than 8192 bytes",
    )
}

fn mismatch(why: &str) -> ApiError {
    ApiError::forbidden(
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check \
         your key and signing method.",
    )
    .because(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in the S3 API reference, "Transferring payload in multiple chunks", and its
    /// sibling with a trailing checksum.
    #[test]
    fn published_examples_decode() {
        type Case = (&'static str, [&'static str; 3], &'static str, Trailers);
        let cases: [Case; 2] = [
            (
                "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
                [
                    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
                    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
                    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
                ],
                "",
                &[],
            ),
            (
                "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
                [
                    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
                    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
                    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
                ],
                "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:\
                 d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n",
                &[("x-amz-checksum-crc32c", "sOO8/Q==")],
            ),
        ];
        for (seed, [one, two, three], trailer, expected) in cases {
            let wire = format!(
                "10000;chunk-signature={one}\r\n{}\r\n400;chunk-signature={two}\r\n{}\r\n\
                 0;chunk-signature={three}\r\n{trailer}\r\n",
                "a".repeat(65_536),
                "a".repeat(1024)
            );
            // However the network cuts it.
            for piece_bytes in [1, 7, 4096, wire.len()] {
                let mut decoder = published_decoder(seed, expected);
                let mut decoded = 0;
                for piece in wire.as_bytes().chunks(piece_bytes) {
                    let mut input = Bytes::copy_from_slice(piece);
                    while let Step::Data(data) = decoder.step(&mut input).expect("published") {
                        assert!(data.iter().all(|byte| *byte == b'a'));
                        decoded += data.len();
                    }
                }
                assert_eq!(decoded, 66_560);
                assert_eq!(decoder.step(&mut Bytes::new()).expect("published"), Step::Done);
                let trailers = decoder.into_trailers();
                assert_eq!(trailers.len(), expected.len());
                for (name, value) in expected {
                    assert_eq!(
                        trailers.get(*name).map(HeaderValue::as_bytes),
                        Some(value.as_bytes())
                    );
                }
            }
        }
    }

    type Trailers = &'static [(&'static str, &'static str)];

    fn published_decoder(seed: &str, trailers: Trailers) -> ChunkDecoder {
        let scope = Scope {
            date: "20130524".to_owned(),
            region: "us-east-1".to_owned(),
            service: "s3".to_owned(),
        };
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let signature = ChunkSignature {
            key: SigningKey::derive(secret, &scope),
            timestamp: "20130524T000000Z".to_owned(),
            scope,
            previous: seed.to_owned(),
        };
        let announced = trailers.iter().map(|(name, _)| (*name).to_owned()).collect();
        ChunkDecoder::new(66_560, announced, Some(signature))
    }

    proptest::proptest! {
        /// Whatever comes in, the decoder answers, and never with more than was declared.
        #[test]
        fn noise_never_yields_more_than_declared(
            pieces in proptest::collection::vec("[0-9a-f;\r\n:x-]{0,40}", 0..40),
            declared in 0u64..64,
        ) {
            let mut decoder = ChunkDecoder::new(declared, vec!["x".to_owned()], None);
            let mut decoded = 0;
            'pieces: for piece in pieces {
                let mut input = Bytes::from(piece);
                loop {
                    match decoder.step(&mut input) {
                        Ok(Step::Data(data)) => decoded += data.len() as u64,
                        Ok(_) => break,
                        Err(_) => break 'pieces,
                    }
                }
            }
            proptest::prop_assert!(decoded <= declared);
        }
    }
}
