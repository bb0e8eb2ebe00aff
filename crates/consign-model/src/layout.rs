//! How the consignments of a lane lie in its bucket: in consign's own way, or as shares of s3s2.
//!
//! ```text
//! PREFIX ID/000001.age …  manifest.json.sig.age  manifest.json.age           layout = "consign"
//! ORG/ID/a/b.csv.zip.gpg …  manifest.json.sig.gpg  manifest.json.gpg
//!        s3s2_manifest.json  ._lambda_trigger                                layout = "s3s2"
//! ```
//!
//! The folder of a consignment is its id in both, so that what policies say of consignments holds in
//! both. s3s2 looks for a share at `ORG/FOLDER`, where `ORG` is in capitals: that is the first part of
//! such a lane's prefix.

use crate::Lane;
use serde::Serialize;

/// How the consignments of a lane lie in its bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Numbered objects, small files packed, the manifest sealed.
    #[default]
    Consign,
    /// As s3s2 writes and reads it, with consign's own manifest and signature beside its.
    S3s2,
}

impl Layout {
    /// As in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Layout::Consign => "consign",
            Layout::S3s2 => "s3s2",
        }
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == Layout::Consign
    }
}

impl Lane {
    /// On a lane of shares: the organisation that they are of, in capitals, and what of the lane's prefix
    /// comes after it, which s3s2 takes for the beginning of the folder's name.
    #[must_use]
    pub fn organization(&self) -> Option<(&str, &str)> {
        match self.layout {
            Layout::S3s2 => self.prefix.split_once('/'),
            Layout::Consign => None,
        }
    }
}
