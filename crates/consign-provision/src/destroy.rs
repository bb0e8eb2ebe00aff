//! Takes an exchange down: revoke first, look whether anything is left, then delete.
//!
//! [`plan_destroy`] is pure and yields a [`Plan`] for [`crate::apply()`]. Nothing that holds
//! objects is deleted: between revoking and deleting, every bucket is checked, and one object
//! anywhere stops it with access revoked and everything else in place. Keys wait the longest
//! time KMS offers, because what they encrypted dies with them.

use crate::desired::{Desired, DesiredLane, KEY_DELETION_DAYS};
use crate::document::same_meaning;
use crate::error::Error;
use crate::observed::{KeyState, Observed, Sight};
use crate::plan::{Action, Change, Plan, Purpose};
use crate::planner::{Planner, check_ours};
use crate::policies::{Grants, bucket, key};
use crate::principals::is_ours;
use std::collections::BTreeMap;

/// What to do so that nothing of `desired` remains where we have hands.
///
/// # Errors
/// [`crate::ErrorKind::NotOurs`] if something of a name we would delete is not ours.
pub fn plan_destroy(desired: &Desired, observed: &Observed) -> Result<Plan, Error> {
    let mut planner = Planner::new(desired, observed);
    for lane in desired.lanes.values() {
        check_ownership(&planner, lane)?;
    }
    revoke_identities(&mut planner);
    for lane in desired.lanes.values() {
        revoke(&mut planner, lane);
    }
    for lane in desired.lanes.values() {
        check_empty(&mut planner, lane);
    }
    for lane in desired.lanes.values() {
        delete(&mut planner, lane)?;
    }
    delete_principals(&mut planner);
    Ok(planner.finish(Purpose::Destroy))
}

fn check_ownership(planner: &Planner<'_>, lane: &DesiredLane) -> Result<(), Error> {
    let seen = planner.seen(lane);
    if let Some(bucket) = seen.bucket.seen() {
        check_ours("bucket", lane.bucket.as_ref(), &bucket.tags, lane)?;
    }
    if let Some(key) = seen.key.seen().filter(|key| !key.is_told()) {
        check_ours("key", &lane.key_alias, &key.tags, lane)?;
    }
    Ok(())
}

fn revoke_identities(planner: &mut Planner<'_>) {
    let (desired, observed) = (planner.desired, planner.observed);
    for party in desired.parties.values() {
        let name = desired.identity_policy_name();
        match observed.parties.get(&party.name) {
            Some(Sight::Present(seen)) if seen.policy.is_some() => {
                let words = format!("take the inline policy {name} from {}", party.principal);
                let action = Action::DeleteIdentityPolicy {
                    user: party.is_user(),
                    principal: party.principal.name().to_owned(),
                    name,
                };
                planner.step(&party.account, Change::Remove, words, action);
            }
            Some(Sight::Hidden) | None => {
                let words = format!("remove the inline policy {name} from {}", party.principal);
                planner.leave(&party.name, &party.account, words, BTreeMap::new());
            }
            Some(_) => {}
        }
    }
}

fn revoke(planner: &mut Planner<'_>, lane: &DesiredLane) {
    let seen = planner.seen(lane);
    match &seen.bucket {
        Sight::Hidden => {
            let what = if lane.has_foreign_key() { "queues" } else { "key" };
            let words = format!("destroy {}: bucket {} and its {what}", lane.title(), lane.bucket);
            planner.leave(&lane.owner_party, &lane.owner, words, BTreeMap::new());
        }
        Sight::Absent => {}
        Sight::Present(there) => {
            let policy = bucket::policy(lane, None, Grants::Withheld).to_json();
            if !there.policy.as_deref().is_some_and(|there| same_meaning(there, &policy)) {
                let words = format!("deny data to everybody on {}", lane.bucket);
                let action = Action::PutBucketPolicy { bucket: lane.bucket.to_string(), policy };
                planner.step(&lane.owner, Change::Change, words, action);
            }
            planner.silence(lane);
        }
    }
    let key = seen.key.seen().filter(|key| !key.is_told());
    if let Some(there) = key.filter(|key| key.state != KeyState::PendingDeletion) {
        let policy = key::policy(lane, Grants::Withheld).to_json();
        if !same_meaning(&there.policy, &policy) {
            let words = format!("deny use of the key of {} to everybody", lane.title());
            let action = Action::PutKeyPolicy { key: there.arn.clone(), policy };
            planner.step(&lane.key_owner, Change::Change, words, action);
        }
    }
}

fn check_empty(planner: &mut Planner<'_>, lane: &DesiredLane) {
    if planner.seen(lane).bucket.seen().is_some() {
        let bucket = lane.bucket.to_string();
        let words = format!("make sure that {bucket} is empty");
        planner.step(&lane.owner, Change::Change, words, Action::CheckEmpty { bucket });
    }
}

fn delete(planner: &mut Planner<'_>, lane: &DesiredLane) -> Result<(), Error> {
    let seen = planner.seen(lane);
    if seen.bucket.seen().is_some() {
        let bucket = lane.bucket.to_string();
        let words = format!("delete bucket {bucket}");
        planner.step(&lane.owner, Change::Remove, words, Action::DeleteBucket { bucket });
    }
    planner.delete_queues(lane)?;
    let Some(key) = seen.key.seen().filter(|key| !key.is_told()) else { return Ok(()) };
    // Nobody here can see whether a bucket of another account still holds what the key encrypted.
    if seen.bucket == Sight::Hidden {
        let words = format!(
            "delete the key of {}, which nobody may use any more, once bucket {} of account {} is \
             gone: consign destroy with credentials for both accounts, or aws kms \
             schedule-key-deletion --key-id {}",
            lane.title(),
            lane.bucket,
            lane.owner,
            key.arn
        );
        planner.leave(&lane.key_owner_party, &lane.key_owner, words, BTreeMap::new());
        return Ok(());
    }
    // The alias goes last: until then it is how the key is found again.
    if key.state != KeyState::PendingDeletion {
        let days = KEY_DELETION_DAYS as u8;
        let words = format!("delete the key of {} in {days} days", lane.title());
        let action = Action::ScheduleKeyDeletion { key: key.arn.clone(), days };
        planner.step(&lane.key_owner, Change::Remove, words, action);
    }
    if key.has_alias {
        let alias = lane.key_alias.clone();
        let words = format!("remove the name {alias}");
        planner.step(&lane.key_owner, Change::Remove, words, Action::DeleteAlias { alias });
    }
    Ok(())
}

/// Only users and roles that this exchange created.
fn delete_principals(planner: &mut Planner<'_>) {
    let (desired, observed) = (planner.desired, planner.observed);
    for party in desired.parties.values() {
        let Some(Sight::Present(seen)) = observed.parties.get(&party.name) else { continue };
        if is_ours(desired, seen) {
            let name = party.principal.name().to_owned();
            let (words, action) = match party.is_user() {
                true => (
                    format!("delete {} and its access keys", party.principal),
                    Action::DeleteUser { name },
                ),
                false => (format!("delete {}", party.principal), Action::DeleteRole { name }),
            };
            planner.step(&party.account, Change::Remove, words, action);
        } else {
            planner.keep(format!("{} was not made by this exchange", party.principal));
        }
    }
}
