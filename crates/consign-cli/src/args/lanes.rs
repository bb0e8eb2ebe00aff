//! What a lane's administrator and its parties do besides sending: keys at rest, and readers.

use std::path::PathBuf;

use clap::Args;

/// Make or take the secret of a lane that stores under keys of its parties (at_rest = "sse-c")
///
/// From the secret follows the key of every object, so sender and receivers both need it, and S3 never
/// sees it. One party makes it and gives the others the file that this command writes: it is sealed to
/// their age recipients and signed, so it may travel by e-mail. They take it with --import. It stays in
/// the key folder, readable by you alone; without it nothing on the lane can be fetched.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign keys lane-secret to-client --as acme\n  \
    consign keys lane-secret to-client --as globex --import to-client.lane-secret.age\n  \
    consign keys lane-secret to-client --as acme --rotate")]
pub(crate) struct LaneSecretArgs {
    /// The lane
    #[arg(value_name = "LANE")]
    pub(crate) lane: String,
    /// Take the secret that another party of the lane made
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rotate", "out"])]
    pub(crate) import: Option<PathBuf>,
    /// Make another secret for what is sent from now on; the old one is kept to read with
    #[arg(long)]
    pub(crate) rotate: bool,
    /// The file for the other parties [default: LANE.lane-secret.age]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Move what lies on a lane under the keys that the exchange file declares now, within S3
///
/// For when `at_rest` was changed, a lane got another KMS key, or its secret was rotated: first
/// `consign apply`, then this. Every object is copied onto itself under the new key, version by version;
/// nothing is downloaded or opened, and size, checksum and encryption of each copy are compared. Run it
/// again after any interruption.
///
/// Who may run it: an administrator of the account that owns the lane. No party can: on an open lane
/// whoever reads may not write, whoever writes may not read, and nobody overwrites. So the lane is closed
/// to its parties meanwhile, by policies that let one administrator get and put; then the policies of the
/// exchange file come back. If it is killed in between, the lane stays closed: `consign apply` opens it.
/// He needs s3:GetObject, s3:GetObjectVersion, s3:PutObject, s3:ListBucket, s3:PutBucketPolicy,
/// kms:PutKeyPolicy, kms:ListResourceTags, kms:GenerateDataKey and kms:Decrypt in his own policies (and
/// s3:DeleteObjectVersion to remove old versions), and for sse-c the lane's secret in his key folder.
///
/// Between `consign apply` and this, receivers cannot fetch what lies under a KMS key that the lane does
/// not declare any more. Moved objects expire as if they had been sent today. The versions they were copied of stay, under
/// their old keys, for seven days, unless --remove-old says otherwise.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  consign rekey --lane to-client --to sse-kms --dry-run --profile globex\n  \
    consign rekey --lane to-client --to sse-kms\n  consign rekey --lane to-client --to sse-c --remove-old --yes"
)]
pub(crate) struct RekeyArgs {
    #[command(flatten)]
    pub(crate) administrators: super::AdministratorArgs,
    /// The lane
    #[arg(long, value_name = "LANE")]
    pub(crate) lane: String,
    /// How its objects are to lie: what `at_rest` says in the exchange file
    #[arg(long, value_enum)]
    pub(crate) to: Mode,
    /// Only say what would be moved; a receiver of the lane may look, too
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Remove each version that was moved, for good, once the checksum of its copy has been compared
    #[arg(long)]
    pub(crate) remove_old: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// The words of `at_rest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// Under the lane's KMS key
    SseKms,
    /// Twice, under the lane's KMS key
    DsseKms,
    /// Under S3's own key
    SseS3,
    /// Under keys that follow from the lane's secret
    SseC,
}
