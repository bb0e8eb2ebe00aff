//! Exactly what can be typed. The doc comments are the help and must suffice without a web page.
//! What it means is decided in `settings.rs`.

mod files;
mod inbox;
mod judge;
mod lanes;
mod provision;
mod publish;
mod rewrap;
mod s3s2;
mod sealed;
mod setup;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use files::*;
pub(crate) use inbox::*;
pub(crate) use judge::*;
pub(crate) use lanes::*;
pub(crate) use provision::*;
pub(crate) use publish::*;
pub(crate) use rewrap::*;
pub(crate) use s3s2::*;
pub(crate) use sealed::*;
pub(crate) use setup::*;

const EXIT_CODES: &str = "\
Exit codes: 0 done · 1 failed · 2 wrong usage or a faulty file · 3 something is not what its sender \
signed, or a proof or an audit failed · 4 access denied or no credentials · 5 not found · 6 the service or the \
network failed, try again · 130 interrupted (run the same command again to go on)

Settings: a flag wins over its environment variable, which wins over the file \
~/.config/consign/config.toml (keys: exchange, as, keys, identity, signer, state, profile, endpoint, region).

Start here:  consign demo";

/// Secure file exchange between organisations over Amazon S3 or any S3-compatible store.
///
/// Two parties describe their relation in one file, exchange.toml. consign makes the buckets, keys
/// and policies for it, proves who can do what, and then sends sealed and signed files that only the
/// named receiver can open.
#[derive(Debug, Parser)]
#[command(name = "consign", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Default, Args)]
pub(crate) struct Global {
    /// The exchange file [default: exchange.toml] [env: CONSIGN_EXCHANGE]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    pub(crate) exchange: Option<PathBuf>,
    /// Which party you are; needed only where the lane leaves it open [env: CONSIGN_AS]
    #[arg(long = "as", global = true, value_name = "PARTY", help_heading = "Settings")]
    pub(crate) party: Option<String>,
    /// Folder of your private keys [default: ~/.config/consign/keys] [env: CONSIGN_KEYS]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Settings")]
    pub(crate) keys: Option<PathBuf>,
    /// Folder for what consign must remember [default: ~/.local/state/consign] [env: CONSIGN_STATE]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Settings")]
    pub(crate) state: Option<PathBuf>,
    /// Profile of the AWS credentials file [env: CONSIGN_PROFILE, AWS_PROFILE]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Settings")]
    pub(crate) profile: Option<String>,
    /// Address of an S3-compatible store or a local cloud [env: CONSIGN_ENDPOINT, AWS_ENDPOINT_URL,
    /// AWS_ENDPOINT_URL_S3]
    #[arg(long, global = true, value_name = "URL", help_heading = "Settings")]
    pub(crate) endpoint: Option<String>,
    /// AWS Region [default: that of the exchange file]
    #[arg(long, global = true, value_name = "REGION", help_heading = "Settings")]
    pub(crate) region: Option<String>,
    /// Print the result as JSON on standard output
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// No progress and no conversation, only results and errors
    #[arg(long, short, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,
    /// With an error, also tell what exactly did not fit: for your own eyes, not for whoever made the
    /// input
    #[arg(long, short, global = true, help_heading = "Output")]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(DemoArgs),
    Init(InitArgs),
    /// Make and list the private keys of a party
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Run S3, KMS, IAM, STS and SQS on this machine
    #[command(subcommand)]
    Local(LocalCommand),
    Plan(PlanArgs),
    Apply(ApplyArgs),
    Adopt(AdoptArgs),
    Handover(HandoverArgs),
    Permissions(PermissionsArgs),
    Destroy(DestroyArgs),
    Prove(ProveArgs),
    Explain(ExplainArgs),
    Evaluate(EvaluateArgs),
    /// Write the same buckets, keys and policies for CloudFormation, Terraform or by hand
    #[command(subcommand)]
    Export(ExportCommand),
    Audit(AuditArgs),
    Doctor(DoctorArgs),
    Send(SendArgs),
    Receive(ReceiveArgs),
    List(LaneArgs),
    Show(ConsignmentArgs),
    Verify(ConsignmentArgs),
    /// The commands of s3s2: share with its users, read what they shared
    #[command(subcommand)]
    S3s2(S3s2Command),
    Seal(SealArgs),
    Open(OpenArgs),
    Rekey(RekeyArgs),
    Publish(PublishArgs),
    Rewrap(RewrapArgs),
    /// See, fetch, acknowledge and scan what a publisher has delivered
    #[command(subcommand)]
    Inbox(InboxCommand),
    Completions(CompletionsArgs),
    /// For the makers of packages
    #[command(subcommand, hide = true)]
    Internals(InternalsCommand),
}
