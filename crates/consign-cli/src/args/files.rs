//! Sending and receiving.

use std::path::PathBuf;

use clap::Args;

/// Send files and folders: sealed, signed, complete or invisible
///
/// If it is interrupted, the same command goes on where it stopped.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign send scans/ --lane to-client\n  \
    consign send report.pdf data.csv --lane to-client --json")]
pub(crate) struct SendArgs {
    /// What to send
    #[arg(required_unless_present = "abandon", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// The lane to send on
    #[arg(long, value_name = "LANE")]
    pub(crate) lane: String,
    /// Names of files that are put before all others, with commas between them; on lanes with
    /// `layout = "s3s2"` alone
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) metadata_files: Vec<String>,
    /// Only say what would be sent; sends nothing
    #[arg(long, conflicts_with = "abandon")]
    pub(crate) dry_run: bool,
    /// Give up an interrupted attempt: abort its uploads and forget it
    #[arg(long, conflicts_with = "paths")]
    pub(crate) abandon: bool,
}

/// Fetch, open and verify every consignment that has not been received yet
///
/// Each one appears as DIR/<consignment id>/ when all of it is authentic, or not at all. If it is
/// interrupted, the same command goes on where it stopped.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  consign receive --lane to-client --into inbox/")]
pub(crate) struct ReceiveArgs {
    /// The lane to receive from
    #[arg(long, value_name = "LANE")]
    pub(crate) lane: String,
    /// The folder to receive into
    #[arg(long, value_name = "DIR")]
    pub(crate) into: PathBuf,
    /// Accept that consignments in between are missing (expired, or held back by somebody)
    #[arg(long)]
    pub(crate) accept_gap: bool,
    /// On a lane with `layout = "s3s2"`: take what s3s2 itself wrote, which nobody has signed, though the
    /// exchange file gives the sender signers
    #[arg(long)]
    pub(crate) accept_unsigned: bool,
}

/// List the consignments on a lane
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  consign list --lane to-client")]
pub(crate) struct LaneArgs {
    /// The lane [default: every lane that you can read]
    #[arg(long, value_name = "LANE")]
    pub(crate) lane: Option<String>,
}

/// Show (`show`) what is in a consignment, or check (`verify`) every byte of it
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign show 01KAHB3Q4Z8R6C2W9V5T7Y1D0E\n  \
    consign verify 01KAHB3Q4Z8R6C2W9V5T7Y1D0E --lane to-client")]
pub(crate) struct ConsignmentArgs {
    /// The consignment's id, as `consign list` prints it
    pub(crate) id: String,
    /// The lane [default: the lane on which the id is found]
    #[arg(long, value_name = "LANE")]
    pub(crate) lane: Option<String>,
}
