//! A manifest as anybody who may write to the bucket can put it there: what passes has only names that
//! stay inside, each different from all others.
#![no_main]

use std::collections::HashSet;

use consign_s3s2::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(manifest) = Manifest::parse(bytes) else { return };
    let mut names = HashSet::new();
    for file in manifest.files() {
        let key = manifest.place.file_key(&file.name);
        assert!(!key.starts_with('/') && key.split('/').all(|part| part != ".." && part != "."));
        assert!(names.insert(file.name.folded()));
    }
});
