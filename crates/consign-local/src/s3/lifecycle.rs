//! Lifecycle rules: kept as they were put, and carried out by a sweep.
//!
//! Only what the sweep does can be put: expiry by age or date, expiry of noncurrent versions and of
//! lone delete markers, and aborting stale uploads. Transitions have nowhere to go on one disk and
//! are refused.

use std::sync::Arc;

use http::StatusCode;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::ask::{Ask, invalid_argument};
use super::response::{Answer, set, xml};
use super::settings::update;
use super::store::{
    Bucket, Condition, Deletion, ListQuery, Listed, StoreError, Version, Versioning,
};
use super::xml::{Document, Node, malformed};
use crate::error::ApiError;
use crate::state::State;

const RULES_MAX: usize = 1000;
/// Answered to a put and a get alike; the Terraform provider waits until it reads what it put.
const TRANSITION_MINIMUM: &str = "x-amz-transition-default-minimum-object-size";
/// What it may be, the default first. It bears on transitions alone, of which there are none here.
const TRANSITION_MINIMA: [&str; 2] = ["all_storage_classes_128K", "varies_by_storage_class"];
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Rules count in days; S3 itself runs them once a day.
const SWEEP_EVERY_MS: u64 = 60 * 60 * 1000;
/// Entries looked at per step.
const STEP: usize = 1000;

/// One rule, as far as it is carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rule {
    enabled: bool,
    prefix: String,
    tags: Vec<(String, String)>,
    bytes_above: Option<u64>,
    bytes_below: Option<u64>,
    expire: Option<Expiry>,
    lone_markers: bool,
    noncurrent_days: Option<u64>,
    noncurrent_kept: usize,
    abort_days: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    Days(u64),
    AtMs(u64),
}

pub(super) fn get(bucket: &Bucket) -> Answer {
    let Some(text) = bucket.documents.get("lifecycle") else {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "NoSuchLifecycleConfiguration",
            "The lifecycle configuration does not exist",
        ));
    };
    let root = Node::parse(text.as_bytes(), "LifecycleConfiguration")?;
    let mut document = Document::new("LifecycleConfiguration");
    for child in &root.children {
        write(&mut document, child);
    }
    let minimum = bucket.transition_minimum.as_deref().unwrap_or(TRANSITION_MINIMA[0]);
    let mut response = xml(document, "LifecycleConfiguration");
    set(response.headers_mut(), TRANSITION_MINIMUM, minimum)?;
    Ok(response)
}

/// Writes a tree as it was read.
fn write(document: &mut Document, node: &Node) {
    document.open(&node.name);
    match node.children.is_empty() {
        true => drop(document.text(node.text.trim())),
        false => node.children.iter().for_each(|child| write(document, child)),
    }
    document.close(&node.name);
}

pub(super) async fn put(ask: &Ask, bucket: &Bucket, document: &[u8]) -> Answer {
    let root = Node::parse(document, "LifecycleConfiguration")?;
    read_rules(&root)?;
    let minimum = ask.header(TRANSITION_MINIMUM).unwrap_or(TRANSITION_MINIMA[0]).to_owned();
    if !TRANSITION_MINIMA.contains(&minimum.as_str()) {
        let message = format!("{TRANSITION_MINIMUM} is {}", TRANSITION_MINIMA.join(" or "));
        return Err(invalid_argument(&message, TRANSITION_MINIMUM, &minimum));
    }
    let mut kept = Document::new("LifecycleConfiguration");
    for (index, rule) in root.children.iter().enumerate() {
        let mut rule = rule.clone();
        if rule.child("ID").is_none_or(|id| id.text.trim().is_empty()) {
            rule.children.retain(|child| child.name != "ID");
            let text = format!("rule-{}", index + 1);
            rule.children.insert(0, Node { name: "ID".into(), children: Vec::new(), text });
        }
        write(&mut kept, &rule);
    }
    let text = kept.finish("LifecycleConfiguration");
    let answered = minimum.clone();
    let change = move |bucket: &mut Bucket| {
        bucket.documents.insert("lifecycle".into(), text);
        bucket.transition_minimum = Some(minimum);
    };
    let mut response = update(ask, bucket, change).await?;
    set(response.headers_mut(), TRANSITION_MINIMUM, answered)?;
    Ok(response)
}

/// Reads a document as `put` does: for fuzzing.
pub(super) fn read(document: &[u8]) {
    let _ = Node::parse(document, "LifecycleConfiguration").and_then(|root| read_rules(&root));
}

fn read_rules(root: &Node) -> Result<Vec<Rule>, ApiError> {
    root.only(&["Rule"])?;
    if root.children.is_empty() || root.children.len() > RULES_MAX {
        return Err(malformed(format!("{} rules", root.children.len())));
    }
    root.children.iter().map(read_rule).collect()
}

fn read_rule(node: &Node) -> Result<Rule, ApiError> {
    if node.child("Transition").or_else(|| node.child("NoncurrentVersionTransition")).is_some() {
        return Err(ApiError::not_implemented("A lifecycle transition to another storage class"));
    }
    node.only(&[
        "ID",
        "Status",
        "Prefix",
        "Filter",
        "Expiration",
        "NoncurrentVersionExpiration",
        "AbortIncompleteMultipartUpload",
    ])?;
    let mut rule = Rule {
        enabled: match node.text_of("Status").map(str::trim) {
            Some("Enabled") => true,
            Some("Disabled") => false,
            _ => return Err(malformed("a rule is Enabled or Disabled")),
        },
        prefix: node.text_of("Prefix").unwrap_or_default().to_owned(),
        ..Rule::default()
    };
    if let Some(filter) = node.child("Filter") {
        filter.only(&["Prefix", "Tag", "And", "ObjectSizeGreaterThan", "ObjectSizeLessThan"])?;
        read_filter(&mut rule, filter)?;
        if let Some(and) = filter.child("And") {
            and.only(&["Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan"])?;
            read_filter(&mut rule, and)?;
        }
    }
    if let Some(expiration) = node.child("Expiration") {
        read_expiration(&mut rule, expiration)?;
    }
    if let Some(noncurrent) = node.child("NoncurrentVersionExpiration") {
        noncurrent.only(&["NoncurrentDays", "NewerNoncurrentVersions"])?;
        rule.noncurrent_days = Some(days(noncurrent, "NoncurrentDays")?);
        if noncurrent.child("NewerNoncurrentVersions").is_some() {
            let kept = days(noncurrent, "NewerNoncurrentVersions")?;
            rule.noncurrent_kept = usize::try_from(kept).unwrap_or(usize::MAX);
        }
    }
    if let Some(abort) = node.child("AbortIncompleteMultipartUpload") {
        abort.only(&["DaysAfterInitiation"])?;
        rule.abort_days = Some(days(abort, "DaysAfterInitiation")?);
    }
    let does = rule.expire.is_some()
        || rule.lone_markers
        || rule.noncurrent_days.is_some()
        || rule.abort_days.is_some();
    match does {
        true => Ok(rule),
        false => Err(ApiError::bad_request(
            "InvalidRequest",
            "At least one action needs to be specified in a rule",
        )),
    }
}

fn read_filter(rule: &mut Rule, filter: &Node) -> Result<(), ApiError> {
    if let Some(prefix) = filter.text_of("Prefix") {
        rule.prefix = prefix.to_owned();
    }
    for tag in filter.all("Tag") {
        let text = |name| tag.text_of(name).unwrap_or_default().to_owned();
        rule.tags.push((text("Key"), text("Value")));
    }
    let number = |name: &str| match filter.text_of(name) {
        None => Ok(None),
        Some(text) => text.trim().parse().map(Some).map_err(malformed),
    };
    rule.bytes_above = number("ObjectSizeGreaterThan")?.or(rule.bytes_above);
    rule.bytes_below = number("ObjectSizeLessThan")?.or(rule.bytes_below);
    Ok(())
}

fn read_expiration(rule: &mut Rule, expiration: &Node) -> Result<(), ApiError> {
    expiration.only(&["Days", "Date", "ExpiredObjectDeleteMarker"])?;
    rule.lone_markers = expiration.flag("ExpiredObjectDeleteMarker")?;
    rule.expire = match (expiration.child("Days"), expiration.text_of("Date")) {
        (Some(_), None) => Some(Expiry::Days(days(expiration, "Days")?)),
        (None, Some(date)) => {
            let at = OffsetDateTime::parse(date.trim(), &Rfc3339).map_err(malformed)?;
            Some(Expiry::AtMs(u64::try_from(at.unix_timestamp() * 1000).map_err(malformed)?))
        }
        (None, None) if rule.lone_markers => None,
        _ => return Err(malformed("an expiration has days or a date")),
    };
    Ok(())
}

fn days(node: &Node, name: &str) -> Result<u64, ApiError> {
    let text = node.text_of(name).unwrap_or_default().trim();
    text.parse().ok().filter(|days| *days > 0).ok_or_else(|| {
        let message = format!("'{name}' in the {} action must be a positive integer", node.name);
        invalid_argument(&message, name, text)
    })
}

impl Rule {
    fn covers(&self, key: &[u8]) -> bool {
        self.enabled && key.starts_with(self.prefix.as_bytes())
    }

    fn covers_version(&self, version: &Version) -> bool {
        let Some(object) = &version.object else {
            return self.tags.is_empty()
                && self.bytes_above.is_none()
                && self.bytes_below.is_none();
        };
        self.tags.iter().all(|tag| object.about.tags.contains(tag))
            && self.bytes_above.is_none_or(|bytes| object.bytes > bytes)
            && self.bytes_below.is_none_or(|bytes| object.bytes < bytes)
    }

    fn expires(&self, version: &Version, now_ms: u64) -> bool {
        match self.expire {
            None => false,
            Some(Expiry::Days(days)) => is_older(version.modified_ms, days, now_ms),
            Some(Expiry::AtMs(at)) => at <= now_ms,
        }
    }
}

/// Whether `days` whole days have passed, counted as S3 counts: to the next midnight UTC.
fn is_older(since_ms: u64, days: u64, now_ms: u64) -> bool {
    let end = since_ms.saturating_add(days.saturating_mul(DAY_MS));
    end.div_ceil(DAY_MS).saturating_mul(DAY_MS) <= now_ms
}

/// Starts a sweep if the last was long ago. It runs beside the request that was the occasion.
pub(super) fn sweep_if_due(state: &Arc<State>, now_ms: u64) {
    use std::sync::atomic::Ordering;
    let last = &state.store.swept_ms;
    let before = last.load(Ordering::Relaxed);
    let due = before.saturating_add(SWEEP_EVERY_MS) <= now_ms;
    if due && last.compare_exchange(before, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        let state = state.clone();
        tokio::spawn(async move { sweep(&state, now_ms).await });
    }
}

/// Carries out the rules of all buckets once.
pub async fn sweep(state: &State, now_ms: u64) {
    for bucket in state.store.buckets() {
        let Some(text) = bucket.documents.get("lifecycle") else { continue };
        let root = Node::parse(text.as_bytes(), "LifecycleConfiguration");
        let Ok(rules) = root.and_then(|root| read_rules(&root)) else { continue };
        // What fails now is tried again by the next sweep.
        let _ = sweep_uploads(state, &bucket, &rules, now_ms).await;
        let _ = sweep_versions(state, &bucket, &rules, now_ms).await;
    }
}

async fn sweep_uploads(
    state: &State,
    bucket: &Bucket,
    rules: &[Rule],
    now_ms: u64,
) -> Result<(), StoreError> {
    let mut query = ListQuery { entries_max: STEP, ..ListQuery::default() };
    loop {
        let page = state.store.list_uploads(&bucket.name, &query)?;
        for listed in &page.entries {
            let Listed::Entry { key, value: (id, upload), .. } = listed else { continue };
            let stale = rules.iter().filter(|rule| rule.covers(key)).any(|rule| {
                rule.abort_days.is_some_and(|days| is_older(upload.started_ms, days, now_ms))
            });
            if stale {
                state.store.abort_upload(&bucket.name, key, id).await?;
            }
            query.after = Some(key.clone());
            query.after_id = Some(id.clone());
        }
        if !page.truncated {
            return Ok(());
        }
    }
}

async fn sweep_versions(
    state: &State,
    bucket: &Bucket,
    rules: &[Rule],
    now_ms: u64,
) -> Result<(), StoreError> {
    let mut query = ListQuery { entries_max: STEP, ..ListQuery::default() };
    // Of the key being looked at: how many noncurrent versions came before, and when the version
    // before this one was written, which is when this one became noncurrent.
    let mut noncurrent = 0;
    let mut superseded_ms = 0;
    loop {
        let page = state.store.list_versions(&bucket.name, &query)?;
        let mut deletions = Vec::new();
        for (index, listed) in page.entries.iter().enumerate() {
            let Listed::Entry { key, value: version, latest } = listed else { continue };
            let covering = rules.iter().filter(|rule| rule.covers(key));
            let mut covering = covering.filter(|rule| rule.covers_version(version));
            if *latest {
                noncurrent = 0;
                let alone = !matches!(page.entries.get(index + 1),
                    Some(Listed::Entry { key: next, .. }) if next == key)
                    && (index + 1 < page.entries.len() || !page.truncated);
                let gone = match (&version.object, bucket.versioning) {
                    (None, _) => alone && covering.any(|rule| rule.lone_markers),
                    (Some(_), _) => covering.any(|rule| rule.expires(version, now_ms)),
                };
                if gone {
                    deletions.push(Deletion {
                        key: key.clone(),
                        // A lone marker goes itself; an expired object gets a marker, or goes
                        // where there is no versioning.
                        version_id: match version.object {
                            None => Some(version.id_text().to_owned()),
                            Some(_) => None,
                        },
                        condition: match (&version.object, bucket.versioning) {
                            // Replaced since it was looked at: not expired.
                            (Some(object), Versioning::Never) => {
                                Condition::Matches(object.etag.clone())
                            }
                            _ => Condition::Always,
                        },
                    });
                }
            } else {
                let kept = noncurrent;
                noncurrent += 1;
                let gone = covering.any(|rule| {
                    kept >= rule.noncurrent_kept
                        && rule
                            .noncurrent_days
                            .is_some_and(|days| is_older(superseded_ms, days, now_ms))
                });
                if gone {
                    deletions.push(Deletion {
                        key: key.clone(),
                        version_id: Some(version.id_text().to_owned()),
                        condition: Condition::Always,
                    });
                }
            }
            superseded_ms = version.modified_ms;
            query.after = Some(key.clone());
            query.after_id = Some(version.id_text().to_owned());
        }
        if !deletions.is_empty() {
            // What expires is no ObjectRemoved event, but one of S3's own that nobody is told here.
            state.store.delete(&bucket.name, deletions, &bucket.account, now_ms, None).await?;
        }
        if !page.truncated {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(inner: &str) -> Result<Vec<Rule>, ApiError> {
        let text = format!("<LifecycleConfiguration>{inner}</LifecycleConfiguration>");
        read_rules(&Node::parse(text.as_bytes(), "LifecycleConfiguration")?)
    }

    #[test]
    fn rules_are_read_or_refused() {
        let good = "<Rule><ID>a</ID><Filter><Prefix>x/</Prefix></Filter><Status>Enabled</Status>\
                    <Expiration><Days>30</Days></Expiration><AbortIncompleteMultipartUpload>\
                    <DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>\
                    </Rule>";
        let read = rules(good).expect("reads");
        assert_eq!(read[0].expire, Some(Expiry::Days(30)));
        assert_eq!(read[0].abort_days, Some(1));
        assert!(read[0].covers(b"x/1") && !read[0].covers(b"y"));
        for bad in [
            "",
            "<Rule><Status>Enabled</Status></Rule>",
            "<Rule><Status>On</Status><Expiration><Days>1</Days></Expiration></Rule>",
            "<Rule><Status>Enabled</Status><Expiration><Days>0</Days></Expiration></Rule>",
            "<Rule><Status>Enabled</Status><Expiration><Weeks>1</Weeks></Expiration></Rule>",
            "<Rule><Status>Enabled</Status><Transition><Days>1</Days></Transition></Rule>",
        ] {
            assert!(rules(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn days_end_at_midnight() {
        let noon = DAY_MS / 2;
        assert!(!is_older(noon, 1, noon + DAY_MS));
        assert!(is_older(noon, 1, 2 * DAY_MS));
    }
}
