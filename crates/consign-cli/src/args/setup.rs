//! Beginning: the demo, a first exchange file, keys, the local cloud.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Show the whole exchange working on this machine
///
/// Starts a local cloud in a fresh folder, declares two parties and two lanes, creates buckets, keys
/// and policies, proves who can do what, sends files one way and a reply the other way, and then tries
/// everything that must fail. Needs no account and no network.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign demo\n  consign demo ~/scans --keep")]
pub(crate) struct DemoArgs {
    /// What to send [default: a tree that the demo makes]
    pub(crate) path: Option<PathBuf>,
    /// Leave the cloud running afterwards and print how to go on by hand
    #[arg(long)]
    pub(crate) keep: bool,
    /// Where to put everything [default: a new temporary folder, removed at the end unless --keep]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// Write a new exchange file to edit
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign init --template two-way\n  \
    consign init --template two-way --name acme-globex --party acme=111111111111 --party globex=222222222222\n  \
    consign init --template hub --party lab=111111111111 --party clinic-a=222222222222 --party clinic-b=333333333333\n  \
    consign init --template inbox --party acme-lab=111111111111 --party acme=111111111111 --party globex=222222222222")]
pub(crate) struct InitArgs {
    /// The shape of the exchange
    #[arg(long, value_enum, default_value_t = Template::TwoWay)]
    pub(crate) template: Template,
    /// Name of the exchange [default: the two parties' names, the hub's, or publisher and consumer]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// A party and its AWS account; two for two-way; for a hub first the hub, then each partner; for
    /// an inbox the generator, the publisher and the consumer
    /// [default: acme and globex; lab, clinic-a and clinic-b; acme-lab, acme and globex]
    #[arg(long = "party", value_name = "NAME=ACCOUNT")]
    pub(crate) parties: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Template {
    /// Two parties, one lane each way, a bucket and a KMS key per lane
    TwoWay,
    /// A hub and its partners, a lane each way for every partner, each with a bucket and a key
    Hub,
    /// A repository that one party's generator fills and cannot read, and an inbox in the account of
    /// whoever it is for; a publisher copies from the one to the other
    Inbox,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    New(KeysNewArgs),
    /// List the keys in the key folder (public parts only)
    #[command(after_help = "Example:\n  consign keys list --json")]
    List,
    LaneSecret(super::LaneSecretArgs),
}

/// Make a party's key to open what it gets, and its key to sign what it sends
///
/// The private keys stay in the key folder, readable by you alone, in the formats of age and OpenSSH:
/// `age -d -i KEYS/PARTY.identity` and `ssh-keygen -Y sign -f KEYS/PARTY.signer` take them. The public
/// parts are added to the exchange file. The key to open is post-quantum where everybody concerned can
/// use it: the other receivers of the party's lanes, and the `age` on this machine if there is one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign keys new acme\n  consign keys new acme --print")]
pub(crate) struct KeysNewArgs {
    /// The party [default: that of --as]
    #[arg(value_name = "PARTY")]
    pub(crate) whose: Option<String>,
    /// Only print the public parts, leave the exchange file alone
    #[arg(long)]
    pub(crate) print: bool,
    /// A post-quantum key (age1pq1…) whatever others can use; `age` 1.3 and later opens with it
    #[arg(long, conflicts_with = "classic")]
    pub(crate) post_quantum: bool,
    /// An X25519 key (age1…), which every `age` opens with
    #[arg(long)]
    pub(crate) classic: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LocalCommand {
    Serve(ServeArgs),
}

/// Start the local cloud: S3, KMS, IAM, STS and SQS behind one TLS address, with policies enforced
///
/// If there is an exchange file, the accounts and principals of its parties are made at the first
/// start, with a profile for each in ROOT/credentials. Stop it with Ctrl-C; everything that was
/// acknowledged is there at the next start.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign local serve --root ./cloud\n  \
    consign local serve --root ./cloud --listen 127.0.0.1:9443 --http 127.0.0.1:9080")]
pub(crate) struct ServeArgs {
    /// The folder that holds everything
    #[arg(long, value_name = "DIR")]
    pub(crate) root: PathBuf,
    /// Address and port for TLS; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Also listen without TLS (policies that demand TLS will deny there)
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<SocketAddr>,
    /// An account to make, besides those of the exchange file
    #[arg(long = "account", value_name = "ID")]
    pub(crate) accounts: Vec<String>,
}

/// Print completions for your shell
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  consign completions bash > ~/.local/share/bash-completion/completions/consign"
)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Subcommand)]
pub(crate) enum InternalsCommand {
    /// Write the man pages into a folder
    Man(ManArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The folder
    pub(crate) dir: PathBuf,
}
