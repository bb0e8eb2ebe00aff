//! The trust policy of a party's role: who may act as it.

use crate::document::{Document, Statement};
use consign_model::Trust;

/// The policy that lets `trust`'s principal, and nobody else, assume the role.
pub fn policy(trust: &Trust) -> Document {
    let allow = Statement::allow("Assume", &["sts:AssumeRole"]).principals(&[&trust.principal_arn]);
    Document::new(vec![match &trust.external_id {
        Some(id) => allow.when("StringEquals", "sts:ExternalId", &[id]),
        None => allow,
    }])
}
