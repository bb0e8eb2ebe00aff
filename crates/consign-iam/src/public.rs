//! Is a bucket policy public? S3 asks this for Block Public Access: `BlockPublicPolicy` refuses to
//! store a public policy, and `RestrictPublicBuckets` keeps everybody but the owner's account and
//! AWS services out of a bucket that has one, even accounts that another statement names.
//!
//! S3 takes a policy for public until every Allow is shown to be limited to fixed values: named
//! principals, or one of a few condition keys compared with values free of wildcards and variables
//! (S3 User Guide, "The meaning of public"). Deny statements do not count.

use std::net::IpAddr;

use crate::condition::{Condition, Operands, Quantifier, Test, Typed};
use crate::policy::{Named, Policy, Principals, Statement, StatementEffect};
use crate::principal::is_account_id;
use crate::value::Network;

/// Whether S3 would take a bucket policy for public.
pub fn is_public(policy: &Policy) -> bool {
    policy.is_public()
}

pub(crate) fn grants_publicly(statements: &[Statement]) -> bool {
    statements.iter().any(|statement| {
        statement.effect == StatementEffect::Allow
            && admits_anybody(&statement.principals)
            && !statement.conditions.iter().any(limits_to_fixed_values)
    })
}

fn admits_anybody(principals: &Principals) -> bool {
    match principals {
        Principals::Attached => false,
        Principals::AllBut(_) => true,
        Principals::Named(named) => named.iter().any(|named| match named {
            Named::Everyone | Named::AnyService | Named::Federated(_) => true,
            Named::Nobody(text) => text.contains(['*', '?']),
            Named::Account(_) | Named::Arn(_) | Named::Service(_) => false,
        }),
    }
}

/// Keys whose fixed values tell who may come, or from where.
const LIMITING_KEYS: [&str; 14] = [
    "aws:principalarn",
    "aws:principalaccount",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalservicename",
    "aws:sourcearn",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:sourceowner",
    "aws:sourceaccount",
    "aws:userid",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "s3:dataaccesspointaccount",
    "s3:dataaccesspointarn",
];

fn limits_to_fixed_values(condition: &Condition) -> bool {
    let operator = condition.operator;
    if operator.negated
        || operator.if_exists
        || operator.quantifier == Some(Quantifier::ForAllValues)
    {
        return false;
    }
    let key = condition.key.folded();
    match (&condition.operands, operator.test) {
        (Operands::Networks(networks), Test::IpAddress) => {
            key == "aws:sourceip" && networks.iter().all(is_narrow)
        }
        (Operands::Patterns(patterns), _) if key == "s3:dataaccesspointarn" => patterns
            .iter()
            .all(|pattern| !pattern.has_variables() && names_account(pattern.source())),
        (Operands::Patterns(patterns), _) => {
            let fixed = |text: &str| !text.contains(['*', '?']);
            LIMITING_KEYS.contains(&key)
                && patterns.iter().all(|p| p.as_fixed().is_some_and(|text| fixed(&text)))
        }
        _ => false,
    }
}

/// `/8` for IPv4 and `/32` for IPv6 are the broadest ranges S3 does not call public.
fn is_narrow(network: &Typed<Network>) -> bool {
    network.value.is_some_and(|network| match network.parts() {
        (IpAddr::V4(_), prefix_bits) => prefix_bits >= 8,
        (IpAddr::V6(_), prefix_bits) => prefix_bits >= 32,
    })
}

/// The name of an access point may hold a wildcard as long as the account does not.
fn names_account(arn: &str) -> bool {
    arn.split(':').nth(4).is_some_and(is_account_id)
}
