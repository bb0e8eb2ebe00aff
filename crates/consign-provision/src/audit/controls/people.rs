//! Controls on users and roles.

use super::{PrincipalScope, Says, known};
use crate::audit::adversary::{Adversary, on};
use consign_iam::PolicyKind;
use consign_iam::prove::{Callers, Domain};

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
    // Without an external id: a third party's other customers could have it act on this role.
    let without = vec![("sts:ExternalId".to_owned(), Domain::Absent)];
    let account = facts.account.as_ref();
    let adversary = match Adversary::new(PolicyKind::Trust, Some(trust), account) {
        Ok(adversary) => adversary,
        Err(why) => return Says::fail(why, fix),
    };
    let assume = on(&["sts:AssumeRole"], &facts.arn);
    let others = [Callers::Strangers { accounts: vec![account.to_owned()] }, Callers::Anonymous];
    match adversary.gets_through(&others, &assume, &without) {
        Ok(Some(who)) => Says::fail(format!("{who} without an external id"), fix),
        Ok(None) => Says::pass("proved: no other account without an external id"),
        Err(why) => Says::unseen(why),
    }
}
