//! Controls on a KMS key.

use super::{KeyFacts, Says, known};
use crate::audit::adversary::{Adversary, Fixed, on};
use consign_cloud::kms::KeyState;
use consign_iam::PolicyKind;

/// What a stranger would want of a key.
const USES: [&str; 8] = [
    "kms:Decrypt",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:CreateGrant",
    "kms:PutKeyPolicy",
    "kms:ScheduleKeyDeletion",
];

pub(super) fn x09(key: &KeyFacts) -> Option<Says> {
    let Some(arn) = key.arn() else { return absent(key) };
    let policy = known!(key.policy);
    let adversary = match adversary(key, policy) {
        Ok(adversary) => adversary,
        Err(why) => return Says::fail(why, repair(key, arn)),
    };
    match adversary.gets_through(&adversary.outsiders(), &on(&USES, arn), &Fixed::new()) {
        Ok(None) => {}
        Ok(Some(who)) => return Says::fail(who, repair(key, arn)),
        Err(why) => return Says::unseen(why),
    }
    let grants = known!(key.grants);
    if let Some(grant) = grants.first() {
        let fact = format!("a grant lets {} {}", grant.grantee, grant.operations.join(", "));
        let fix = format!("aws kms revoke-grant --key-id {arn} --grant-id {}", grant.id);
        return Says::fail(fact, fix);
    }
    let names = known!(key.policy_names);
    if names.iter().any(|name| name != "default") {
        let fact = format!("policies {}: more than the proof reads", names.join(", "));
        return Says::fail(
            fact,
            "stop sharing the key: aws ram list-resources --resource-owner SELF",
        );
    }
    Says::pass("closed to strangers, one policy, no grants")
}

pub(super) fn x10(key: &KeyFacts) -> Option<Says> {
    let Some(arn) = key.arn() else { return absent(key) };
    let Some(info) = known!(key.info) else { return absent(key) };
    match info.state {
        KeyState::Enabled => {}
        KeyState::PendingDeletion => {
            let fix = format!("aws kms cancel-key-deletion --key-id {arn}");
            let fix = if key.declared { "consign apply".to_owned() } else { fix };
            return Says::fail("pending deletion", fix);
        }
        KeyState::Disabled | KeyState::Other => {
            let fix = format!("aws kms enable-key --key-id {arn}");
            let fix = if key.declared { "consign apply".to_owned() } else { fix };
            return Says::fail("not enabled", fix);
        }
    }
    if info.multi_region {
        return Says::fail("multi-Region: a replica elsewhere decrypts, too", "declare a new lane");
    }
    if !*known!(key.rotates) {
        let fix = format!("aws kms enable-key-rotation --key-id {arn}");
        let fix = if key.declared { "consign apply".to_owned() } else { fix };
        return Says::fail("does not rotate", fix);
    }
    let policy = known!(key.policy);
    let adversary = match adversary(key, policy) {
        Ok(adversary) => adversary,
        Err(why) => return Says::fail(why, repair(key, arn)),
    };
    let change = on(&["kms:PutKeyPolicy"], arn);
    let root = adversary.gets_through(&adversary.root(), &change, &Fixed::new());
    if root == Ok(None) {
        let fact = format!("not even the root user of {} can change the policy", key.owner);
        return Says::fail(fact, "AWS Support alone can help: declare a new lane");
    }
    Says::pass("rotates, enabled, single-Region, its account can manage it")
}

fn adversary(key: &KeyFacts, policy: &str) -> Result<Adversary, String> {
    Adversary::new(PolicyKind::Key, Some(policy), key.owner.as_ref())
}

fn absent(key: &KeyFacts) -> Option<Says> {
    known!(key.info);
    Says::fail("there is no such key", "consign apply")
}

fn repair(key: &KeyFacts, arn: &str) -> String {
    if key.declared {
        return "consign apply".to_owned();
    }
    format!("aws kms put-key-policy --key-id {arn} --policy-name default --policy file://key.json")
}
