//! Chunked uploads, in pieces of any size: never more data than was announced, and the same data
//! however the network cuts it.
#![no_main]

use bytes::Bytes;
use consign_local::gate::chunked::{ChunkDecoder, Step};
use libfuzzer_sys::fuzz_target;

type Input<'a> = (u16, u8, &'a [u8]);

/// Everything decoded, and whether it ended well.
fn decode(decoded_bytes: u64, piece_bytes: usize, body: &[u8]) -> (Vec<u8>, bool) {
    let mut decoder = ChunkDecoder::new(decoded_bytes, vec!["x-amz-checksum-crc32".into()], None);
    let mut data = Vec::new();
    let mut done = false;
    for piece in body.chunks(piece_bytes) {
        let mut piece = Bytes::copy_from_slice(piece);
        loop {
            match decoder.step(&mut piece) {
                Ok(Step::Data(some)) => data.extend_from_slice(&some),
                Ok(Step::NeedMore) => break,
                Ok(Step::Done) => {
                    done = true;
                    break;
                }
                Err(_) => return (data, false),
            }
        }
    }
    (data, done)
}

fuzz_target!(|input: Input<'_>| {
    let (decoded_bytes, piece_bytes, body) = input;
    let whole = decode(decoded_bytes.into(), body.len().max(1), body);
    let cut = decode(decoded_bytes.into(), usize::from(piece_bytes) + 1, body);
    assert!(whole.0.len() <= usize::from(decoded_bytes));
    assert_eq!(whole.1, cut.1, "the ending depends on how the body was cut");
    if whole.1 {
        assert!(whole.0 == cut.0 && whole.0.len() == usize::from(decoded_bytes));
    }
});
