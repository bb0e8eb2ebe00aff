//! The part of planning that is about principals: users and roles to make, roles whose trust has
//! changed, policies that name somebody who is gone.

use crate::desired::{Desired, DesiredLane, DesiredParty, TAG_EXCHANGE};
use crate::document::same_meaning;
use crate::observed::{ObservedPrincipal, Sight};
use crate::plan::{Action, Change};
use crate::planner::Planner;
use crate::trust_order;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

impl Planner<'_> {
    /// Principals are created before any policy names them, because AWS refuses a policy whose
    /// principal does not exist; a role's trust policy is such a policy too.
    pub(crate) fn principals(&mut self) {
        for party in trust_order::in_order(self.desired) {
            self.principal(party);
        }
    }

    fn principal(&mut self, party: &DesiredParty) {
        let principal = &party.principal;
        match self.observed.parties.get(&party.name) {
            Some(Sight::Present(seen)) => self.existing_principal(party, seen),
            Some(Sight::Absent) if party.can_be_made() => self.new_principal(party),
            Some(Sight::Absent) => {
                let words = format!(
                    "create {principal} in account {}, with a trust policy for those who may act \
                     for `{}`, or say in the exchange file who they are: `trust = \"account\"` or \
                     an ARN; then apply again",
                    party.account, party.name
                );
                self.leave(&party.name, &party.account, words, BTreeMap::new());
            }
            Some(Sight::Hidden) | None => {}
        }
    }

    fn new_principal(&mut self, party: &DesiredParty) {
        let principal = &party.principal;
        let (path, name) = (principal.path().to_owned(), principal.name().to_owned());
        let tags = self.desired.principal_tags();
        let (words, action) = match (party.trust_policy(), &party.trust) {
            (Some(policy), Some(trust)) => (
                format!(
                    "create {principal} for party `{}`, to be assumed by {}",
                    party.name, trust.principal_arn
                ),
                Action::CreateRole { path, name, trust: policy.to_json(), tags },
            ),
            _ => (
                format!("create {principal} for party `{}`", party.name),
                Action::CreateUser { path, name, tags },
            ),
        };
        self.step(&party.account, Change::Create, words, action);
    }

    /// Whoever made a role says who assumes it; only on our own is the trust put right.
    fn existing_principal(&mut self, party: &DesiredParty, seen: &ObservedPrincipal) {
        let principal = &party.principal;
        let differs =
            |policy: &str| !seen.trust.as_deref().is_some_and(|there| same_meaning(there, policy));
        match (party.trust_policy(), &party.trust) {
            (Some(policy), Some(trust)) if differs(&policy.to_json()) => {
                if !is_ours(self.desired, seen) {
                    return self.keep(format!(
                        "{principal} in {}, which this exchange did not make: its trust policy is \
                         left as it is",
                        party.account
                    ));
                }
                let words =
                    format!("let {} assume {principal}, and nobody else", trust.principal_arn);
                let role = principal.name().to_owned();
                let action = Action::PutTrust { role, trust: policy.to_json() };
                self.step(&party.account, Change::Change, words, action);
            }
            _ => self.keep(format!("{principal} in {}", party.account)),
        }
    }

    /// A principal that needs no policy of ours keeps none from before.
    pub(crate) fn no_identity(&mut self, party: &DesiredParty) {
        let seen = self.observed.parties.get(&party.name).and_then(Sight::seen);
        if seen.is_some_and(|seen| seen.policy.is_some()) {
            let name = self.desired.identity_policy_name();
            let words = format!("take the inline policy {name} from {}", party.principal);
            let principal = party.principal.name().to_owned();
            let action = Action::DeleteIdentityPolicy { user: party.is_user(), principal, name };
            self.step(&party.account, Change::Remove, words, action);
        }
    }

    /// AWS stores principals by their unique id and shows the id once they are deleted. Somebody
    /// removed a party's user or role; a new one of the same name gains access again only because
    /// this plan writes the policy anew, which a person should know.
    pub(crate) fn dangling(&mut self, lane: &DesiredLane) {
        let seen = self.seen(lane);
        let bucket = seen.bucket.seen().and_then(|bucket| bucket.policy.as_deref());
        let key = seen.key.seen().map(|key| key.policy.as_str());
        for (what, policy) in [("bucket", bucket), ("key", key)] {
            for id in policy.map(deleted_principals).unwrap_or_default() {
                self.alarms.push(format!(
                    "the {what} policy of lane `{}` names {id}, a user or role that has been deleted \
                     since; find out who deleted it before you give its successor access",
                    lane.name
                ));
            }
        }
    }
}

impl Planner<'_> {
    /// A lane that was only taken out of the file is as open as before.
    pub(crate) fn removed(&mut self) {
        for alias in &self.observed.removed {
            self.alarms.push(format!(
                "{alias} is the key of a lane that the exchange file does not declare any more; what \
                 was granted on that lane is still granted. Put the lane back and run `consign \
                 destroy`, or close it at once: aws kms disable-key --key-id KEY_ID_OF_THE_ALIAS, \
                 and take the alias away when its bucket is gone"
            ));
        }
    }
}

/// Whether this exchange created the principal.
pub(crate) fn is_ours(desired: &Desired, seen: &ObservedPrincipal) -> bool {
    seen.tags.get(TAG_EXCHANGE).map(String::as_str) == Some(desired.exchange.as_ref())
}

/// The unique ids (`AIDA…` of a user, `AROA…` of a role) that stand where ARNs should.
fn deleted_principals(policy: &str) -> BTreeSet<String> {
    let document: Value = serde_json::from_str(policy).unwrap_or_default();
    let statements = match document.get("Statement") {
        Some(Value::Array(statements)) => statements.as_slice(),
        Some(single) => std::slice::from_ref(single),
        None => &[],
    };
    let named = statements.iter().filter_map(|it| it.get("Principal")?.get("AWS"));
    let each = named.flat_map(|aws| match aws {
        Value::Array(many) => many.as_slice(),
        single => std::slice::from_ref(single),
    });
    let is_id = |text: &&str| {
        let rest = text.strip_prefix("AIDA").or_else(|| text.strip_prefix("AROA"));
        rest.is_some_and(|it| it.len() >= 8 && it.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    each.filter_map(Value::as_str).filter(is_id).map(str::to_owned).collect()
}
