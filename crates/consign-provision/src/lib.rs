//! From an exchange file to buckets, keys and policies: observe, plan, prove, apply, destroy.
//!
//! Start with [`Desired::of`], which turns an exchange into everything it needs in the cloud.
//! Then:
//!
//! ```text
//! Exchange ── Desired::of ──> Desired ─┬─ prove(planned documents) ──> Proof
//!                                      │
//! Hands ───── observe ──────> Observed ┴─ plan ──> Plan ── apply ──> Applied
//!                                 └────── prove(observed documents) ──> Proof
//! ```
//!
//! Describing, planning and proving are pure functions; [`observe()`] reads and [`apply()`] makes
//! the calls of a plan, in its order, without deciding anything. Destroying is a plan like any
//! other ([`plan_destroy`]). [`export`] writes the same down for CloudFormation and Terraform,
//! [`handover()`] prints the half of a party that does not run consign, and [`permissions()`] the
//! least policy that all of this needs. Nothing here remembers: what exists is found again by name and
//! ownership tags, and each party works on its own accounts with its own credentials ([`Hands`]).
//!
//! What it is not: it neither moves nor opens data, and it holds no policy language of its own;
//! `consign-iam` decides what documents mean.

pub mod apply;
pub mod ask;
pub mod audit;
pub mod claims;
pub mod desired;
pub mod destroy;
pub mod doctor;
pub mod document;
pub mod documents;
mod effects;
mod error;
pub mod exchange_line;
pub mod export;
pub mod handover;
mod hands;
mod keys_told;
pub mod maintenance;
pub mod matrix;
pub mod observe;
pub mod observed;
pub mod permissions;
pub mod plan;
mod planner;
pub mod policies;
mod principals;
pub mod prove;
mod queues;
mod shell;
pub mod stage;
mod trust_order;

pub use apply::{Applied, Watch, apply};
pub use desired::{Desired, KeyArn, Keys};
pub use destroy::plan_destroy;
pub use document::{Document, same_meaning};
pub use effects::Effect;
pub use error::{Error, ErrorKind};
pub use handover::{Handover, handover};
pub use hands::Hands;
pub use keys_told::check_told;
pub use maintenance::Maintenance;
pub use matrix::{Operation, Subject};
pub use observe::observe;
pub use observed::Observed;
pub use permissions::permissions;
pub use plan::{Plan, Step};
pub use planner::{plan, plan_adopting};
pub use prove::{Documents, Proof, prove};
pub use stage::{DesiredQueue, Stage};
