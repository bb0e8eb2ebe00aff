//! S3, KMS, IAM, STS and SQS on one machine, with policies enforced.
//!
//! Start with [`start`]: give it a folder and a loopback address, and it answers the wire protocols
//! of the five services on one port, under a certificate of its own authority. What it stores
//! survives `kill -9`; whoever asks is identified by signature and judged by the same policy rules
//! as in AWS before anything happens. It exists because nothing else that can be embedded enforces
//! bucket and key policies.
//!
//! A request passes four stations, each a module: [`http`] (connections, limits), [`gate`] (who is
//! asking, and is the request the one that was signed), [`authorize`] (may they), and then the
//! service: [`s3`], [`kms`], [`iam`], [`sts`] or [`sqs`]. This crate shares no wire code with consign's own
//! client, on purpose: a misreading of the protocol on one side shows on the other.
//!
//! It is deliberately not a cluster, not a drop-in for every AWS API, and not an authority on what
//! AWS would decide: it is exact where consign needs it and refuses the rest with `NotImplemented`.

pub mod authorize;
pub mod call;
pub mod error;
pub mod gate;
pub mod http;
pub mod iam;
pub mod kms;
pub mod ledger;
pub mod moment;
pub mod policy;
pub mod profiles;
pub mod s3;
pub mod serve;
pub mod sqs;
pub mod state;
pub mod sts;
pub mod tls;
pub mod vault;

pub use profiles::Credentials;
pub use serve::{
    Account, Bootstrap, Error, ErrorKind, PrincipalKind, Running, ServeOptions, start,
};
pub use state::{Clock, Served, SystemClock};
