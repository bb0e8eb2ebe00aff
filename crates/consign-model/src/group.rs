//! Groups of parties, and the lanes that are written once and stand for one per member.
//!
//! [`expanded`] turns `[lane.results] each = "partners"` into a lane `results-MEMBER` for each
//! member, between it and the hub (the party that the table names), before anything else is
//! judged: what comes out are ordinary lanes, each with its own bucket and key, so that no
//! member's data shares anything with another's.

use crate::check::Check;
use crate::name::shown;
use crate::raw::{At, RawExchange, RawLane, list, nearest};
use crate::{Each, Error, ErrorKind, LaneName, Party, PartyName};
use std::collections::{BTreeMap, BTreeSet};

/// A lane as if it had been written alone.
pub(crate) struct Expanded {
    pub(crate) raw: RawLane,
    pub(crate) each: Option<Each>,
}

type Groups<'a> = BTreeMap<&'a str, Vec<PartyName>>;

/// Every lane of the file, with those that stand for a lane per member written out.
pub(crate) fn expanded(
    check: &Check,
    raw: &RawExchange,
    parties: &BTreeMap<PartyName, Party>,
) -> Result<Vec<Expanded>, Error> {
    let groups = groups(check, raw, parties)?;
    let mut lanes = Vec::new();
    for lane in &raw.lanes {
        match &lane.each {
            None => lanes.push(Expanded { raw: lane.clone(), each: None }),
            Some(group) => {
                let members = known_group(check, lane, group, &groups)?;
                lanes.extend(per_member(check, lane, members, parties)?);
            }
        }
    }
    Ok(lanes)
}

fn groups<'a>(
    check: &Check,
    raw: &'a RawExchange,
    parties: &BTreeMap<PartyName, Party>,
) -> Result<Groups<'a>, Error> {
    let mut groups = Groups::new();
    for group in &raw.groups {
        // By the rules of parties' names: it stands where theirs do.
        let name = check.parsed(&group.name, PartyName::parse)?;
        let what = format!("group `{name}`");
        let mut members = Vec::new();
        let mut known = BTreeSet::new();
        for item in &group.members.value {
            let member = &check.known_party(&what, item, parties)?.name;
            if !known.insert(member) {
                let message = format!("{what} names `{member}` twice in `members`; remove one");
                return Err(check.source.error(ErrorKind::Conflict, item.offset, message));
            }
            members.push(member.clone());
        }
        if members.is_empty() {
            let message = format!("{what} has nobody in it; name a party in `members`");
            let offset = group.members.offset;
            return Err(check.source.error(ErrorKind::MissingField, offset, message));
        }
        groups.insert(&group.name.value, members);
    }
    Ok(groups)
}

fn known_group<'g>(
    check: &Check,
    lane: &RawLane,
    group: &At<String>,
    groups: &'g Groups,
) -> Result<&'g [PartyName], Error> {
    groups.get(group.value.as_str()).map(Vec::as_slice).ok_or_else(|| {
        let names: Vec<&str> = groups.keys().copied().collect();
        let remedy = match nearest(&group.value, &names) {
            Some(name) => format!("did you mean `{name}`?"),
            None if names.is_empty() => "add a table [group.NAME] with `members`".to_owned(),
            None => format!("the groups are {}", list(&names)),
        };
        let (group_name, lane) = (shown(&group.value), shown(&lane.name.value));
        let message = format!("unknown group {group_name} in lane {lane}; {remedy}");
        check.source.error(ErrorKind::Unknown, group.offset, message)
    })
}

fn per_member(
    check: &Check,
    lane: &RawLane,
    members: &[PartyName],
    parties: &BTreeMap<PartyName, Party>,
) -> Result<Vec<Expanded>, Error> {
    let table = check.parsed(&lane.name, LaneName::parse)?;
    let hub_at = hub(check, lane, &table)?;
    let hub = &check.known_party(&format!("lane `{table}`"), hub_at, parties)?.name;
    if let Some(bucket) = &lane.bucket {
        let message = format!(
            "lane `{table}` stands for a lane per member, and each has a bucket of its own; drop \
             `bucket`"
        );
        return Err(check.source.error(ErrorKind::Conflict, bucket.offset, message));
    }
    let one = |member: &PartyName| {
        if member == hub {
            let message = format!(
                "lane `{table}` leads from `{hub}` to itself, because `{hub}` is in the group; take \
                 it out of `members`"
            );
            return Err(check.source.error(ErrorKind::Conflict, hub_at.offset, message));
        }
        let name = format!("{table}-{member}");
        LaneName::parse(&name).map_err(|_| {
            let message = format!(
                "lane `{table}` for `{member}` would be called `{name}`, which has {} characters of \
                 32; shorten either name",
                name.len()
            );
            check.source.error(ErrorKind::BadValue, lane.name.offset, message)
        })?;
        let at = |value: String| At { value, offset: lane.name.offset };
        let ends = |end: &Option<At<String>>| end.clone().unwrap_or_else(|| at(member.to_string()));
        let to = lane.to.clone().unwrap_or_else(|| At {
            value: vec![at(member.to_string())],
            offset: lane.name.offset,
        });
        let raw = RawLane {
            name: at(name),
            from: Some(ends(&lane.from)),
            to: Some(to),
            // The hub, whichever way the lane leads: its buckets are in one account.
            owner: Some(lane.owner.clone().unwrap_or_else(|| hub_at.clone())),
            ..lane.clone()
        };
        let each = Each { lane: table.clone(), hub: hub.clone(), member: member.clone() };
        Ok(Expanded { raw, each: Some(each) })
    };
    members.iter().map(one).collect()
}

/// The one end that a table with `each` names.
fn hub<'l>(check: &Check, lane: &'l RawLane, table: &LaneName) -> Result<&'l At<String>, Error> {
    let wrong = |offset: usize, reason: &str| {
        let message = format!("lane `{table}` has `each`, {reason}");
        Err(check.source.error(ErrorKind::Conflict, offset, message))
    };
    match (&lane.from, &lane.to) {
        (Some(from), None) => Ok(from),
        (None, Some(to)) => match to.value.as_slice() {
            [hub] => Ok(hub),
            _ => wrong(to.offset, "so `to` names one party, the hub"),
        },
        (Some(_), Some(to)) => {
            wrong(to.offset, "so the member is one of its ends; drop `from` or `to`")
        }
        (None, None) => {
            wrong(lane.name.offset, "and names no hub; add `from`, or `to` with one party")
        }
    }
}
