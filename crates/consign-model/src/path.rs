//! Paths that are safe to join to a folder on every system we know of.

use crate::name::{shown, text_type};
use crate::{Error, ErrorKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use unicode_normalization::UnicodeNormalization;

text_type!(
    /// A path inside a consignment: segments with `/` between them.
    ///
    /// This is where absolute paths, `..`, empty segments, backslashes, control characters,
    /// characters that reverse or hide text, Windows device names and streams, and names too long
    /// for a file system end. Nothing downstream asks again.
    RelativePath, "a path that is safe everywhere", safe_path
);

impl RelativePath {
    const SEGMENT_BYTES_MAX: usize = 255;
    const PATH_BYTES_MAX: usize = 4096;

    /// The folders and, last, the file's own name.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.as_str().split('/')
    }

    /// The last segment.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.segments().next_back().unwrap_or("")
    }

    /// What two paths have in common if some file system takes them for one: case and Unicode
    /// composition are folded away.
    #[must_use]
    pub fn folded(&self) -> String {
        // Upper case first: it unites letters that differ in lower case only (ß and ss, ſ and s).
        let upper: String = self.as_str().nfc().flat_map(char::to_uppercase).collect();
        upper.chars().flat_map(char::to_lowercase).nfc().collect()
    }
}

fn safe_path(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".into());
    }
    if text.len() > RelativePath::PATH_BYTES_MAX {
        return Err(format!("it has {} bytes, 4096 are allowed", text.len()));
    }
    if text.starts_with('/') {
        return Err("it is absolute".into());
    }
    if let Some(c) = text.chars().find(|c| c.is_control() || is_invisible(*c)) {
        return Err(format!("it contains the control character U+{:04X}", u32::from(c)));
    }
    if let Some(c) = text.chars().find(|c| matches!(c, '\\' | ':')) {
        return Err(format!("it contains `{c}`, which separates parts of a path on Windows"));
    }
    text.split('/').try_for_each(safe_segment)
}

fn safe_segment(segment: &str) -> Result<(), String> {
    if segment.is_empty() {
        return Err("it has an empty part".into());
    }
    if segment == "." || segment == ".." {
        return Err(format!("it contains `{segment}`"));
    }
    if segment.len() > RelativePath::SEGMENT_BYTES_MAX {
        return Err(format!("a part of it has {} bytes, 255 are allowed", segment.len()));
    }
    if segment.ends_with(['.', ' ']) {
        return Err("a part of it ends with a dot or a space, which Windows drops".into());
    }
    if is_device_name(segment) {
        return Err(format!("{} is a device on Windows", shown(segment)));
    }
    Ok(())
}

/// `NUL`, `con.txt`, `COM1`, `lpt³.log`: on Windows these open a device, with any extension.
fn is_device_name(segment: &str) -> bool {
    let stem = segment.split('.').next().unwrap_or("").trim_end_matches(' ').to_ascii_uppercase();
    if matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$") {
        return true;
    }
    let digit = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    digit.is_some_and(|d| {
        let mut chars = d.chars();
        matches!(chars.next(), Some('0'..='9' | '¹' | '²' | '³')) && chars.next().is_none()
    })
}

/// Characters that show nothing, or change the direction of what follows: a name with them is not
/// the name one reads. The two joiners are left out, because scripts and emoji need them.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}' | '\u{200E}' | '\u{200F}'
        | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}'
        | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_names_pass() {
        for good in [
            "a",
            "a/b/c.txt",
            " leading and inner space.txt",
            "~/x",
            "-rf",
            "Überraschung/日本語/👩\u{200d}👧.png",
            ".hidden",
            "..three",
            "a..b",
            "com.txt",
            "com10",
            "console",
            "what?*\"<>|.txt",
            &"n".repeat(255),
        ] {
            assert_eq!(RelativePath::parse(good).expect(good).as_str(), good);
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        let long_segment = "n".repeat(256);
        let long_path = ["abcdefgh"; 500].join("/");
        let huge = "x".repeat(10_000);
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "a/../b",
            "a/..",
            ".",
            "./a",
            "a/./b",
            "a//b",
            "a/",
            "a\\b",
            "..\\x",
            "C:/x",
            "C:x",
            "file:stream",
            "a\0b",
            "a\nb",
            "a\u{1b}[31m",
            "a\u{7f}",
            "a\u{85}",
            "invoice\u{202e}fdp.exe",
            "a\u{200b}b",
            "a\u{feff}",
            "a\u{2028}b",
            "tag\u{e0041}",
            "a.",
            "a ",
            "a /b",
            "...",
            "CON",
            "con",
            "x/NUL",
            "nul.tar.gz",
            "AUX .txt",
            "COM1",
            "lpt9.log",
            "COM¹",
            "CONIN$",
            &long_segment,
            &long_path,
            &huge,
        ] {
            let error = RelativePath::parse(bad).err();
            assert!(error.is_some(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn folding_finds_names_that_some_system_takes_for_one() {
        let fold = |text: &str| RelativePath::parse(text).expect(text).folded();
        assert_eq!(fold("README"), fold("ReadMe"));
        assert_eq!(fold("caf\u{e9}"), fold("cafe\u{301}"));
        assert_eq!(fold("STRASSE"), fold("straße"));
        assert_eq!(fold("\u{212a}elvin"), fold("kelvin"));
        assert_ne!(fold("a"), fold("b"));
    }

    proptest! {
        #[test]
        fn what_passes_stays_inside(text in ".{0,40}") {
            if let Ok(path) = RelativePath::parse(&text) {
                let joined = std::path::Path::new("/base").join(path.as_str());
                let normal = |c| matches!(c, std::path::Component::Normal(_));
                prop_assert!(joined.starts_with("/base"));
                prop_assert!(joined.components().skip(1).all(normal));
            }
        }

        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = RelativePath::parse(&String::from_utf8_lossy(&bytes));
        }
    }
}
