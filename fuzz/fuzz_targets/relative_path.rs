//! A path from a manifest or an archive stays inside the folder it is joined to, on any system.
#![no_main]

use consign_model::RelativePath;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(path) = RelativePath::parse(text) else { return };
    let path: &str = path.as_ref();
    assert_eq!(path, text);
    assert!(!path.is_empty() && path.len() <= 4096);
    assert!(!path.contains(['\\', ':', '\0', '\n']));
    for segment in path.split('/') {
        assert!(!segment.is_empty() && segment != "." && segment != ".." && segment.len() <= 255);
        assert!(!segment.ends_with(['.', ' ']));
    }
});
