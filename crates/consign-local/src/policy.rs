//! The policy language, from `consign-iam`: the one place where this crate names that dependency.

pub use consign_iam::{
    Context, Decision, Effect, Layer, Policies, Policy, PolicyKind, Principal, Refusal, Request,
    evaluate, is_public,
};
