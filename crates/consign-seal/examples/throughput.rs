//! Gigabytes per second of processor time, sealing and opening in runs of 8 MiB on one thread:
//! `cargo run --release -p consign-seal --example throughput`.
//!
//! The first two lines are the cipher alone: the limit that the others are measured against.
//! Processor time rather than wall time, so that other work on the machine does not count.

use std::hint::black_box;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use consign_seal::age::{
    CHUNK_BYTES, HeaderRead, Identity, SEALED_CHUNK_BYTES, Sealer, TAG_BYTES, read_header,
};

const CHUNKS: usize = 128;
const ROUNDS: usize = 5;
const SECONDS: f64 = 0.3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let identity = Identity::generate()?;
    let sealer = Sealer::new(&[identity.to_recipient()])?;
    let HeaderRead::Done(header, header_bytes) = read_header(sealer.prefix())? else {
        return Err("an incomplete header".into());
    };
    let nonce = sealer.prefix().get(header_bytes..).and_then(|rest| rest.first_chunk());
    let opener = header.open(&[identity], nonce.ok_or("no nonce")?)?;

    let mut plain: Vec<u8> = (0..251u8).cycle().take(CHUNKS * CHUNK_BYTES).collect();
    let mut sealed = vec![0u8; CHUNKS * SEALED_CHUNK_BYTES];
    sealer.seal_into(0, false, &plain, &mut sealed)?;
    let kept = sealed.clone();

    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[7; 32])?);
    measure("cipher alone, in place", || {
        for chunk in plain.chunks_mut(CHUNK_BYTES) {
            let nonce = Nonce::assume_unique_for_key([0; 12]);
            let _tag = black_box(key.seal_in_place_separate_tag(nonce, Aad::empty(), chunk)?);
        }
        Ok(())
    })?;
    measure("copying it alone", || {
        sealed.copy_from_slice(black_box(&kept));
        Ok(())
    })?;
    measure("seal_run, in place", || Ok(sealer.seal_run(0, false, &mut sealed)?))?;
    measure("seal_into", || Ok(sealer.seal_into(0, false, &plain, &mut sealed)?))?;
    sealed.copy_from_slice(&kept);
    measure("open_into", || {
        black_box(opener.open_into(0, false, &sealed, &mut plain)?);
        Ok(())
    })?;
    let mut scratch = vec![0u8; 4 * CHUNK_BYTES];
    measure("open_into, 256 KiB at a time", || {
        for (first, run) in (0..).step_by(4).zip(sealed.chunks(4 * SEALED_CHUNK_BYTES)) {
            black_box(opener.open_into(first, false, run, &mut scratch)?);
        }
        Ok(())
    })?;
    measure("open_run, in place, and a copy", || {
        sealed.copy_from_slice(&kept);
        Ok(opener.open_run(0, false, &mut sealed)?)
    })?;
    println!("({} chunks of {CHUNK_BYTES} + {TAG_BYTES} bytes a round)", CHUNKS);
    Ok(())
}

/// Prints the best of some rounds.
fn measure(
    what: &str,
    mut work: impl FnMut() -> Result<(), Box<dyn std::error::Error>>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut best = 0f64;
    for _ in 0..ROUNDS {
        let start = cpu_seconds()?;
        let (mut spent, mut times) = (0.0, 0u32);
        while spent < SECONDS {
            work()?;
            times += 1;
            spent = cpu_seconds()? - start;
        }
        best = best.max(f64::from(times) * (CHUNKS * CHUNK_BYTES) as f64 / spent / 1e9);
    }
    println!("{what:32} {best:6.2} GB per CPU second");
    Ok(())
}

/// Processor time of this thread, from the kernel's account of it: nanoseconds spent on a
/// processor are the first number.
fn cpu_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let account = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = account.split_whitespace().next().ok_or("empty schedstat")?.parse()?;
    Ok(nanoseconds / 1e9)
}
