//! Exactly what can be typed. The doc comments are the help and must suffice without a web page.
//! What it means is decided in `settings.rs`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const EXIT_CODES: &str = "\
Exit codes: 0 done · 1 failed · 2 wrong usage or a faulty file · 3 something is not what its sender \
signed, or a proof or an audit failed · 4 access denied or no credentials · 5 not found · 6 the service or the \
network failed, try again · 130 interrupted (run the same command again to go on)

Settings: a flag wins over its environment variable, which wins over the file \
~/.config/consign/config.toml (keys: exchange, as, keys, state, profile, endpoint, region).

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
    /// Address of an S3-compatible store or a local cloud [env: CONSIGN_ENDPOINT, AWS_ENDPOINT_URL]
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
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(DemoArgs),
    Init(InitArgs),
    /// Make and list the private keys of a party
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Run S3, KMS, IAM and STS on this machine
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
    Completions(CompletionsArgs),
    /// For the makers of packages
    #[command(subcommand, hide = true)]
    Internals(InternalsCommand),
}

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
    consign init --template hub --party lab=111111111111 --party clinic-a=222222222222 --party clinic-b=333333333333")]
pub(crate) struct InitArgs {
    /// The shape of the exchange
    #[arg(long, value_enum, default_value_t = Template::TwoWay)]
    pub(crate) template: Template,
    /// Name of the exchange [default: the two parties' names, or the hub's]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// A party and its AWS account; two for two-way; for a hub first the hub, then each partner
    /// [default: acme and globex; lab, clinic-a and clinic-b]
    #[arg(long = "party", value_name = "NAME=ACCOUNT")]
    pub(crate) parties: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Template {
    /// Two parties, one lane each way, a bucket and a KMS key per lane
    TwoWay,
    /// A hub and its partners, a lane each way for every partner, each with a bucket and a key
    Hub,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    New(KeysNewArgs),
    /// List the keys in the key folder (public parts only)
    #[command(after_help = "Example:\n  consign keys list --json")]
    List,
}

/// Make a party's key to open what it gets, and its key to sign what it sends
///
/// The private keys stay in the key folder, readable by you alone, in the formats of age and OpenSSH:
/// `age -d -i KEYS/PARTY.identity` and `ssh-keygen -Y sign -f KEYS/PARTY.signer` take them. The public
/// parts are added to the exchange file.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign keys new acme\n  consign keys new acme --print")]
pub(crate) struct KeysNewArgs {
    /// The party [default: that of --as]
    #[arg(value_name = "PARTY")]
    pub(crate) whose: Option<String>,
    /// Only print the public parts, leave the exchange file alone
    #[arg(long)]
    pub(crate) print: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LocalCommand {
    Serve(ServeArgs),
}

/// Start the local cloud: S3, KMS, IAM and STS behind one TLS address, with policies enforced
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

/// Which administrator's credentials serve which account.
#[derive(Debug, Default, Args)]
pub(crate) struct AdministratorArgs {
    /// Administrator credentials of an account, as a profile of the AWS credentials file; repeat for
    /// each account. Without it: a profile called admin-ACCOUNT if there is one, else the credentials
    /// at hand, for the account they belong to. What belongs to other accounts is left to them
    #[arg(long = "account-profile", value_name = "ACCOUNT=PROFILE")]
    pub(crate) account_profiles: Vec<String>,
    /// ARN of the KMS key of a lane that another party owns, as that party tells you
    #[arg(long = "key", value_name = "LANE=ARN")]
    pub(crate) keys_told: Vec<String>,
}

/// Show what `apply` would change; changes nothing
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  consign plan\n  consign plan --as acme --profile acme-admin\n  \
    consign plan --out plan.json && consign apply --plan plan.json --yes\n  \
    consign plan --exit-code --quiet   # in cron: 0 as declared, 2 something to change, 1 failed"
)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) administrators: AdministratorArgs,
    /// Exit with 0 when all is as declared, 2 when there is something to change, 1 when that cannot
    /// be told
    #[arg(long)]
    pub(crate) exit_code: bool,
    /// Save the plan, to be applied by `consign apply --plan FILE`
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Create or mend buckets, keys and policies as the exchange file says
///
/// Prints the plan, proves it, asks, applies it and proves what is then deployed. Every step can be
/// repeated: after a failure run the same command again. Grants come last.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign apply\n  consign apply --yes --account-profile \
    111111111111=admin-111111111111 --account-profile 222222222222=admin-222222222222")]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) administrators: AdministratorArgs,
    #[command(flatten)]
    pub(crate) consent: ConsentArgs,
    /// A plan that `consign plan --out` saved; refused if the world moved since
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,
}

/// What may be done without asking.
#[derive(Debug, Default, Args)]
pub(crate) struct ConsentArgs {
    /// Do not ask, unless somebody would gain access to a lane that is open already
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Do not ask then either
    #[arg(long, requires = "yes")]
    pub(crate) allow_widening: bool,
}

/// Take over a bucket and key that exist and that consign did not make
///
/// Shows what would change, asks, tags them as this exchange's and applies what the file declares.
/// What carries the tags of another exchange or lane is refused. Objects that are there expire as
/// the lane declares.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  consign adopt --lane to-client")]
pub(crate) struct AdoptArgs {
    #[command(flatten)]
    pub(crate) administrators: AdministratorArgs,
    #[command(flatten)]
    pub(crate) consent: ConsentArgs,
    /// The lane whose bucket and key to take over; repeat for several
    #[arg(long = "lane", value_name = "LANE", required = true)]
    pub(crate) lanes: Vec<String>,
}

/// Print what the other parties have to do in their accounts, as documents and AWS CLI commands
///
/// For parties that do not run consign. Apply your half first: then the scripts contain the ARNs of
/// your keys. Needs --as.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  consign handover --as acme\n  consign handover --as acme --out handover/"
)]
pub(crate) struct HandoverArgs {
    #[command(flatten)]
    pub(crate) administrators: AdministratorArgs,
    /// Write the documents and a script for each account into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// Print the least policy that plan, apply, destroy and prove --live need
///
/// One policy for each account, for a deployment user or role. Whoever holds it can change who may
/// read: guard it like the exchange file.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign permissions --as acme\n  consign permissions --json")]
pub(crate) struct PermissionsArgs {}

/// Take the exchange down: access first, then empty buckets, then keys (after 30 days)
///
/// Refuses while a bucket still holds objects.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  consign destroy --yes")]
pub(crate) struct DestroyArgs {
    #[command(flatten)]
    pub(crate) administrators: AdministratorArgs,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

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

/// Send files and folders: sealed, signed, complete or invisible
///
/// If it is interrupted, the same command goes on where it stopped.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign send scans/ --lane to-client\n  \
    consign send report.pdf data.csv --lane to-client --json")]
pub(crate) struct SendArgs {
    /// What to send
    #[arg(required_unless_present = "abandon", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// The lane to send on
    #[arg(long, value_name = "LANE")]
    pub(crate) lane: String,
    /// Only say what would be sent; sends nothing
    #[arg(long, conflicts_with = "abandon")]
    pub(crate) dry_run: bool,
    /// Give up an interrupted attempt: abort its uploads and forget it
    #[arg(long, conflicts_with = "paths")]
    pub(crate) abandon: bool,
}

/// Fetch, open and verify every consignment that has not been received yet
///
/// Each one appears as DIR/<consignment id>/ when all of it is authentic, or not at all. If it is
/// interrupted, the same command goes on where it stopped.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  consign receive --lane to-client --into inbox/")]
pub(crate) struct ReceiveArgs {
    /// The lane to receive from
    #[arg(long, value_name = "LANE")]
    pub(crate) lane: String,
    /// The folder to receive into
    #[arg(long, value_name = "DIR")]
    pub(crate) into: PathBuf,
    /// Accept that consignments in between are missing (expired, or held back by somebody)
    #[arg(long)]
    pub(crate) accept_gap: bool,
}

/// List the consignments on a lane
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  consign list --lane to-client")]
pub(crate) struct LaneArgs {
    /// The lane [default: every lane that you can read]
    #[arg(long, value_name = "LANE")]
    pub(crate) lane: Option<String>,
}

/// Show (`show`) what is in a consignment, or check (`verify`) every byte of it
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  consign show 01KAHB3Q4Z8R6C2W9V5T7Y1D0E\n  \
    consign verify 01KAHB3Q4Z8R6C2W9V5T7Y1D0E --lane to-client")]
pub(crate) struct ConsignmentArgs {
    /// The consignment's id, as `consign list` prints it
    pub(crate) id: String,
    /// The lane [default: the lane on which the id is found]
    #[arg(long, value_name = "LANE")]
    pub(crate) lane: Option<String>,
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
