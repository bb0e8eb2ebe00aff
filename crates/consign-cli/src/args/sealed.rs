//! Single files, without any exchange.

use std::path::PathBuf;

use clap::Args;

/// Seal files for keys or a passphrase, without any exchange
///
/// Writes FILE.age beside each FILE, in the format of age: `age -d` opens it, and so does `consign
/// open`. Recipients that are post-quantum (age1pq1…) cannot stand beside others. A passphrase is
/// asked for on the terminal, or read from a file; it is never an argument.
///
/// With --pgp it is FILE.gpg instead, an OpenPGP message that `gpg -d` and `sq` open. With -o
/// s3://BUCKET/KEY it is an object that Amazon's S3 Encryption Clients open, under a KMS key, an AES key
/// or an RSA key.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign seal report.pdf --to age1ql3z7hjy54pw3hyww5…\n  \
    consign seal report.pdf --to globex --recipients-file ~/.ssh/id_ed25519.pub\n  \
    tar c scans | consign seal - --passphrase -o scans.tar.age\n  \
    consign seal report.pdf --pgp globex.asc --sign acme-secret.asc\n  \
    consign seal report.pdf -o s3://bucket/report.pdf --kms arn:aws:kms:… --context purpose=scans")]
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
    /// Seal as OpenPGP, for the certificates in this file, armored or not. Repeat for more
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to", "recipients_file", "passphrase"])]
    pub(crate) pgp: Vec<PathBuf>,
    /// Sign, with the OpenPGP secret key in this file
    #[arg(long, value_name = "FILE", requires = "pgp")]
    pub(crate) sign: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) object_keys: ObjectKeyArgs,
    /// The format of an object: v3 commits to its key; v2 is for clients that do not read v3 yet
    #[arg(long, value_name = "FORMAT", default_value = "v3", value_parser = ["v2", "v3"])]
    pub(crate) format: String,
    /// Put what opens the object into a second one, KEY.instruction, so that its key can be changed
    #[arg(long)]
    pub(crate) instruction_file: bool,
    /// Write text that survives mail and chat, a third larger
    #[arg(long)]
    pub(crate) armor: bool,
    /// Where to write; `-` is standard output [default: FILE.age or FILE.gpg, or standard output for `-`]
    #[arg(long, short, value_name = "FILE|s3://BUCKET/KEY")]
    pub(crate) output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// Open a sealed file or object with whatever key is at hand, or say who can
///
/// Finds out by itself what the thing is: age, OpenPGP, a file of s3s2 (.zip.gpg), or an object of
/// Amazon's S3 Encryption Client. The keys tried are those of --identity, else those in the key folder,
/// and for SSH recipients ~/.ssh/id_ed25519 and ~/.ssh/id_rsa; an object says itself whether --kms,
/// --aes-key or --rsa-key opens it. Nothing is written that is not authenticated: a file gets its name
/// when all of it is, a pipe gets what is so far.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign open report.pdf.age -o report.pdf\n  \
    consign open s3://bucket/report.pdf.age --identity ~/.ssh/id_ed25519 > report.pdf\n  \
    consign open report.pdf.gpg --identity secret.asc --signer acme.asc -o report.pdf\n  \
    consign open s3://bucket/report.pdf --kms arn:aws:kms:… --context purpose=scans -o report.pdf\n  \
    consign open report.pdf.age --inspect --json")]
pub(crate) struct OpenArgs {
    /// What to open; `-` is standard input
    #[arg(value_name = "FILE|-|s3://BUCKET/KEY")]
    pub(crate) what: PathBuf,
    /// Where to write; `-` is standard output even on a terminal [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// A file of identities: of age, an OpenSSH private key, OpenPGP secret keys, or any of them
    /// protected by a passphrase; or where one is kept: ssm:NAME, secretsmanager:NAME. Repeat for more
    #[arg(long, short, value_name = "FILE|SOURCE")]
    pub(crate) identity: Vec<PathBuf>,
    /// The file whose first line is the passphrase [env: CONSIGN_PASSPHRASE_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Open only what the owner of one of the OpenPGP certificates in this file has signed. Repeat for
    /// more
    #[arg(long, value_name = "FILE")]
    pub(crate) signer: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) object_keys: ObjectKeyArgs,
    /// What the object's instruction file is called after its key [default: .instruction]
    #[arg(long, value_name = "SUFFIX")]
    pub(crate) instruction_suffix: Option<String>,
    /// Write a file of s3s2 into this folder, under the name that it carries
    #[arg(long, value_name = "FOLDER", conflicts_with = "output")]
    pub(crate) into: Option<PathBuf>,
    /// Open what is not safe any more too: old ciphers, and content that nothing authenticates
    #[arg(long)]
    pub(crate) legacy: bool,
    /// Only say what it is, who it is sealed for, and which key at hand opens it
    #[arg(long, conflicts_with = "output")]
    pub(crate) inspect: bool,
    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// The key that wraps the data key of an object.
#[derive(Debug, Default, Args)]
pub(crate) struct ObjectKeyArgs {
    /// A KMS key: its ARN, id or alias
    #[arg(long, value_name = "KEY", help_heading = "Keys of objects", group = "object_key")]
    pub(crate) kms: Option<String>,
    /// A file with an AES key: 32 bytes, or their hexadecimal or base64 text
    #[arg(long, value_name = "FILE", help_heading = "Keys of objects", group = "object_key")]
    pub(crate) aes_key: Option<PathBuf>,
    /// A file with an RSA key in PEM, PKCS #8; sealing takes the public half too
    #[arg(long, value_name = "FILE", help_heading = "Keys of objects", group = "object_key")]
    pub(crate) rsa_key: Option<PathBuf>,
    /// A pair of the encryption context, which KMS authenticates: sealed with the object, and demanded
    /// when it is opened. Repeat for more
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Keys of objects")]
    pub(crate) context: Vec<String>,
}
