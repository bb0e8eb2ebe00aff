//! Gigabytes per second of processor time that OpenPGP messages take to seal and open, per container
//! and cipher: `cargo run --release -p consign-seal --example openpgp_throughput`.
//!
//! With a folder as argument it leaves there `secret.asc` (a version 4 key), `plain` and `sealed.pgp`,
//! to measure `gpg` and `sq` by on the same content. Version 1 is opened in memory once, and as a
//! stream twice: see `OpenReader`.

use std::io::{self, Cursor, Write};

use consign_seal::openpgp::{
    self, KeyKind, OpenOptions, OpenReader, SealOptions, SealWriter, SecretKey,
};

const BYTES: usize = 64 << 20;
const ROUNDS: usize = 3;
const NOW: u64 = 1_790_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plain: Vec<u8> = (0..251u8).cycle().take(BYTES).collect();
    for kind in [KeyKind::Curve25519, KeyKind::Curve25519V6] {
        let key = SecretKey::generate(kind, "throughput", NOW)?;
        let keys = std::slice::from_ref(&key);
        let to = [key.certificate()];
        let signed = SealOptions { signer: Some(&key), ..SealOptions::at(NOW) };
        let options = OpenOptions::at(NOW);
        let mut sealed = openpgp::seal_all(&to, &plain, &signed)?;
        let described = openpgp::describe(&sealed)?;
        let cipher = described.cipher.unwrap_or_else(|| "AES256-CFB".to_owned());
        let name = format!("{} {cipher}", described.container);
        measure(&format!("{name}, open, signature checked"), || {
            openpgp::open_all(keys, &to, &sealed, &options)?;
            Ok(())
        })?;
        measure(&format!("{name}, seal, signed"), || {
            let mut writer = SealWriter::new(io::sink(), &to, &signed)?;
            writer.write_all(&plain)?;
            writer.finish()?;
            Ok(())
        })?;
        let unsigned = SealOptions::at(NOW);
        measure(&format!("{name}, seal"), || {
            let mut writer = SealWriter::new(io::sink(), &to, &unsigned)?;
            writer.write_all(&plain)?;
            writer.finish()?;
            Ok(())
        })?;
        sealed = openpgp::seal_all(&to, &plain, &unsigned)?;
        measure(&format!("{name}, open in memory"), || {
            openpgp::open_all(keys, &[], &sealed, &options)?;
            Ok(())
        })?;
        measure(&format!("{name}, open as a stream"), || {
            let mut reader = OpenReader::new(keys, &[], Cursor::new(&sealed), &options)?;
            io::copy(&mut reader, &mut io::sink())?;
            Ok(())
        })?;
        if let (Some(folder), KeyKind::Curve25519) = (std::env::args_os().nth(1), kind) {
            let folder = std::path::PathBuf::from(folder);
            std::fs::write(folder.join("secret.asc"), key.to_armored(None)?.as_bytes())?;
            std::fs::write(folder.join("plain"), &plain)?;
            std::fs::write(folder.join("sealed.pgp"), &sealed)?;
        }
    }
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
        work()?;
        best = best.max(BYTES as f64 / (cpu_seconds()? - start) / 1e9);
    }
    println!("{best:6.2} GB per CPU second  {what}");
    Ok(())
}
/// Processor time of this thread, as the kernel accounts it.
fn cpu_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let account = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = account.split_whitespace().next().ok_or("empty schedstat")?.parse()?;
    Ok(nanoseconds / 1e9)
}
