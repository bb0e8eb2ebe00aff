//! The controls, grouped by what they look at. The numbers and rules are those of the table in
//! `docs/audit.md`, which also names the catalogues they come from (FSBP, CIS, Access Analyzer).

mod administrators;
mod keys;
mod meaning;
mod people;
mod records;
mod settings;

use super::{BucketScope, Control, KeyFacts, PrincipalScope, Says};
use crate::audit::{AccountFacts, Fact};

/// The value of a fact, or "not looked at".
macro_rules! known {
    ($fact:expr) => {
        match &$fact {
            $crate::audit::Fact::Is(value) => value,
            $crate::audit::Fact::Unknown(why) => return $crate::audit::Says::unseen(why.as_str()),
        }
    };
}
pub(super) use known;

macro_rules! control {
    ($id:literal, $decide:path, $title:literal, $why:literal) => {
        Control { id: $id, title: $title, why: $why, decide: $decide }
    };
}

/// Controls on a bucket that exists.
#[rustfmt::skip]
pub(super) fn on_buckets<'a>() -> Vec<Control<BucketScope<'a>>> {
    vec![
        control!("X01", settings::x01, "Public access is blocked",
            "without the block one careless policy opens the bucket to everybody"),
        control!("X02", meaning::x02, "The policy lets no stranger in",
            "a bucket that strangers can use is a leak, or a bill"),
        control!("X03", settings::x03, "Access control lists are off",
            "an ACL grants access past every policy and proof"),
        control!("X04", meaning::x04, "Only TLS 1.2 or later",
            "a request over plain HTTP shows its object to the network"),
        control!("X05", settings::x05, "Default encryption with the declared key",
            "objects put without a header are encrypted under this key or one that others control"),
        control!("X06", meaning::x06, "Other encryption is refused",
            "an object under another key is readable by that key's owner, or by nobody"),
        control!("X07", meaning::x07, "Only the declared writer writes, only declared readers read",
            "this is what the exchange promises"),
        control!("X08", meaning::x08, "Only the owner's administrators can change that",
            "who can change a policy can do everything it denies"),
        control!("X11", settings::x11, "Versioning, and old versions expire",
            "without versions an overwritten object is lost; without expiry deleted data stays"),
        control!("X12", meaning::x12, "What is delivered cannot be overwritten",
            "a sender could replace what the receiver has already acknowledged"),
        control!("X13", settings::x13, "Object Lock",
            "a lock protects against the owner's own administrators"),
        control!("X14", settings::x14, "Objects and unfinished uploads expire",
            "what is kept longer than needed can leak longer than needed"),
        control!("X15", records::x15, "Every read and write of an object is recorded",
            "without data events nobody can say afterwards who read what"),
        control!("X17", settings::x17, "A server access log goes to a proper bucket",
            "a log that others can write or read is worth little"),
        control!("X18", meaning::x18, "Notifications reach only the declared queue, safely",
            "a queue that anybody may write to makes its reader act on forged events"),
        control!("X19", meaning::x19, "Unscanned objects cannot be read, tags cannot be forged",
            "a receiver opens what a sender's infected machine wrote"),
        control!("X20", meaning::x20, "Presigned URLs work for minutes only",
            "a URL is a bearer token: whoever finds it may use it"),
        control!("X22", settings::x22, "No other doors",
            "access points, websites, origins, copies and lists lead past the proven policies"),
        control!("X23", settings::x23, "The bucket is the declared owner's",
            "a deleted bucket's name can be taken by anybody, who then receives what is sent"),
        control!("X24", settings::x24, "No second factor is needed to delete",
            "MFA delete works for the root user only and stops the lifecycle"),
        control!("X25", settings::x25, "No replication",
            "copies leave the buckets that the proof is about"),
        control!("X26", records::x26_bucket, "Access Analyzer sees only the declared partners",
            "a second, independent opinion about who can reach the bucket"),
    ]
}

/// The one control on a bucket that does not exist, or perhaps does not.
pub(super) fn on_missing_buckets<'a>() -> Vec<Control<BucketScope<'a>>> {
    vec![control!(
        "X23",
        settings::x23,
        "The bucket is the declared owner's",
        "a name that nobody holds can be taken by anybody, who then receives what is sent"
    )]
}

/// Controls on a key.
#[rustfmt::skip]
pub(super) fn on_keys() -> Vec<Control<KeyFacts>> {
    vec![
        control!("X09", keys::x09, "The key is closed to strangers, its policies are known, no grants",
            "a grant lets somebody decrypt whom no policy names"),
        control!("X10", keys::x10, "The key rotates, stays, is single-Region and manageable",
            "a key that is gone takes every object with it"),
    ]
}

/// Controls on an account.
#[rustfmt::skip]
pub(super) fn on_accounts() -> Vec<Control<AccountFacts>> {
    vec![
        control!("X01", records::x01_account, "Public access is blocked for the whole account",
            "the account's block holds for buckets made tomorrow, too"),
        control!("X16", records::x16, "The trail is complete and cannot be changed unnoticed",
            "who can edit the record can hide"),
        control!("X26", records::x26_account, "Access Analyzer is on",
            "a second, independent opinion about who can reach buckets and keys"),
    ]
}

/// Controls on a party's principal.
pub(super) fn on_principals<'a>() -> Vec<Control<PrincipalScope<'a>>> {
    vec![control!(
        "X21",
        people::x21,
        "Roles trust named principals, third parties with an external id",
        "who can assume the role is the party"
    )]
}

/// Whether a list is empty, as a verdict-ready sentence.
fn listed(fact: &Fact<Vec<String>>, what: &str, open: &mut Vec<String>, unseen: &mut Vec<String>) {
    match fact {
        Fact::Is(list) if list.is_empty() => {}
        Fact::Is(list) => open.push(format!("{what}: {}", list.join(", "))),
        Fact::Unknown(why) => unseen.push(format!("{what}: {why}")),
    }
}

/// The command that repairs a setting: `consign apply` where the exchange declares the bucket,
/// the given one elsewhere.
fn repair(scope: &BucketScope<'_>, otherwise: &str) -> String {
    match scope.lane {
        Some(_) => "consign apply".to_owned(),
        None => otherwise.replace("BUCKET", &scope.facts.bucket),
    }
}
