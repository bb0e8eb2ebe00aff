//! Reads what s3s2 has shared through S3, and shares what `s3s2 decrypt` reads.
//!
//! Start with [`share`] and [`collect`]; [`Config`] reads the JSON configuration files of s3s2. A share
//! is a folder below the organisation's name in capitals:
//!
//! ```text
//! ORG/PREFIX_s3s2_20260131120000_0/a/b.csv.zip.gpg       a file: zip, gzip, OpenPGP, armor
//! ORG/PREFIX_s3s2_20260131120000_0/s3s2_manifest.json    the names of all files, in clear
//! ORG/PREFIX_s3s2_20260131120000_0/._lambda_trigger      empty, written last
//! ```
//!
//! What this crate cannot give, because the format has no place for it: nothing in a share is signed, so
//! whoever may write to the bucket can put files there that open like the sender's; nothing says which
//! shares came before; the manifest is in clear. What it does give: no name in a manifest or archive
//! leads outside the folder, nothing half or changed gets a final name, no archive fills the disk, two
//! sealed files cannot be exchanged unseen. `docs/s3s2.md` compares the two programs.
//!
//! Deciding is in `manifest.rs`, `zip.rs`, `wildcard.rs` and `config.rs`, which are pure; doing is in
//! `share.rs` and `collect.rs`. For lanes laid out as shares, `consign` calls [`seal_file`], [`open_file`]
//! and [`Manifest::text`] instead of [`share`], and [`collect`] for what others wrote. Keys and messages are `consign_seal::s3s2`.

#![cfg_attr(
    not(feature = "cloud"),
    allow(dead_code, reason = "the parsers alone, whose users are left out")
)]

#[cfg(feature = "cloud")]
mod collect;
mod config;
mod envelope;
mod error;
mod landing;
#[cfg(feature = "cloud")]
mod ledger;
mod manifest;
mod names;
#[cfg(feature = "cloud")]
mod share;
#[cfg(feature = "cloud")]
mod store;
mod survey;
mod wildcard;
mod zip;

#[cfg(feature = "cloud")]
pub use collect::{Collect, Collected, CollectedFile, collect};
pub use config::Config;
pub use envelope::{Contents, EXPANSION_MAX, open_alone, open_file, seal_file, unpack};
pub use error::{Error, ErrorKind};
pub use manifest::{Manifest, ManifestFile};
pub use names::{MANIFEST, Place, SEALED, TRIGGER};
#[cfg(feature = "cloud")]
pub use share::{Batch, Share, Shared, share};
#[cfg(feature = "cloud")]
pub use store::Store;
pub use survey::{Found, Skipped, Survey};
pub use wildcard::Wildcards;
