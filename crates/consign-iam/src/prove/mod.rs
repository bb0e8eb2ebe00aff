//! Proves what policies allow to whom, over all requests and not over samples.
//!
//! A [`Claim`] says of a [`Region`] of requests (these callers, actions, resources, circumstances)
//! that under the policies of a [`World`] they are never allowed, or always. [`prove`] answers with
//! a [`Certificate`], or with a [`Counterexample`]: one concrete request that [`evaluate`] confirms,
//! or says that it could not decide. It never says that a claim holds because it gave up.
//!
//! ```
//! use consign_iam::prove::{Callers, Claim, Domain, Expectation, Region, Set, Values, Verdict, World, prove};
//! use consign_iam::Policy;
//!
//! let bucket = Policy::parse(r#"{"Version": "2012-10-17", "Statement": [
//!     {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*",
//!      "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}"#)?;
//! let over_http = Region {
//!     callers: Callers::Account { account: "111111111111".into(), except: vec![] },
//!     actions: Set::of(["s3:*"]),
//!     resource: Set::of(["arn:aws:s3:::letters/*"]),
//!     resource_account: "111111111111".into(),
//!     context: vec![("aws:SecureTransport".into(), Domain::Present(Values::text("false")))],
//! };
//! // Whatever the account's identity policies allow: `Identity::Anything` is the default.
//! let world = World { resource: std::slice::from_ref(&bucket), ..World::default() };
//! let mut claim = Claim { world, region: over_http, expect: Expectation::Never };
//! // The root user may read and mend the policy of its bucket in spite of it; nobody else may.
//! let Verdict::Fails(found) = prove(&claim) else { panic!() };
//! assert_eq!(found.request.principal().to_string(), "the root user of 111111111111");
//! claim.region.callers = Callers::Account {
//!     account: "111111111111".into(),
//!     except: vec!["arn:aws:iam::111111111111:root".into()],
//! };
//! assert!(matches!(prove(&claim), Verdict::Holds(_)));
//! # Ok::<(), consign_iam::Refusal>(())
//! ```
//!
//! # How
//!
//! Every test of every statement (an action among patterns, a resource among patterns, a condition)
//! is an atom. Callers fall into finitely many classes that `Principal` elements cannot tell apart.
//! For each class the prover builds a tree that splits on one atom at a time, until the atoms known
//! so far settle the decision, or contradict each other: no string is both `a*` and not `a*`. The
//! finished tree is the certificate.
//!
//! # What it covers
//!
//! The composition of layers that [`evaluate`] models, and nothing beyond it. Keys of the request
//! are taken as independent of each other, except for those that follow from the caller; where
//! that yields a request which [`evaluate`] then decides otherwise, the verdict is
//! [`Verdict::Undecided`]. A role is known by its full ARN: sessions whose path is not known are
//! taken for sessions of the named role of that name. Only keys that AWS documents as lists may
//! have several values.

mod alike;
mod atoms;
mod check;
mod classes;
mod domains;
mod language;
mod layers;
mod search;
mod smt2;
mod steps;
mod theory;
mod world;

pub use alike::Prover;
pub use check::{Checker, Reason, check};
pub use smt2::smt2;

use serde::{Deserialize, Serialize};

use crate::decision::{Decision, StatementRef};
use crate::evaluate::evaluate;
use crate::glob::Glob;
use crate::grant::Grant;
use crate::policy::Policy;
use crate::principal::Principal;
use crate::request::Request;

/// The policies around a claim. What is left empty is not there, except for the identity policies:
/// by default they allow everything, which covers every identity policy there could be.
#[derive(Clone, Copy, Debug, Default)]
pub struct World<'a> {
    /// Policies of the callers.
    pub identity: Identity<'a>,
    /// As in [`Policies`](crate::Policies), and so the rest.
    pub resource: &'a [Policy],
    /// The permissions boundary of the callers.
    pub boundary: Option<&'a Policy>,
    /// Session policies.
    pub session: &'a [Policy],
    /// Service control policies, level by level.
    pub scps: &'a [Vec<Policy>],
    /// Resource control policies, level by level.
    pub rcps: &'a [Vec<Policy>],
    /// The policy of a VPC endpoint.
    pub endpoint: &'a [Policy],
    /// Grants of the KMS key.
    pub grants: &'a [Grant],
    /// S3's `RestrictPublicBuckets`.
    pub restrict_public_buckets: bool,
}

/// What the callers' own policies allow.
#[derive(Clone, Copy, Debug, Default)]
pub enum Identity<'a> {
    /// These policies.
    Given(&'a [Policy]),
    /// Everything. Where this is denied, no identity policy helps.
    #[default]
    Anything,
}

/// Whom a claim is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Callers {
    /// This caller; of a role whose session is not named, every session.
    One(Principal),
    /// Every user, role session, federated user and the root of an account.
    Account {
        /// Twelve digits.
        account: String,
        /// ARNs of users, roles (with all sessions), sessions or the root that are not meant.
        except: Vec<String>,
    },
    /// Everybody in every account but these.
    Strangers {
        /// Twelve digits each.
        accounts: Vec<String>,
    },
    /// Unsigned requests.
    Anonymous,
    /// Every service principal.
    Services {
        /// Names of those that are not meant.
        except: Vec<String>,
    },
}

/// The requests a claim is about.
#[derive(Clone, Debug)]
pub struct Region {
    /// Who asks.
    pub callers: Callers,
    /// For what; case does not matter.
    pub actions: Set,
    /// On what.
    pub resource: Set,
    /// The owner of the resource.
    pub resource_account: String,
    /// What is known of condition keys. Of a key that is not named, anything may be true.
    pub context: Vec<(String, Domain)>,
}

/// Strings that match one of the first and none of the second.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Set {
    /// One of these matches.
    pub including: Vec<Glob>,
    /// None of these matches.
    pub except: Vec<Glob>,
}

impl Set {
    /// Strings that match one of these patterns.
    pub fn of<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Set {
        Set { including: patterns.into_iter().map(Glob::new).collect(), except: Vec::new() }
    }

    /// The same without those that match one of these patterns.
    #[must_use]
    pub fn but<'p>(mut self, patterns: impl IntoIterator<Item = &'p str>) -> Set {
        self.except.extend(patterns.into_iter().map(Glob::new));
        self
    }
}

/// What is known of a condition key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Domain {
    /// The request does not carry it.
    Absent,
    /// It may, with any value.
    Any,
    /// It does, with such values.
    Present(Values),
    /// If it does, then with such values.
    Perhaps(Values),
}

/// Values of a condition key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Values {
    /// Any text.
    Any,
    /// Text of a set.
    Of(Set),
    /// One of these texts.
    Fixed(Vec<String>),
    /// Numbers from one bound to another, both included.
    Numbers {
        /// The smallest, in decimal.
        from: Option<String>,
        /// The largest.
        to: Option<String>,
    },
}

impl Values {
    /// Exactly this text.
    pub fn text(value: &str) -> Values {
        Values::Fixed(vec![value.to_owned()])
    }
}

/// What a claim says of its region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// No request of the region is allowed.
    Never,
    /// Every request of the region is allowed.
    Always,
}

/// Something to prove.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    /// Under these policies
    pub world: World<'a>,
    /// of these requests
    pub region: Region,
    /// none is allowed, or all are.
    pub expect: Expectation,
}

/// The answer.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Of all requests of the region.
    Holds(Certificate),
    /// Not of this one.
    Fails(Box<Counterexample>),
    /// Not settled, for this reason. Nothing follows from it.
    Undecided(String),
}

/// A request of the region that is decided otherwise than claimed.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// The request.
    pub request: Request,
    /// What [`evaluate`] decides, with the statements or layers that did.
    pub decision: Decision,
}

/// A proof: for each class of callers a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The version of the form of certificates and of the model they are about.
    pub model: u32,
    /// What was proved of the region.
    pub expect: Expectation,
    /// The tests that trees split on, by number.
    pub atoms: Vec<Atom>,
    /// One tree for each class of callers.
    pub cases: Vec<Case>,
}

/// One test of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Atom {
    /// `action`, `resource`, or the condition key in lower case.
    pub on: String,
    /// The operator, as `StringNotEqualsIfExists`; `Among` for actions and resources.
    pub test: String,
    /// The values as the policy has them.
    pub values: Vec<String>,
    /// Whether the values may hold policy variables.
    pub variables: bool,
}

/// The proof for one class of callers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The class.
    pub caller: String,
    /// Its tree.
    pub tree: Node,
}

/// A tree of cases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Node {
    /// Either the atom holds, or it does not.
    Split {
        /// Which one.
        atom: usize,
        /// What follows if it does.
        holds: Box<Node>,
        /// What follows if it does not.
        fails: Box<Node>,
    },
    /// A statement denies.
    Denied(Place),
    /// Nothing grants.
    Lacking,
    /// Everything needed allows and nothing denies.
    Allowed,
    /// No value is as these atoms on one variable say.
    Impossible {
        /// Atoms and whether they hold.
        literals: Vec<(usize, bool)>,
    },
}

/// Where a statement stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// `resource`, `identity`, `service-control` and so on.
    pub layer: String,
    /// The level of an organisation.
    pub level: usize,
    /// The policy within the layer.
    pub policy: usize,
    /// The statement within the policy.
    pub statement: usize,
}

impl From<&StatementRef> for Place {
    fn from(reference: &StatementRef) -> Place {
        Place {
            layer: world::layer_name(reference.layer).to_owned(),
            level: reference.level,
            policy: reference.policy,
            statement: reference.statement,
        }
    }
}

/// The version of the evaluation model and of certificates about it.
pub const MODEL: u32 = 1;

/// Decides a claim over all requests of its region.
pub fn prove(claim: &Claim<'_>) -> Verdict {
    let world = world::Documents::new(&claim.world);
    let names = classes::Names::gather(claim);
    let mut book = atoms::Book::default();
    let mut cases = Vec::new();
    let mut doubt = None;
    for class in classes::classes(&claim.region.callers, &names) {
        let model = atoms::Model::new(claim, &world, &class, &mut book);
        match search::search(claim, &world, &model) {
            search::Outcome::Proved(tree) => cases.push(Case { caller: class.label, tree }),
            search::Outcome::Refuted(found) => return Verdict::Fails(found),
            search::Outcome::Doubtful(why) => {
                doubt.get_or_insert(format!("{}: {why}", class.label));
            }
        }
    }
    match doubt {
        Some(why) => Verdict::Undecided(why),
        None => Verdict::Holds(Certificate {
            model: MODEL,
            expect: claim.expect,
            atoms: book.atoms(),
            cases,
        }),
    }
}

/// The request, where the evaluator decides it against the claim.
fn refutes(
    claim: &Claim<'_>,
    world: &world::Documents<'_>,
    request: Request,
) -> Option<Box<Counterexample>> {
    let decision = evaluate(&request, &world.policies());
    let as_claimed = decision.is_allowed() == (claim.expect == Expectation::Always);
    (!as_claimed).then(|| Box::new(Counterexample { request, decision }))
}
