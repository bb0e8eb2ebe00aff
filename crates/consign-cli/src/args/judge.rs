//! Judging policies: proof, explanation, audit, export.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use consign_provision::audit::LockDemand;

use super::AdministratorArgs;

/// Show who can do what on every lane, and whether that is what the exchange file declares
///
/// Evaluates bucket, key and identity policies together, for every party, administrator, stranger and
/// for nobody at all. With --documents it judges policy documents that somebody else wrote: against
/// the exchange file if one is named or lies in the folder, else against what every exchange needs,
/// with each finding's document, statement, reason and remedy.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  consign prove\n  consign prove --live --profile acme-admin\n  \
    consign prove --documents policies/\n  \
    consign prove --documents policies/ --bucket to-client=arn:aws:kms:eu-west-1:111111111111:key/ID \\\n    \
    --whose key-first.json=arn:aws:kms:eu-west-1:111111111111:key/ID\n  \
    consign prove --documents policies/ --exchange exchange.toml"
)]
pub(crate) struct ProveArgs {
    #[command(flatten)]
    pub(crate) administrators: AdministratorArgs,
    /// Read what is deployed instead of what the file would deploy
    #[arg(long, conflicts_with = "documents")]
    pub(crate) live: bool,
    /// Judge the policy documents (*.json) of a folder instead
    #[arg(long, value_name = "DIR")]
    pub(crate) documents: Option<PathBuf>,
    /// What the documents do not say of a bucket: the ARN of its key, or its account, or `none` for no
    /// key. Repeat for more; a world.toml in the folder says the same in a table [bucket]
    #[arg(long = "bucket", value_name = "NAME=KEY-ARN", requires = "documents")]
    pub(crate) buckets: Vec<String>,
    /// Whose a document is: the ARN of the user or role of an identity policy, or of the key of a key
    /// policy. Repeat for more; a world.toml in the folder says the same in a table [whose]
    #[arg(long, value_name = "FILE=ARN", requires = "documents")]
    pub(crate) whose: Vec<String>,
    /// Every cell and claim, not only a summary
    #[arg(long)]
    pub(crate) all: bool,
    /// Write the proof of every claim to this file as JSON, to be checked by others
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
    /// Write every claim into a folder in the language of solvers (SMT-LIB): z3 or cvc5 answer `unsat`
    /// for each that holds. FORMAT is smt2
    #[arg(long, num_args = 2, value_names = ["FORMAT", "DIR"])]
    pub(crate) emit: Vec<String>,
}

/// Explain why a request is allowed or denied: every statement, every condition
///
/// ACTION is what is done, as S3 calls it (`PutObject`) or as policies do (`s3:PutObject`); the KMS
/// calls that S3 makes for it are explained too. The request is one over TLS, signed in its header,
/// unless you say otherwise. Somebody who is no party is taken to be allowed everything by his own
/// account, so that the answer is that of bucket and key.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  consign explain --as globex s3:PutObject s3://BUCKET/report.pdf\n  \
    consign explain --as acme GetObject s3://BUCKET/report.pdf --http\n  \
    consign explain --principal arn:aws:iam::333333333333:role/x GetObject s3://BUCKET/report.pdf\n  \
    consign explain --as acme PutObject s3://BUCKET/x --with s3:x-amz-server-side-encryption=AES256"
)]
pub(crate) struct ExplainArgs {
    /// What is done: an S3 operation or an IAM action
    #[arg(value_name = "ACTION")]
    pub(crate) action: String,
    /// To what: s3://BUCKET/KEY, s3://BUCKET, or an ARN
    #[arg(value_name = "RESOURCE")]
    pub(crate) resource: String,
    /// Who asks, if not a party: the ARN of a user, a role or a session, an account, or '*' for an
    /// unsigned request
    #[arg(long, value_name = "ARN", conflicts_with = "party")]
    pub(crate) principal: Option<String>,
    /// A condition key of the request; an empty value takes the key away. Repeat for more
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) with: Vec<String>,
    /// The request comes without TLS
    #[arg(long)]
    pub(crate) http: bool,
    /// Ask what is deployed instead of what the file would deploy
    #[arg(long)]
    pub(crate) live: bool,
    #[command(flatten)]
    pub(crate) administrators: AdministratorArgs,
}

/// Evaluate policy cases: unit tests for anybody's AWS policies
///
/// Reads JSON lines, one case each: `principal`, `action`, `resource`, and whichever of `context`,
/// `identity_policies`, `resource_policies`, `permission_boundary`, `session_policies`, `scps`, `rcps`,
/// `endpoint_policies`, `kms_grants` matter; or `policy`, to ask one document alone. Writes one JSON
/// line each: `decision` (allow, explicit-deny, implicit-deny, refused), `blocked_by`, `statements`,
/// `because`, and for a case with `expect` whether it `held`. Ends with 1 if one did not. Needs no
/// exchange file, no credentials and no network.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign evaluate cases.jsonl\n  \
    generate-cases | consign evaluate | jq -c 'select(.held == false)'")]
pub(crate) struct EvaluateArgs {
    /// Files of cases [default: standard input]
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    /// A CloudFormation template per account
    ///
    /// Of every account, or with --as of that party's. Buckets, their policies and keys are retained
    /// when the stack is deleted.
    #[command(after_help = "Examples:\n  consign export cloudformation --as acme > acme.json\n  \
        consign export cloudformation --out infrastructure/")]
    Cloudformation(ExportArgs),
    /// A Terraform module per account, in JSON syntax
    ///
    /// Of every account, or with --as of that party's. Buckets and keys cannot be destroyed by it. The bucket policies deny listing to administrators,
    /// and with it the call by which Terraform refreshes a bucket: once they stand, plan with
    /// -refresh=false.
    #[command(after_help = "Examples:\n  consign export terraform --as acme > main.tf.json\n  \
        consign export terraform --out infrastructure/ --provider 5")]
    Terraform(TerraformArgs),
    /// The policies as plain documents, and an index of what each is for
    ///
    /// Of every account, or with --as of that party's. A key that does not exist yet appears as to-be-created-for-LANE.
    #[command(after_help = "Example:\n  consign export policies --out policies/")]
    Policies(ExportArgs),
}

/// What to write down, and where.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) administrators: AdministratorArgs,
    /// Ask the accounts at hand for the ARNs of keys that exist
    #[arg(long)]
    pub(crate) live: bool,
    /// The folder to write into [default: print, if it is one file]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Overwrite files that were not exported from this exchange
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TerraformArgs {
    #[command(flatten)]
    pub(crate) export: ExportArgs,
    /// Major version of the AWS provider: 5 knows neither account-regional bucket names nor S3's own
    /// block of customer-provided keys
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u8).range(5..=6))]
    pub(crate) provider: u8,
}

/// Check what is deployed, whoever made it, against the controls of a secure exchange
///
/// Reads buckets, keys, roles and accounts; changes nothing. A control about what a policy means is
/// decided by evaluating the policy. What may not be read is reported as not looked at, never as a
/// pass. Exits with 3 if a control fails.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  consign audit --account-profile 111111111111=acme-auditor\n  \
    consign audit --bucket some-bucket --profile acme-auditor\n  consign audit --sarif audit.sarif"
)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) administrators: AdministratorArgs,
    /// A bucket outside the exchange, of the account of the credentials at hand, instead of the
    /// exchange's own
    #[arg(long, value_name = "NAME")]
    pub(crate) bucket: Option<String>,
    /// Ask for Object Lock with at least this default retention: governance:DAYS or compliance:DAYS
    #[arg(long, value_name = "MODE:DAYS", value_parser = lock_demand)]
    pub(crate) object_lock: Option<LockDemand>,
    /// Also write the findings as SARIF 2.1.0
    #[arg(long, value_name = "FILE")]
    pub(crate) sarif: Option<PathBuf>,
    /// Every finding, not only those that did not pass
    #[arg(long)]
    pub(crate) all: bool,
}

/// Find out why a request is denied, from the outside in
///
/// Takes the command that failed after `--`, or an action and what it is about. Looks at the endpoint,
/// the clock, the credentials, the bucket, the key and the policies, stops at the first that explains
/// it, and says what to do.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign doctor s3:GetObject s3://bucket/key\n  \
    consign doctor -- aws s3 cp report.pdf s3://bucket/report.pdf\n  \
    consign doctor --as globex send --lane from-client")]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) administrators: AdministratorArgs,
    /// The command that failed, or ACTION and s3://BUCKET/KEY
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub(crate) command: Vec<String>,
}

fn lock_demand(text: &str) -> Result<LockDemand, String> {
    let wanted = "a mode and days, such as governance:30 or compliance:365";
    let (mode, days) = text.split_once(':').ok_or(wanted)?;
    let compliance = match mode.to_ascii_lowercase().as_str() {
        "compliance" => true,
        "governance" => false,
        _ => return Err(wanted.to_owned()),
    };
    match days.parse() {
        Ok(days) if days > 0 => Ok(LockDemand { compliance, days }),
        _ => Err(wanted.to_owned()),
    }
}
