//! `s3s2_manifest.json`: the names of the files of a share.

use std::collections::HashSet;

use consign_model::RelativePath;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::names::{MANIFEST, Place, file_name};

/// A batch has 100,000 files by default; their names take some ten megabytes.
pub(crate) const BYTES_MAX: usize = 64 << 20;
const FILES_MAX: usize = 1_000_000;

/// A manifest whose names are safe and different on every file system.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Where the share says it is.
    pub place: Place,
    /// When, as it was written.
    pub timestamp: String,
    // INVARIANT: no two fold to the same name, none is a folder of another.
    files: Vec<ManifestFile>,
}

/// A file of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFile {
    /// Where it goes.
    pub name: RelativePath,
    /// Of the content. Only the oldest versions of s3s2 say it.
    pub bytes: Option<u64>,
    /// Of the content. Only the oldest versions of s3s2 say it, and only with `hash` switched on.
    pub sha256: Option<[u8; 32]>,
}

/// As Go's encoder writes it, in its order.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    name: String,
    #[serde(default)]
    timestamp: String,
    organization: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    sudo_user: String,
    folder: String,
    files: Option<Vec<RawFile>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawFile {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
}

impl Manifest {
    /// Reads a manifest as a stranger wrote it: it is in clear and nobody has signed it.
    ///
    /// # Errors
    /// [`ErrorKind::Manifest`], with the name that is at fault.
    pub fn parse(text: &[u8]) -> std::result::Result<Manifest, Error> {
        let faulty = |text: &str| Error::new(ErrorKind::Manifest, text);
        if text.len() > BYTES_MAX {
            return Err(faulty("the manifest is too large"));
        }
        // A list would do for a struct, too.
        if !text.trim_ascii_start().starts_with(b"{") {
            return Err(faulty("this is not a manifest of s3s2"));
        }
        let raw: Raw = serde_json::from_slice(text)
            .map_err(|error| faulty("this is not a manifest of s3s2").because(error))?;
        let place = Place::new(&raw.organization, &raw.folder).map_err(|error| {
            faulty("the manifest says that it lies where nothing can lie").because(error)
        })?;
        let raw_files = raw.files.unwrap_or_default();
        if raw_files.is_empty() {
            return Err(faulty("the manifest names no files yet")
                .hinting("wait until the sender has finished, then try again"));
        }
        if raw_files.len() > FILES_MAX {
            return Err(faulty("the manifest names too many files"));
        }
        let files = raw_files.into_iter().map(RawFile::checked).collect::<Result<Vec<_>>>()?;
        apart(&files)?;
        Ok(Manifest { place, timestamp: raw.timestamp, files })
    }

    /// In the order of the manifest.
    pub fn files(&self) -> &[ManifestFile] {
        &self.files
    }

    /// The text of a manifest as s3s2 writes it, but for who ran the program, which nobody reads and
    /// nobody needs to know. `timestamp` is RFC 3339.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] when it cannot be written.
    pub fn text(
        place: &Place,
        timestamp: &str,
        files: &[&RelativePath],
    ) -> std::result::Result<Vec<u8>, Error> {
        let file = |name: &&RelativePath| RawFile {
            name: name.to_string(),
            size: None,
            modified: None,
            hash: None,
        };
        let raw = Raw {
            name: MANIFEST.to_owned(),
            timestamp: timestamp.to_owned(),
            organization: place.organization.clone(),
            username: String::new(),
            user: String::new(),
            sudo_user: String::new(),
            folder: place.folder.clone(),
            files: Some(files.iter().map(file).collect()),
        };
        let bug =
            |error| Error::new(ErrorKind::Bug, "the manifest cannot be written").because(error);
        serde_json::to_vec_pretty(&raw).map_err(bug)
    }
}

impl RawFile {
    fn checked(self) -> Result<ManifestFile> {
        let name = file_name(&self.name)?;
        // Without `hash: true` the field says `fake-hash` or nothing.
        let hash = self.hash.filter(|hash| !hash.is_empty() && hash != "fake-hash");
        let sha256 = hash.map(|hash| {
            let mut digest = [0; 32];
            hex::decode_to_slice(hash, &mut digest).map(|()| digest).map_err(|error| {
                let text = format!("the manifest's hash of `{name}` is malformed");
                Error::new(ErrorKind::Manifest, text).because(error)
            })
        });
        Ok(ManifestFile { bytes: self.size, sha256: sha256.transpose()?, name })
    }
}

/// No two names that some file system takes for one, and no file that is another's folder.
fn apart(files: &[ManifestFile]) -> Result<()> {
    let mut folded = HashSet::with_capacity(files.len());
    for file in files {
        if !folded.insert(file.name.folded()) {
            let text = format!("the manifest names `{}` twice, or in two ways", file.name);
            return Err(Error::new(ErrorKind::Manifest, text));
        }
    }
    for file in files {
        let own = file.name.folded();
        let mut folders = own.match_indices('/').filter_map(|(at, _)| own.get(..at));
        if folders.any(|folder| folded.contains(folder)) {
            let text = format!("the manifest names a file that is a folder of `{}`", file.name);
            return Err(Error::new(ErrorKind::Manifest, text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let place = Place::new("acme", "clinical_s3s2_20260131120000_0").unwrap();
        let name = RelativePath::parse("a/ü.csv").unwrap();
        let text = Manifest::text(&place, "2026-01-31T12:00:00Z", &[&name]).unwrap();
        let manifest = Manifest::parse(&text).unwrap();
        assert_eq!(manifest.place, place);
        assert_eq!(manifest.files(), [ManifestFile { name, bytes: None, sha256: None }]);
    }

    #[test]
    fn every_generation_of_s3s2_is_read() {
        let now = br#"{
 "Name": "s3s2_manifest.json",
 "Timestamp": "2021-11-15T19:54:34.123456789-06:00",
 "Organization": "acme",
 "Username": "A. Person",
 "User": "person",
 "SudoUser": "",
 "Folder": "clinical__s3s2_20211115195434_0",
 "Files": [ { "Name": "a.csv" }, { "Name": "sub\\b.csv" } ]
}"#;
        let manifest = Manifest::parse(now).unwrap();
        let names: Vec<_> = manifest.files().iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["a.csv", "sub/b.csv"]);
        let hash = "ab".repeat(32);
        let then = format!(
            r#"{{"Name": "s3s2_manifest.json", "Organization": "acme", "Folder": "f", "Files": [
            {{"Name": "/a.csv", "Size": 3, "Modified": "2019-05-01T00:00:00Z", "Hash": "{hash}"}},
            {{"Name": "/b.csv", "Size": 4, "Modified": "2019-05-01T00:00:00Z", "Hash": "fake-hash"}}]}}"#
        );
        let manifest = Manifest::parse(then.as_bytes()).unwrap();
        let sums: Vec<_> = manifest.files().iter().map(|file| (file.bytes, file.sha256)).collect();
        assert_eq!(sums, [(Some(3), Some([0xab; 32])), (Some(4), None)]);
    }

    #[test]
    fn hostile_manifests_are_refused() {
        let refused = |files: &str| {
            let text = format!(r#"{{"Organization": "o", "Folder": "f", "Files": {files}}}"#);
            let error = Manifest::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Manifest, "{files}: {error}");
        };
        for name in [
            "../../etc/passwd",
            "..",
            "a/../../b",
            "//etc/passwd",
            "C:\\\\x",
            "\\\\\\\\host\\\\share",
            "a//b",
            "a/",
            "",
            ".",
            "a\\u0000b",
            "NUL",
            "com1.txt",
            "a\\u202eb",
            "trailing.",
            "trailing ",
        ] {
            refused(&format!(r#"[{{"Name": "{name}"}}]"#));
        }
        refused(&format!(r#"[{{"Name": "{}"}}]"#, "x/".repeat(3000)));
        refused(r#"[{"Name": "a"}, {"Name": "a"}]"#);
        refused(r#"[{"Name": "a"}, {"Name": "/a"}]"#);
        refused(r#"[{"Name": "a"}, {"Name": "A"}]"#);
        refused(r#"[{"Name": "a/b"}, {"Name": "a\\b"}]"#);
        refused(r#"[{"Name": "a"}, {"Name": "A/b"}]"#);
        refused(r#"[{"Name": "a", "Hash": "abcd"}]"#);
        refused(r#"[{"Name": "a", "Name": "b"}]"#);
        refused(r#"[{"Name": "a", "Path": "b"}]"#);
        refused(r#"[{"Name": "a", "Size": -1}]"#);
        refused("[]");
        refused("null");
        refused(r#"{"Name": "a"}"#);
        for text in [
            "",
            "null",
            "[]",
            "{}",
            "\u{feff}{}",
            r#"{"Organization": "..", "Folder": "f", "Files": [{"Name": "a"}]}"#,
            r#"{"Organization": "o", "Folder": "../p", "Files": [{"Name": "a"}]}"#,
            r#"{"Organization": "o", "Organization": "p", "Folder": "f", "Files": [{"Name": "a"}]}"#,
            r#"{"Organization": "o", "Folder": "f", "Files": [{"Name": "a"}], "Extra": 1}"#,
            r#"{"Organization": "o", "Folder": "f", "Files": [{"Name": "a"}]} trailing"#,
        ] {
            assert_eq!(
                Manifest::parse(text.as_bytes()).unwrap_err().kind(),
                ErrorKind::Manifest,
                "{text}"
            );
        }
        let deep = "[".repeat(100_000);
        assert_eq!(Manifest::parse(deep.as_bytes()).unwrap_err().kind(), ErrorKind::Manifest);
    }
}
