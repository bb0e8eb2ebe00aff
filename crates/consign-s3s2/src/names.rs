//! Where a share lies, and what the names in it mean.

use consign_model::RelativePath;

use crate::error::{Error, ErrorKind, Result};

/// The manifest's name within a share.
pub const MANIFEST: &str = "s3s2_manifest.json";
/// The name of the empty object that says: the share is complete.
pub const TRIGGER: &str = "._lambda_trigger";
/// What a shared file's name ends with.
pub const SEALED: &str = ".zip.gpg";

/// The folder of one share in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As the manifest writes it; in keys it is in capitals.
    pub organization: String,
    /// Below the organisation.
    pub folder: String,
    // INVARIANT: `ORGANIZATION/folder`, safe to join to anything.
    prefix: RelativePath,
}

impl Place {
    /// # Errors
    /// [`ErrorKind::Configuration`] for names that lead elsewhere.
    pub fn new(organization: &str, folder: &str) -> std::result::Result<Place, Error> {
        let part = |what: &str, text: &str| {
            RelativePath::parse(text).map_err(|error| {
                let text = format!("the {what} cannot be part of an object's key");
                Error::new(ErrorKind::Configuration, text).because(error)
            })
        };
        // Each alone: `a/..` must not be mended by what comes after it.
        part("organisation", organization)?;
        part("folder", folder)?;
        let prefix = part("organisation", &format!("{}/{folder}", organization.to_uppercase()))?;
        Ok(Place { organization: organization.to_owned(), folder: folder.to_owned(), prefix })
    }

    /// The key of a name within the share.
    pub fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    /// The key of a file.
    pub fn file_key(&self, name: &RelativePath) -> String {
        self.key(&format!("{name}{SEALED}"))
    }
}

/// A name of a manifest. On Windows s3s2 writes `\`, and reads it as `/` everywhere; its oldest version
/// wrote a slash before each name.
pub(crate) fn file_name(text: &str) -> Result<RelativePath> {
    let posix = text.replace('\\', "/");
    RelativePath::parse(posix.strip_prefix('/').unwrap_or(&posix)).map_err(|error| {
        Error::new(ErrorKind::Manifest, "the manifest names a file that is not safe to write")
            .because(error)
            .hinting("ask the sender where this name comes from; nothing was written")
    })
}

/// Whether an archive's entry is the file of this name, in a share that has files of the names for which
/// `is_named` is true.
///
/// s3s2 names the entry by the source's path with every occurrence of its working folder taken out:
/// `/a/b.csv` as a rule, the whole path with `--scratch-directory`, and for `--directory data` even
/// `/clinical_.csv` where `clinical_data.csv` is meant. The entry's name is all that tells that a sealed
/// file lies under its own key. So the longest end of it that is a name of the share must be this name;
/// if none is, whatever that rule can have made of the name passes, and nothing else.
pub(crate) fn is_of(entry: &str, name: &RelativePath, is_named: impl Fn(&str) -> bool) -> bool {
    let entry = entry.replace('\\', "/");
    let entry = entry.trim_start_matches('/');
    let later = entry.match_indices('/').filter_map(|(at, _)| entry.get(at + 1..));
    let longest = std::iter::once(entry).chain(later).find(|end| is_named(end));
    longest.map_or_else(|| without_some(name.as_str(), entry), |end| end == name.as_str())
}

/// Whether `rest` is `name` with every occurrence of some piece taken out.
fn without_some(name: &str, rest: &str) -> bool {
    let Some(missing) = name.len().checked_sub(rest.len()).filter(|missing| *missing > 0) else {
        return false;
    };
    if rest.is_empty() {
        return false;
    }
    // The first piece can begin only where the two do not differ yet.
    let same = name.bytes().zip(rest.bytes()).take_while(|(a, b)| a == b).count();
    let mut lengths = (1..=missing).filter(|length| missing % length == 0);
    lengths.any(|length| {
        (0..=same).any(|start| {
            let piece = name.get(start..start + length);
            piece.is_some_and(|piece| name.replace(piece, "") == rest)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_recognised_by_what_s3s2_makes_of_names() {
        let of = |entry: &str, name: &str| {
            let named = |end: &str| end == name || end == "other/a.csv" || end == "scan1.csv";
            is_of(entry, &RelativePath::parse(name).unwrap(), named)
        };
        for (entry, name) in [
            ("/a/b.csv", "a/b.csv"),
            ("a/b.csv", "a/b.csv"),
            ("\\a\\b.csv", "a/b.csv"),
            ("/srv/up/a/b.csv", "a/b.csv"),
            ("C:\\up\\a\\b.csv", "a/b.csv"),
            ("20260131/b.csv", "20260131/b.csv"),
            ("/clinical_.csv", "clinical_data.csv"),
            ("abcsv", "a.b.csv"),
        ] {
            assert!(of(entry, name), "{entry} for {name}");
        }
        for (entry, name) in [
            ("/a/c.csv", "a/b.csv"),
            ("b.csv", "y/xc.csv"),
            ("xa/b.csv", "a/b.csv"),
            ("../../etc/passwd", "a/b.csv"),
            ("", "a/b.csv"),
            ("bb.csv", "a/b.csv"),
            ("/other/a.csv", "a.csv"),
            ("/scan1.csv", "scan11.csv"),
        ] {
            assert!(!of(entry, name), "{entry} for {name}");
        }
    }

    #[test]
    fn places_lead_nowhere_else() {
        assert_eq!(
            Place::new("Org", "clinical_s3s2_1_0").unwrap().key("x"),
            "ORG/clinical_s3s2_1_0/x"
        );
        for (organization, folder) in [
            ("", "f"),
            ("o", ""),
            ("..", "f"),
            ("o", "../p"),
            ("o", "/f"),
            ("o/..", "f"),
            ("o", "a//b"),
        ] {
            assert!(Place::new(organization, folder).is_err(), "{organization} {folder}");
        }
    }
}
