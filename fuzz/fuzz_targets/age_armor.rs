//! Armor is strict: what is accepted is what would have been written.
#![no_main]

use std::io::{Read, Write};

use consign_seal::age::{ArmorReader, ArmorWriter};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut inside = Vec::new();
    if ArmorReader::new(bytes).read_to_end(&mut inside).is_err() {
        return;
    }
    let mut writer = ArmorWriter::new(Vec::new()).unwrap();
    writer.write_all(&inside).unwrap();
    let again = writer.finish().unwrap();
    let mut twice = Vec::new();
    ArmorReader::new(&again[..]).read_to_end(&mut twice).unwrap();
    assert!(twice == inside);
});
