//! Gigabytes per second of processor time in the S3 Encryption Client formats, on one thread:
//! `cargo run --release -p consign-seal --example throughput_s3ec`.
//!
//! The first lines are what aws-lc does by itself: AES-256-GCM in one call, which no part but the
//! first can use, and counter mode alone, which is the limit for parts.

use std::hint::black_box;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use consign_seal::s3ec::{AesKey, CommitmentPolicy, DataKey, OpenPolicy, Pairs, Sealer, Suite};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const BYTES: usize = 8 << 20;
const ROUNDS: usize = 5;
const SECONDS: f64 = 0.3;

fn main() -> Outcome {
    let (wrapping, key) = (AesKey::generate()?, DataKey::generate()?);
    let wrapped = wrapping.wrap(Suite::GcmCommitted, &key, &Pairs::new())?;
    let sealer = Sealer::new(CommitmentPolicy::default(), &key, wrapped)?;
    let policy = OpenPolicy::default();
    let opener = sealer.header().admit(&policy)?.open(&key)?;
    let mut part: Vec<u8> = (0..251u8).cycle().take(BYTES).collect();

    let gcm = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32])?);
    measure("AES-256-GCM alone, one call", || {
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let _tag = black_box(gcm.seal_in_place_separate_tag(nonce, Aad::empty(), &mut part)?);
        Ok(())
    })?;
    let counter = DecryptingKey::ctr(UnboundCipherKey::new(&AES_256, &[7; 32])?)?;
    measure("AES-256-CTR alone", || {
        counter.decrypt(&mut part, DecryptionContext::Iv128([0; 16].into()))?;
        Ok(())
    })?;
    measure("seal_part", || {
        black_box(sealer.seal_part(1 << 30, &mut part)?);
        Ok(())
    })?;
    measure("hash_part, what verifying costs", || {
        black_box(opener.hash_part(1 << 30, &part)?);
        Ok(())
    })?;
    measure("open_part_into_hiding", || {
        black_box(opener.open_part_into_hiding(1 << 30, &mut part)?);
        Ok(())
    })?;
    let mut piece = part.split_off(BYTES - (1 << 20));
    let known = opener.hash_part(0, &piece)?;
    let tag = sealer.finish([known.clone()])?;
    let verified = opener.verify([known], &tag)?;
    let sealed = piece.clone();
    measure("verified piece of 1 MiB, and a copy", || {
        for _ in 0..8 {
            piece.copy_from_slice(&sealed);
            verified.open_part(0, &mut piece)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// Prints the best of some rounds.
fn measure(what: &str, mut work: impl FnMut() -> Outcome) -> Outcome {
    let mut best = 0f64;
    for _ in 0..ROUNDS {
        let start = cpu_seconds()?;
        let (mut spent, mut times) = (0.0, 0u32);
        while spent < SECONDS {
            work()?;
            times += 1;
            spent = cpu_seconds()? - start;
        }
        best = best.max(f64::from(times) * BYTES as f64 / spent / 1e9);
    }
    println!("{what:36} {best:6.2} GB per CPU second");
    Ok(())
}

/// Processor time of this thread, from the kernel's account of it.
fn cpu_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let account = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = account.split_whitespace().next().ok_or("empty schedstat")?.parse()?;
    Ok(nanoseconds / 1e9)
}
