//! Other readers for what lies there already.

use clap::Args;

/// Change who reads what lies on a lane already, without sending it again
///
/// First change `to` of the lane in the exchange file (or a party's `recipients`) and `consign apply`;
/// then this gives the consignments that lie on the lane the readers that the file names. --add and
/// --remove do a part of it. Headers are written anew and S3 copies the content itself: of each object
/// its beginning is downloaded, 5 MiB at most, and nothing is opened. The result is a revision of each
/// consignment, signed by its sender; the version before it is removed. Run it again after any
/// interruption.
///
/// Who may run it: the sender of the lane, for his signature is on the manifest that names the readers;
/// on a lane with `seal_to_sender = true`, for he must be able to open what he sent; with the
/// credentials of an administrator of the account that owns the lane, which is closed to its parties
/// meanwhile, as `consign rekey` does it. If it is killed in between, the lane stays closed:
/// `consign apply` opens it. The administrator needs what `rekey` needs, and s3:DeleteObject,
/// s3:DeleteObjectVersion and s3:ListBucketVersions.
///
/// A reader who was removed finds nothing in the bucket any more that opens for him. What he fetched
/// before, or kept the key of, he has; a copy that somebody made of the bucket, he opens.
///
/// With s3://BUCKET/KEY it is one object of Amazon's S3 Encryption Client, whose key is in an
/// instruction file: that file is written anew for --to-key, and the object stays as it is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign rewrap --lane to-client --dry-run\n  \
    consign rewrap --lane to-client\n  \
    consign rewrap 01KAHB3Q4Z8R6C2W9V5T7Y1D0E --lane to-client --add initech\n  \
    consign rewrap --lane to-client --remove globex --yes\n  \
    consign rewrap s3://bucket/scan.bin --from-key aes:old.key --to-key rsa:partner.pem")]
pub(crate) struct RewrapArgs {
    #[command(flatten)]
    pub(crate) administrators: super::AdministratorArgs,
    /// Consignments, as `consign list` prints their ids [default: all of the lane]; or one object
    #[arg(value_name = "CONSIGNMENT|s3://BUCKET/KEY")]
    pub(crate) what: Vec<String>,
    /// The lane
    #[arg(long, value_name = "LANE")]
    pub(crate) lane: Option<String>,
    /// Add this reader, whom the exchange file names; repeat for several
    #[arg(long, value_name = "PARTY")]
    pub(crate) add: Vec<String>,
    /// Remove this reader, whom the exchange file does not name any more; repeat for several
    #[arg(long, value_name = "PARTY")]
    pub(crate) remove: Vec<String>,
    /// Only say what would be done, by your own records of what you sent
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not close the lane, and use the credentials at hand: for a store without policies, where they
    /// may get, put and delete. Nobody may send or receive on the lane meanwhile
    #[arg(long)]
    pub(crate) without_closing: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) object: RewrapObjectArgs,
}

/// One object instead of a lane.
#[derive(Debug, Args)]
#[command(next_help_heading = "One object of the S3 Encryption Client")]
pub(crate) struct RewrapObjectArgs {
    /// What opens it now: kms:KEY, aes:FILE (32 bytes) or rsa:FILE (a PEM private key)
    #[arg(long, value_name = "KEY", requires = "to_key", conflicts_with_all = ["lane", "add", "remove"])]
    pub(crate) from_key: Option<String>,
    /// What is to open it: kms:KEY, aes:FILE or rsa:FILE (a PEM public key)
    #[arg(long, value_name = "KEY", requires = "from_key")]
    pub(crate) to_key: Option<String>,
    /// Beside the key, what the new file says: with a KMS key its encryption context; repeat for several
    /// [default: what the old file says]
    #[arg(long, value_name = "NAME=VALUE", requires = "to_key")]
    pub(crate) context: Vec<String>,
    /// Write a second instruction file with this ending instead of replacing the first: `.NAME`
    #[arg(long, value_name = "ENDING", requires = "to_key")]
    pub(crate) to_suffix: Option<String>,
}
