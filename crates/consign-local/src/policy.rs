//! The policy language, from `consign-iam`: the one place where this crate names that dependency.

pub use consign_iam::{
    Context, Decision, Effect, Layer, Named, Policies, Policy, PolicyKind, Principal, Principals,
    Refusal, Request, evaluate, is_public,
};
