//! Seals and opens a stream on all processors: reads a batch of chunks, has each thread work on a
//! run of them, writes the batch in order. Memory is two batches of each side, whatever the length.
//!
//! The chunks are [`Sealer`]'s and [`Opener`]'s; here are only buffers and threads. A batch is
//! written when all of it is authentic, so a pipe never gets anything else.

use std::io::{Read, Write};

use consign_seal::age::{CHUNK_BYTES, Opener, SEALED_CHUNK_BYTES, Sealer, TAG_BYTES};
use consign_seal::{Error, ErrorKind};

use super::interrupt::Flag;
use crate::error::{CommandError, Kind};

/// Chunks that a thread works on at a time: 1 MiB.
const RUN_CHUNKS: usize = 16;
/// More threads than this wait for the disk.
const THREADS_MAX: usize = 8;

/// Seals all of `input`; gives its length. The prefix is written first.
pub(crate) fn seal(
    input: &mut dyn Read,
    output: &mut dyn Write,
    sealer: &Sealer,
    stop: &Flag,
) -> Result<u64, CommandError> {
    output.write_all(sealer.prefix()).map_err(cannot_write)?;
    let mut total = 0;
    let mut sealed = Vec::new();
    batches(input, CHUNK_BYTES, stop, |first, last, plain| {
        total += plain.len() as u64;
        let chunks = plain.len().div_ceil(CHUNK_BYTES).max(1);
        sealed.resize(plain.len() + chunks * TAG_BYTES, 0);
        let plains = runs(plain, CHUNK_BYTES);
        let ends = plains.len();
        let work = plains.into_iter().zip(sealed.chunks_mut(RUN_CHUNKS * SEALED_CHUNK_BYTES));
        in_parallel(
            (first..).step_by(RUN_CHUNKS).zip(1..).zip(work),
            |((at, nth), (from, to))| sealer.seal_into(at, last && nth == ends, from, to),
        )?;
        output.write_all(&sealed).map_err(cannot_write)
    })?;
    Ok(total)
}

/// Opens all of `sealed`, from its first chunk on; gives the length of the content.
pub(crate) fn open(
    sealed: &mut dyn Read,
    output: &mut dyn Write,
    opener: &Opener,
    stop: &Flag,
) -> Result<u64, CommandError> {
    let mut total = 0;
    let mut plain = zeroize::Zeroizing::new(Vec::new());
    batches(sealed, SEALED_CHUNK_BYTES, stop, |first, last, sealed| {
        let runs = runs(sealed, SEALED_CHUNK_BYTES);
        let ends = runs.len();
        plain.resize(runs.len() * RUN_CHUNKS * CHUNK_BYTES, 0);
        let work = runs.into_iter().zip(plain.chunks_mut(RUN_CHUNKS * CHUNK_BYTES));
        let lengths = in_parallel(
            (first..).step_by(RUN_CHUNKS).zip(1..).zip(work),
            |((at, nth), (from, to))| opener.open_into(at, last && nth == ends, from, to),
        )?;
        // Every run but the last is full, so what is open is dense.
        let length = lengths.iter().sum();
        total += length as u64;
        output.write_all(plain.get(..length).unwrap_or_default()).map_err(cannot_write)
    })?;
    Ok(total)
}

/// Reads in batches of whole chunks and hands each on with the number of its first chunk and
/// whether it is the last, which may be shorter, and empty if there is nothing at all.
fn batches(
    input: &mut dyn Read,
    chunk_bytes: usize,
    stop: &Flag,
    mut each: impl FnMut(u64, bool, &[u8]) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let chunks = threads() * RUN_CHUNKS;
    let read = |input: &mut dyn Read, into: &mut Vec<u8>| {
        into.clear();
        input.take((chunks * chunk_bytes) as u64).read_to_end(into).map_err(Error::from_io)
    };
    let (mut now, mut next) =
        (zeroize::Zeroizing::new(Vec::new()), zeroize::Zeroizing::new(Vec::new()));
    read(input, &mut now)?;
    let mut first = 0;
    loop {
        if stop.is_raised() {
            return Err(CommandError::new(Kind::Interrupted, "interrupted"));
        }
        // Only what follows, or does not, tells whether these are the last.
        if now.len() == chunks * chunk_bytes {
            read(input, &mut next)?;
        } else {
            next.clear();
        }
        each(first, next.is_empty(), &now)?;
        if next.is_empty() {
            return Ok(());
        }
        first += chunks as u64;
        std::mem::swap(&mut now, &mut next);
    }
}

/// The runs of a batch; one that is empty if the batch is.
fn runs(batch: &[u8], chunk_bytes: usize) -> Vec<&[u8]> {
    match batch.is_empty() {
        true => vec![batch],
        false => batch.chunks(RUN_CHUNKS * chunk_bytes).collect(),
    }
}

/// One thread for each piece of work; the results in order, or the first error in order.
fn in_parallel<W: Send, T: Send>(
    work: impl Iterator<Item = W>,
    each: impl Fn(W) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let each = &each;
    std::thread::scope(|scope| {
        let threads: Vec<_> = work.map(|piece| scope.spawn(move || each(piece))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX)
}

/// A reader of our output that has seen enough is not an error of the file.
fn cannot_write(error: std::io::Error) -> CommandError {
    let kind = Error::from_io(error);
    debug_assert_eq!(kind.kind(), ErrorKind::Io);
    CommandError::failed("cannot write the output").caused_by(kind)
}
