//! Controls on users and roles.

use super::{PrincipalScope, Says, known};
use crate::audit::adversary::{Adversary, Fixed};
use consign_iam::{Policy, PolicyKind, Principal};

pub(super) fn x21(scope: &PrincipalScope<'_>) -> Option<Says> {
    let facts = scope.facts;
    if !facts.arn.contains(":role/") {
        return Says::pass("a user: nobody assumes it");
    }
    let Some(trust) = known!(facts.trust) else {
        return Says::fail("there is no such role", "create the role, then: consign apply");
    };
    let name = facts.arn.rsplit('/').next().unwrap_or_default();
    let fix = format!(
        "aws iam update-assume-role-policy --role-name {name} --policy-document file://trust.json"
    );
    if let Err(refusal) = Policy::parse_as(PolicyKind::Trust, trust) {
        return Says::fail(format!("the trust policy is none: {refusal}"), fix);
    }
    // Without an external id: a third party's other customers could have it act on this role.
    let without: Fixed<'_> = &[("sts:ExternalId", None)];
    let account = facts.account.as_ref();
    let adversary = match Adversary::new(PolicyKind::Trust, Some(trust), account, without) {
        Ok(adversary) => adversary,
        Err(why) => return Says::fail(why, fix),
    };
    let assume = [("sts:AssumeRole".to_owned(), vec![facts.arn.clone()])];
    if let Some(who) = adversary.first_allowed(&adversary.outsiders(), &assume) {
        return Says::fail(who, fix);
    }
    let is_third = |caller: &Principal| caller.account().is_some_and(|found| found != account);
    let third: Vec<Principal> = adversary.everybody().into_iter().filter(is_third).collect();
    match adversary.first_allowed(&third, &assume) {
        Some(who) => Says::fail(format!("{who} without an external id"), fix),
        None => Says::pass("no stranger, and no other account without an external id"),
    }
}
