//! Making and unmaking what an exchange declares.

use std::path::PathBuf;

use clap::Args;

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
