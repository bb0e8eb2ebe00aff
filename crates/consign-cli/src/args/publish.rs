//! The publisher of a secure inbox.

use std::net::SocketAddr;

use clap::{Args, Subcommand};

/// Deliver what arrives in a repository into the inboxes that its routes name
///
/// Takes events from the repository's queue and has S3 copy each object: no byte of content passes
/// through this program. Each delivery leaves a signed record in the inbox; nothing there is ever
/// overwritten. Any number of publishers may serve one queue, and each may be killed at any time: what
/// was not finished comes again and is found to be done, or done. What cannot be delivered is put
/// aside with its reason, and what only a person can mend is an alarm at once.
///
/// Runs until it gets SIGTERM or Ctrl-C; then it finishes what it has in hand and exits with 0. Logs
/// are JSON lines on standard error.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  consign publish --as acme --profile acme --metrics 127.0.0.1:9464\n  \
    consign publish --as acme --backfill\n  consign publish --as acme --poll 60s --endpoint https://s3.example\n  \
    consign publish dead --as acme\n  consign publish redrive --as acme --only permanent"
)]
pub(crate) struct PublishArgs {
    #[command(subcommand)]
    pub(crate) command: Option<PublishCommand>,
    #[command(flatten)]
    pub(crate) service: PublishServiceArgs,
}

/// What a publisher that delivers takes.
#[derive(Debug, Args)]
pub(crate) struct PublishServiceArgs {
    #[command(flatten)]
    pub(crate) post: PublishPostArgs,
    /// List the repository once, deliver everything that has no record, report, and exit: 0 if
    /// nothing is left undelivered
    #[arg(long, conflicts_with_all = ["poll", "lambda", "metrics", "expect_every", "fetched_within"])]
    pub(crate) backfill: bool,
    /// For stores that tell no queue: list the repository each time after so long, as `60s`, `5m`, `1h`
    #[arg(long, value_name = "TIME", conflicts_with = "lambda")]
    pub(crate) poll: Option<String>,
    /// Serve AWS Lambda's runtime interface, to which SQS events are sent. Also whenever the program's
    /// own name is `bootstrap`
    #[arg(long, conflicts_with_all = ["metrics", "expect_every", "fetched_within"])]
    pub(crate) lambda: bool,
    /// Serve /metrics (Prometheus) and /healthz over plain HTTP on this address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<SocketAddr>,
    /// On SIGTERM, give back after so long what is not finished
    #[arg(long, value_name = "TIME", default_value = DRAIN)]
    pub(crate) drain: String,
    /// Raise an alarm when nothing was delivered for so long, as `24h`
    #[arg(long, value_name = "TIME")]
    pub(crate) expect_every: Option<String>,
    /// Raise an alarm when a delivery is not acknowledged for so long, as `7d`
    #[arg(long, value_name = "TIME")]
    pub(crate) fetched_within: Option<String>,
}

impl PublishServiceArgs {
    /// An option that says how to deliver, where something else is to be done.
    pub(crate) fn out_of_place(&self) -> Option<&'static str> {
        let given = [
            ("--backfill", self.backfill),
            ("--poll", self.poll.is_some()),
            ("--lambda", self.lambda),
            ("--metrics", self.metrics.is_some()),
            ("--expect-every", self.expect_every.is_some()),
            ("--fetched-within", self.fetched_within.is_some()),
            ("--drain", self.drain != DRAIN),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }
}

const DRAIN: &str = "25s";
const IN_FLIGHT: usize = 64;

/// A number that is not zero, where none would do nothing and say nothing.
fn count(max: u64) -> clap::builder::RangedU64ValueParser<usize> {
    clap::builder::RangedU64ValueParser::new().range(1..=max)
}

/// What every publisher takes.
#[derive(Debug, Default, Args)]
pub(crate) struct PublishPostArgs {
    /// The repository; repeat for several [default: all that the party publishes]
    #[arg(long = "repository", value_name = "NAME")]
    pub(crate) repositories: Vec<String>,
    /// ARN of the KMS key of an inbox, for each copy to name [default: the bucket's own]
    #[arg(long = "key", value_name = "INBOX=ARN")]
    pub(crate) keys_told: Vec<String>,
    /// Run this command by `sh -c` for each alarm, which comes as JSON on its standard input
    #[arg(long, value_name = "COMMAND")]
    pub(crate) alarm_exec: Option<String>,
    /// Write the names of buckets and keys into the log, and not digests of them
    #[arg(long)]
    pub(crate) log_names: bool,
    /// Messages or objects in hand at once
    #[arg(long, value_name = "COUNT", default_value_t = IN_FLIGHT, value_parser = count(4096))]
    pub(crate) in_flight: usize,
    /// For stores whose copies overwrite what is there and lose their tags, as Ceph's do (docs/publish.md):
    /// look at the place before each copy, and tag it afterwards
    #[arg(long)]
    pub(crate) look_first: bool,
    /// Seconds for which a message is held, and held again while it is worked on
    #[arg(long, value_name = "SECONDS", default_value_t = 120, hide = true)]
    pub(crate) lease_seconds: u32,
    /// For tests: copy in parts from this size on
    #[arg(long, value_name = "BYTES", hide = true)]
    pub(crate) single_copy_bytes_max: Option<u64>,
    /// For tests: the smallest part
    #[arg(long, value_name = "BYTES", hide = true)]
    pub(crate) part_bytes_min: Option<u64>,
    /// For tests: how many records a comparison holds at once
    #[arg(long, value_name = "COUNT", hide = true)]
    pub(crate) records_max: Option<usize>,
}

impl PublishPostArgs {
    /// An option that stands before the word for which it is meant, and would not reach it.
    pub(crate) fn out_of_place(&self) -> Option<&'static str> {
        let given = [
            ("--repository", !self.repositories.is_empty()),
            ("--key", !self.keys_told.is_empty()),
            ("--alarm-exec", self.alarm_exec.is_some()),
            ("--log-names", self.log_names),
            ("--in-flight", self.in_flight != IN_FLIGHT),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }
}

/// What can be done besides delivering.
#[derive(Debug, Subcommand)]
pub(crate) enum PublishCommand {
    Dead(PublishDeadArgs),
    Redrive(PublishRedriveArgs),
}

/// List what was put aside, and why; or throw some of it away
///
/// What `redrive` can never deliver stays until the queue forgets it: what is no event of S3, say. Look at
/// what it says (`--json`) before it is discarded: a message is the only trace of what it tells.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign publish dead --as acme --json\n  \
    consign publish dead --as acme --discard 6f1c… --yes")]
pub(crate) struct PublishDeadArgs {
    #[command(flatten)]
    pub(crate) post: PublishPostArgs,
    /// At most so many messages
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = count(1_000_000))]
    pub(crate) max: usize,
    /// Delete the message with this id for good, after asking; repeat for several
    #[arg(long, value_name = "ID")]
    pub(crate) discard: Vec<String>,
    /// Do not ask
    #[arg(long, short, requires = "discard")]
    pub(crate) yes: bool,
}

/// Try again what was put aside
///
/// Each message is handled as if it had come now, and deleted when nothing is left to do about it.
/// The others stay where they are. Exits with 1 if any stay.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign publish redrive --as acme --dry-run\n  \
    consign publish redrive --as acme --only permanent --only given-up")]
pub(crate) struct PublishRedriveArgs {
    #[command(flatten)]
    pub(crate) post: PublishPostArgs,
    /// Show what would be tried
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Only messages with this cause; repeat for several
    #[arg(long, value_name = "CAUSE", value_parser = [
        "unreadable", "foreign", "unroutable", "source-gone", "conflict", "different", "permanent",
        "given-up",
    ])]
    pub(crate) only: Vec<String>,
    /// At most so many messages
    #[arg(long, value_name = "COUNT", default_value_t = 100_000, value_parser = count(1_000_000))]
    pub(crate) max: usize,
}
