//! The commands and flags of s3s2, as it names them.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand};

/// Flags of s3s2 may be followed by `true` or `false`.
const SWITCH: std::ops::RangeInclusive<usize> = 0..=1;

#[derive(Debug, Subcommand)]
pub(crate) enum S3s2Command {
    Share(S3s2ShareArgs),
    Decrypt(S3s2DecryptArgs),
    Genkey(S3s2GenkeyArgs),
    Config(S3s2ConfigArgs),
}

/// What every command of s3s2 takes.
#[derive(Debug, Args)]
pub(crate) struct S3s2Common {
    /// JSON configuration file of s3s2; flags win over it [default: ~/.s3s2.json, if it is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The bucket
    #[arg(long, value_name = "NAME")]
    pub(crate) bucket: Option<String>,
    /// The organisation that shares; in capitals it is the first part of every key
    #[arg(long, value_name = "NAME")]
    pub(crate) org: Option<String>,
    /// Profile of the AWS credentials file; as --profile
    #[arg(long, value_name = "NAME")]
    pub(crate) aws_profile: Option<String>,
    /// Files in hand at once [default: 10]
    #[arg(long, value_name = "COUNT")]
    pub(crate) parallelism: Option<u32>,
    /// Taken and passed over, as `--disableinfologs` is
    #[arg(long, hide = true, num_args = SWITCH, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) debug: Option<bool>,
    #[arg(long, hide = true, num_args = SWITCH, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) disableinfologs: Option<bool>,
    #[arg(long, hide = true, num_args = SWITCH, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) is_gcs: Option<bool>,
}

/// Seal the files of a folder and put them where `s3s2 decrypt` looks for them
///
/// Takes the flags and configuration files of `s3s2 share`. Each file is zipped and sealed for the
/// receiver's public key, metadata files first; then come the manifest and, last, the trigger. If it is
/// interrupted, the same command goes on where it stopped.
///
/// What an s3s2 share does not protect, because its format has no place for it: nothing is signed, so
/// whoever can write to the bucket can add files that look like yours; nothing shows that a whole share
/// is missing or was shared twice; the names of the files are in clear. `consign send` protects all of
/// it.
///
/// Different from s3s2: nothing is deleted unless --delete-on-completion is given, and then only what was
/// shared; links are not followed; the prefix may be any; the manifest does not say who ran the command;
/// the cipher is AES-256.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  consign s3s2 share --bucket demo-incoming --region eu-west-1 --org acme \\\n    \
    --prefix clinical --directory up/ --receiver-public-key globex.pubkey --metadata-files index.csv"
)]
pub(crate) struct S3s2ShareArgs {
    #[command(flatten)]
    pub(crate) common: S3s2Common,
    /// The folder to share
    #[arg(long, value_name = "DIR", conflicts_with = "share_from_list")]
    pub(crate) directory: Option<PathBuf>,
    /// Share the files that a CSV file names in its second column instead, in one folder named by the date
    #[arg(long, value_name = "FILE")]
    pub(crate) share_from_list: Option<PathBuf>,
    /// What the share's name begins with; not secret
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    /// The receiver's public key, RSA, from `s3s2 genkey` or `gpg --export`: a file, ssm:NAME,
    /// secretsmanager:NAME, or https://HOST/PATH, each perhaps with #FINGERPRINT, which an address must have
    #[arg(long, value_name = "FILE|SOURCE")]
    pub(crate) receiver_public_key: Option<PathBuf>,
    /// Names of files that go first and into every batch, with commas between them
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) metadata_files: Vec<String>,
    /// Files in one batch, a folder with a manifest of its own [default: 100000]
    #[arg(long, value_name = "COUNT")]
    pub(crate) batch_size: Option<u32>,
    /// Taken and passed over: a batch gets one manifest when it is complete
    #[arg(long, value_name = "COUNT")]
    pub(crate) chunk_size: Option<u32>,
    /// Put the empty object `._lambda_trigger` at the end of each batch [default: true]
    #[arg(long, value_name = "BOOL", num_args = SWITCH, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) lambda_trigger: Option<bool>,
    /// Folder for sealed files on their way, from which an interrupted share goes on [default: in the state
    /// folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch_directory: Option<PathBuf>,
    /// Move shared files there, below their paths, when their batch is complete
    #[arg(long, value_name = "DIR")]
    pub(crate) archive_directory: Option<PathBuf>,
    /// Delete the files that were shared, at the end [default: false]
    #[arg(long, value_name = "BOOL", num_args = SWITCH, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) delete_on_completion: Option<bool>,
    /// KMS key to ask S3 for [default: what the bucket says]
    #[arg(long, value_name = "KEY")]
    pub(crate) awskey: Option<String>,
    /// The receiver's public key, in a parameter of Systems Manager
    #[arg(long, value_name = "NAME", conflicts_with = "receiver_public_key")]
    pub(crate) ssm_public_key: Option<String>,
}

/// Fetch and open what s3s2 has shared
///
/// Takes the flags and configuration files of `s3s2 decrypt`. Files appear in DIR/decrypted/ when every
/// file of the share is complete and is what the manifest and its own archive say, or not at all; a file
/// that is there already is never replaced. No name leads outside the folder, and an archive that grows
/// beyond measure is refused.
///
/// A share is not signed: that its files open does not tell who wrote them. Only who may write to the
/// bucket limits that.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  consign s3s2 decrypt --bucket demo-incoming --region eu-west-1 --org acme \\\n    \
    --file clinical_s3s2_20260131120000_0/s3s2_manifest.json --directory inbox/ --my-private-key globex.privkey\n  \
    consign s3s2 decrypt … --filter-files '*/scan*,index.csv'"
)]
pub(crate) struct S3s2DecryptArgs {
    #[command(flatten)]
    pub(crate) common: S3s2Common,
    /// Key of the manifest, or of one sealed file, without the bucket and, with --org, without the
    /// organisation
    #[arg(long, value_name = "KEY")]
    pub(crate) file: Option<String>,
    /// The folder to collect into
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Your private key, RSA, without passphrase, from `s3s2 genkey` or `gpg --export-secret-keys`: a file,
    /// ssm:NAME or secretsmanager:NAME
    #[arg(long, value_name = "FILE|SOURCE")]
    pub(crate) my_private_key: Option<PathBuf>,
    /// Taken and passed over: opening needs the private key alone
    #[arg(long, value_name = "FILE")]
    pub(crate) my_public_key: Option<PathBuf>,
    /// Only files whose names fit one of these patterns, with commas between them; `*` stands for anything
    #[arg(long, value_name = "PATTERNS")]
    pub(crate) filter_files: Option<String>,
    /// Refuse a share without its trigger, which is written last
    #[arg(long)]
    pub(crate) require_trigger: bool,
    /// How many times larger than what is fetched the files may be
    #[arg(long, value_name = "FACTOR", default_value_t = consign_s3s2::EXPANSION_MAX)]
    pub(crate) expansion_max: u32,
    /// Your private key, in a parameter of Systems Manager
    #[arg(long, value_name = "NAME", conflicts_with = "my_private_key")]
    pub(crate) ssm_private_key: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) ssm_public_key: Option<String>,
}

/// Make a pair of keys that s3s2 can use
///
/// RSA with 4096 bits, without passphrase: KEYDIR/KEYPREFIX.privkey, readable by you alone, and
/// KEYDIR/KEYPREFIX.pubkey to give to your partners. Unlike keys of `s3s2 genkey` these have an owner and
/// a signature of their own, so that `gpg --import` takes them too.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  consign s3s2 genkey --keydir keys/ --keyprefix globex")]
pub(crate) struct S3s2GenkeyArgs {
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    pub(crate) keydir: PathBuf,
    /// Name of the key
    #[arg(long, value_name = "NAME")]
    pub(crate) keyprefix: String,
}

/// Write a configuration file for your partners
///
/// What is not said by a flag is asked on standard input. Both `consign s3s2` and s3s2 itself read the
/// file.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  consign s3s2 config --file acme.json --bucket demo-incoming --region eu-west-1 \\\n    \
    --org acme --directory up/ --prefix clinical --receiver-public-key globex.pubkey"
)]
pub(crate) struct S3s2ConfigArgs {
    /// The file to write; it must not be there yet [default: ~/.s3s2.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The bucket
    #[arg(long, value_name = "NAME")]
    pub(crate) bucket: Option<String>,
    /// The organisation that shares
    #[arg(long, value_name = "NAME")]
    pub(crate) org: Option<String>,
    /// The folder to share
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<String>,
    /// What the share's name begins with; not secret
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    /// The receiver's public key, a file
    #[arg(long, value_name = "FILE")]
    pub(crate) receiver_public_key: Option<String>,
}
