//! Single files, without any exchange.

use std::path::PathBuf;

use clap::Args;

/// Seal files for keys or a passphrase, without any exchange
///
/// Writes FILE.age beside each FILE, in the format of age: `age -d` opens it, and so does `consign
/// open`. Recipients that are post-quantum (age1pq1…) cannot stand beside others. A passphrase is
/// asked for on the terminal, or read from a file; it is never an argument.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign seal report.pdf --to age1ql3z7hjy54pw3hyww5…\n  \
    consign seal report.pdf --to globex --recipients-file ~/.ssh/id_ed25519.pub\n  \
    tar c scans | consign seal - --passphrase -o scans.tar.age")]
pub(crate) struct SealArgs {
    /// What to seal; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Who can open it: age1…, age1pq1…, age1PLUGIN1…, an SSH public key, or a party of the exchange
    /// file. Repeat for more
    #[arg(long, value_name = "RECIPIENT|PARTY")]
    pub(crate) to: Vec<String>,
    /// A file of recipients, one a line, such as a `.pub` file, or where one is kept: ssm:NAME,
    /// secretsmanager:NAME. Repeat for more
    #[arg(long, value_name = "FILE|SOURCE")]
    pub(crate) recipients_file: Vec<PathBuf>,
    /// Seal with a passphrase that is asked for
    #[arg(long)]
    pub(crate) passphrase: bool,
    /// Seal with the passphrase that is the first line of this file [env: CONSIGN_PASSPHRASE_FILE,
    /// with --passphrase]
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Write text that survives mail and chat, a third larger
    #[arg(long)]
    pub(crate) armor: bool,
    /// Where to write; `-` is standard output [default: FILE.age, or standard output for `-`]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// Open a sealed file or object with whatever key is at hand, or say who can
///
/// Finds out by itself what the thing is. The keys tried are those of --identity, else those in the
/// key folder, and for SSH recipients ~/.ssh/id_ed25519 and ~/.ssh/id_rsa. Nothing is written that
/// is not authenticated: a file gets its name when all of it is, a pipe gets what is so far.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign open report.pdf.age -o report.pdf\n  \
    consign open s3://bucket/report.pdf.age --identity ~/.ssh/id_ed25519 > report.pdf\n  \
    consign open report.pdf.age --inspect --json")]
pub(crate) struct OpenArgs {
    /// What to open; `-` is standard input
    #[arg(value_name = "FILE|-|s3://BUCKET/KEY")]
    pub(crate) what: String,
    /// Where to write; `-` is standard output even on a terminal [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// A file of identities: of age, an OpenSSH private key, or either protected by a passphrase; or
    /// where one is kept: ssm:NAME, secretsmanager:NAME. Repeat for more
    #[arg(long, short, value_name = "FILE|SOURCE")]
    pub(crate) identity: Vec<PathBuf>,
    /// The file whose first line is the passphrase [env: CONSIGN_PASSPHRASE_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Only say what it is, who it is sealed for, and which key at hand opens it
    #[arg(long, conflicts_with = "output")]
    pub(crate) inspect: bool,
    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
}
