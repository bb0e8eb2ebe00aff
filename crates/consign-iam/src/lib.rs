//! Decides what AWS policies allow, exactly, and says why.
//!
//! Start with [`Policy::parse`] and [`evaluate`]: give it a [`Request`] (who, which action, which
//! resource, which condition keys) and the [`Policies`] that have a say in it, and it answers with
//! a [`Decision`] that names the statements that settled it, or the layers that would have had to
//! allow. [`explain`] gives the whole reasoning, condition by condition. [`is_public`] is S3's own
//! notion of a public bucket policy, and [`s3_actions`] tells which permissions an S3 call needs.
//!
//! ```
//! use consign_iam::{Context, Policies, Policy, Principal, Request, evaluate};
//!
//! let bucket = Policy::parse(r#"{
//!     "Version": "2012-10-17",
//!     "Statement": [
//!         {"Sid": "Reader", "Effect": "Allow", "Action": "s3:GetObject",
//!          "Principal": {"AWS": "arn:aws:iam::111111111111:user/ann"},
//!          "Resource": "arn:aws:s3:::letters/*"},
//!         {"Sid": "TlsOnly", "Effect": "Deny", "Action": "s3:*", "Principal": "*", "Resource": "*",
//!          "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
//!     ]}"#)?;
//! let ann = Principal::from_arn("arn:aws:iam::111111111111:user/ann")?;
//! let context = Context::new().with("aws:SecureTransport", "false");
//! let request = Request::new(
//!     ann, "s3:GetObject", "arn:aws:s3:::letters/1", "111111111111", context)?;
//! let decision = evaluate(&request, &Policies { resource: &[bucket], ..Policies::default() });
//! assert!(!decision.is_allowed());
//! assert_eq!(decision.explain(), "denied: statement TlsOnly of the bucket policy denies it");
//! # Ok::<(), consign_iam::Refusal>(())
//! ```
//!
//! [`prove`](mod@prove) decides the same over all requests at once: that nobody but these may read,
//! that nothing passes without TLS, with a certificate or a counterexample.
//!
//! What it is not: it does no I/O, knows no HTTP, and asks AWS nothing. It models the composition
//! that AWS documents (identity, resource, boundary, session, endpoint, SCP and RCP policies, KMS
//! keys and grants, role trust, Block Public Access); access point policies, ACLs and S3 Access
//! Grants are outside it, and requests for access points are refused rather than guessed at.

pub mod case;
mod compose;
mod condition;
mod context;
mod decision;
mod error;
mod evaluate;
mod explain;
mod glob;
mod grant;
mod json;
mod key;
mod nearest;
mod parse;
mod pattern;
mod policy;
mod principal;
pub mod prove;
mod public;
mod request;
pub mod s3_actions;
mod value;

pub use condition::{Condition, Operands, Operator, Quantifier, Relation, Test, Typed};
pub use context::Context;
pub use decision::{Decision, Effect, Layer, StatementRef};
pub use error::Refusal;
pub use evaluate::{Policies, evaluate, evaluate_alone};
pub use explain::{Check, Explanation, LayerTrace, Part, StatementTrace, explain};
pub use glob::Glob;
pub use grant::{Constraint, Grant};
pub use key::Key;
pub use pattern::Pattern;
pub use policy::{
    Actions, Named, Policy, PolicyKind, Principals, Resources, Statement, StatementEffect, Version,
};
pub use principal::Principal;
pub use public::is_public;
pub use request::{Found, Request};
pub use value::{Decimal, Instant, Network};
