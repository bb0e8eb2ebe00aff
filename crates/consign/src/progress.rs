//! What a long run tells whoever watches. Nothing here knows of a terminal.

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Looking at what there is to send.
    Surveying,
    /// Sealing and uploading.
    Sending,
    /// Looking for consignments and reading their manifests; or at what was delivered, and its records.
    Looking,
    /// Downloading, opening and checking.
    Receiving,
    /// Writing headers anew and having content copied.
    Rewrapping,
    /// Making sure that everything is on disk, then giving it its final name.
    Committing,
}

/// Watches a run. Called from several threads; must return quickly.
///
/// Bytes are bytes of content. What an earlier, interrupted run has done already is counted at
/// once, so that the sum is the total in the end.
pub trait Progress: Send + Sync {
    /// A new phase begins; `files` and `bytes` are what it will handle, if that is known.
    fn begin(&self, phase: Phase, files: u64, bytes: u64) {
        let _ = (phase, files, bytes);
    }

    /// So many more bytes are done.
    fn advance(&self, bytes: u64) {
        let _ = bytes;
    }

    /// So many more files are done.
    fn files_done(&self, files: u64) {
        let _ = files;
    }
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {}
