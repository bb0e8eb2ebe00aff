//! The tree that the demo sends when it is given none: a large file, many small ones, an empty one,
//! and names that break scripts.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

const LARGE_BYTES: u64 = 256 << 20;
const SMALL_FILES: u64 = 300;

/// Fills the folder, which must be empty or new. Contents are incompressible and repeatable.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder.join("slices"))?;
    std::fs::create_dir_all(folder.join("Befunde für Ärzte"))?;
    write(&folder.join("scan-volume.bin"), LARGE_BYTES, 1)?;
    for number in 0..SMALL_FILES {
        let name = format!("slices/slice-{number:04}.dcm");
        write(&folder.join(name), 500 + number * 97, 2 + number)?;
    }
    write(&folder.join("empty"), 0, 0)?;
    write(&folder.join("a name with  spaces & 'quotes'.txt"), 4_000, 1_001)?;
    write(&folder.join("Befunde für Ärzte/結果 № 7 – naïve.txt"), 5_000, 1_002)?;
    write(
        &folder.join(format!("{}.txt", "long-name-".repeat(20).get(..196).unwrap_or("long"))),
        6_000,
        1_003,
    )
}

/// SplitMix64: every byte differs from run to run of the seed, nothing compresses.
fn write(path: &Path, bytes: u64, seed: u64) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut left = bytes;
    while left > 0 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        let take = left.min(8) as usize;
        file.write_all(word.to_le_bytes().get(..take).unwrap_or(&[]))?;
        left -= take as u64;
    }
    file.flush()
}
