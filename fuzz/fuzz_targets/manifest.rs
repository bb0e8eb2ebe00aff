//! A manifest as a hostile sender could sign it: what passes has only paths that stay inside.
#![no_main]

use consign_model::{Limits, Manifest, revised_place, revision_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // What somebody has put below a consignment's folder is of one revision or of none.
    let place = String::from_utf8_lossy(bytes);
    let (number, name) = revision_of(&place);
    assert_eq!(revised_place(number, name), place);
    let limits = Limits { manifest_bytes: 1 << 20, files: 1_000, objects: 1_000 };
    if let Ok(manifest) = Manifest::parse(bytes, &limits) {
        let again = Manifest::parse(&manifest.to_bytes(), &limits).unwrap();
        assert_eq!(again.to_bytes(), manifest.to_bytes());
        for file in &manifest.files {
            let path: &str = file.path.as_ref();
            assert!(!path.starts_with('/') && path.split('/').all(|part| part != ".."));
        }
    }
});
