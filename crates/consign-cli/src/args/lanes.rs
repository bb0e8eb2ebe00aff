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
