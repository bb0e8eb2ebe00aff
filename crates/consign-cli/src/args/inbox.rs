//! What consumers, scanners and publishers do with an inbox.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What somebody may do with an inbox.
#[derive(Debug, Subcommand)]
pub(crate) enum InboxCommand {
    List(InboxListArgs),
    Fetch(InboxFetchArgs),
    Ack(InboxAckArgs),
    Watch(InboxWatchArgs),
    Acknowledgements(InboxListArgs),
    Scan(InboxScanArgs),
}

/// List what lies in an inbox and what has become of it
///
/// delivered: there as its record says, which the publisher signed. acknowledged: the same, and a
/// consumer has said that it was fetched. unrecorded: no record yet. refused: a record that the
/// publisher's pinned signer did not sign, that is of something else, or that the object does not
/// match. quarantined: nobody has scanned it. infected: the scanner has found it harmful. gone: there
/// is a record and no object.
///
/// `inbox acknowledgements` is the publisher's side of it: what consumers have said.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign inbox list --as globex\n  \
    consign inbox list --inbox reports-in --as globex --json\n  \
    consign inbox acknowledgements --as acme")]
pub(crate) struct InboxListArgs {
    /// The inbox [default: the only one of the exchange]
    #[arg(long, value_name = "NAME")]
    pub(crate) inbox: Option<String>,
}

/// Fetch what was delivered and not acknowledged yet
///
/// Each object lands under its key, is checked against its record's size and checksum, and has its
/// final name only when it is whole. Nothing is overwritten. What is refused is said at the end, and
/// makes the command fail; it does not keep the rest back.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign inbox fetch --as globex --into arrived/ --ack\n  \
    consign inbox fetch ID --as globex --into again/")]
pub(crate) struct InboxFetchArgs {
    /// Only these deliveries, even if they were acknowledged
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// The inbox [default: the only one of the exchange]
    #[arg(long, value_name = "NAME")]
    pub(crate) inbox: Option<String>,
    /// The folder to fetch into
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) into: PathBuf,
    /// Acknowledge each one once it has its final name
    #[arg(long)]
    pub(crate) ack: bool,
}

/// Tell the publisher what was fetched
///
/// Puts a signed acknowledgement beside each delivery's record. It cannot be taken back, and needs no
/// key to be read. Of several consumers, the first one's counts.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  consign inbox ack ID --as globex\n  consign inbox ack --all --as globex"
)]
pub(crate) struct InboxAckArgs {
    /// Which deliveries
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) ids: Vec<String>,
    /// Everything that is delivered now
    #[arg(long)]
    pub(crate) all: bool,
    /// The inbox [default: the only one of the exchange]
    #[arg(long, value_name = "NAME")]
    pub(crate) inbox: Option<String>,
}

/// Print deliveries as they come, until Ctrl-C
///
/// First what is delivered and not acknowledged, then each new delivery, once: a line each, or with
/// --json a JSON document on a line each.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  consign inbox watch --as globex --interval 1m --json")]
pub(crate) struct InboxWatchArgs {
    /// The inbox [default: the only one of the exchange]
    #[arg(long, value_name = "NAME")]
    pub(crate) inbox: Option<String>,
    /// Look after so long again
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) interval: String,
}

/// Scan what nobody has scanned, and release what is clean
///
/// For the party of `quarantine`. Runs a command (with `sh -c`) for each object that has no verdict:
/// with the object on standard input, or, where the command holds {}, with the path of a private file
/// in its place. Exit code 0 says clean, 1 says harmful; anything else, or a command that says clean
/// without having read everything, gives no verdict and is an alarm. Until there is a verdict nobody but
/// the scanner reads the object, so this may be killed at any time.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  consign inbox scan --as scanner --scan-exec 'clamdscan --no-summary -'\n  \
    consign inbox scan --as scanner --scan-exec 'clamscan --no-summary {}' --watch"
)]
pub(crate) struct InboxScanArgs {
    /// The inbox [default: the only one of the exchange]
    #[arg(long, value_name = "NAME")]
    pub(crate) inbox: Option<String>,
    /// What judges an object
    #[arg(long, value_name = "COMMAND")]
    pub(crate) scan_exec: String,
    /// Everything that waits now, then exit [default]
    #[arg(long, conflicts_with = "watch")]
    pub(crate) once: bool,
    /// Go on until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
    /// With --watch: look after so long again
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) interval: String,
}
