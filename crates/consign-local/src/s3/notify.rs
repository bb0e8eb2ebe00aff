//! What a bucket tells its queues: the configuration, and who is told of a change.
//!
//! PutBucketNotificationConfiguration takes queues alone; topics, functions and EventBridge are
//! refused by name. As in S3, a queue must exist and let S3 send for this bucket when it is
//! configured, is sent a test event, and is asked again at every event: what a queue does not take
//! is lost in silence. The event itself is written by [`super::store::Announcer`] in the
//! transaction of the change.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::StatusCode;

use super::ask::{Ask, invalid_argument, refused};
use super::get::owner_id;
use super::response::{Answer, empty, xml};
use super::store::{Announcer, Bucket, Notification};
use super::xml::{Document, Node, malformed};
use crate::error::ApiError;
use crate::sqs::{Queue, QueueName, Via};

/// What happens to objects here, as S3 names it; `*` stands for all of a kind.
const EVENTS: [&str; 8] = [
    "s3:ObjectCreated:*",
    "s3:ObjectCreated:Put",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:CompleteMultipartUpload",
    "s3:ObjectRemoved:*",
    "s3:ObjectRemoved:Delete",
    "s3:ObjectRemoved:DeleteMarkerCreated",
];
/// Kinds of events that S3 has beside [`EVENTS`].
const OTHER_EVENTS: [&str; 9] = [
    "s3:IntelligentTiering",
    "s3:LifecycleExpiration:",
    "s3:LifecycleTransition",
    "s3:ObjectAcl:",
    "s3:ObjectAnnotation:",
    "s3:ObjectRestore:",
    "s3:ObjectTagging:",
    "s3:ReducedRedundancyLostObject",
    "s3:Replication:",
];
const CONFIGURATIONS_MAX: usize = 100;

pub(super) fn get(bucket: &Bucket) -> Answer {
    let root = "NotificationConfiguration";
    let mut document = Document::new(root);
    for notification in &bucket.notifications {
        document.open("QueueConfiguration").element("Id", &notification.id);
        document.element("Queue", &notification.queue_arn);
        for event in &notification.events {
            document.element("Event", event);
        }
        let rules = [("Prefix", &notification.prefix), ("Suffix", &notification.suffix)];
        if rules.iter().any(|(_, value)| !value.is_empty()) {
            document.open("Filter").open("S3Key");
            for (name, value) in rules.iter().filter(|(_, value)| !value.is_empty()) {
                document.open("FilterRule").element("Name", name).element("Value", value);
                document.close("FilterRule");
            }
            document.close("S3Key").close("Filter");
        }
        document.close("QueueConfiguration");
    }
    Ok(xml(document, root))
}

pub(super) async fn put(ask: &Ask, bucket: &Bucket, document: &[u8]) -> Answer {
    let notifications = read(document)?;
    check_overlaps(&notifications)?;
    let skips = ask.header("x-amz-skip-destination-validation");
    let skips = skips.is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let mut told = HashMap::new();
    for notification in &notifications {
        match destination(ask, bucket, &notification.queue_arn) {
            Ok(queue) => drop(told.insert(queue.number, queue)),
            Err(error) if !skips || error.status != StatusCode::BAD_REQUEST => return Err(error),
            Err(_) => {}
        }
    }
    let announcer = Announcer::new(ask, bucket, "", Vec::new());
    ask.store()
        .set_notifications(&bucket.name, notifications, move |transaction, after| {
            told.values().try_for_each(|queue| announcer.test(transaction, after, queue))
        })
        .await
        .map_err(|error| refused(&error))?;
    Ok(empty(StatusCode::OK))
}

/// The queue, if it takes what S3 sends for this bucket.
fn destination(ask: &Ask, bucket: &Bucket, arn: &str) -> Result<Arc<Queue>, ApiError> {
    let unable = |why: &str| {
        let message = "Unable to validate the following destination configurations";
        invalid_argument(message, arn, why)
    };
    let name = QueueName::of_arn(arn, &ask.state.region);
    let name = name.ok_or_else(|| invalid_argument("The ARN is not well formed", "Queue", arn))?;
    let queue = ask.state.queues.find(&name);
    let queue = queue.ok_or_else(|| unable("The destination queue does not exist"))?;
    may_send(ask, bucket, &queue).map_err(|error| {
        let why = "Permissions on the destination queue do not allow S3 to publish notifications \
                   from this bucket";
        unable(why).because(error.reason().unwrap_or_default())
    })?;
    Ok(queue)
}

fn may_send(ask: &Ask, bucket: &Bucket, queue: &Queue) -> Result<(), ApiError> {
    let arn = format!("arn:aws:s3:::{}", bucket.name);
    let via =
        Via { service: "s3.amazonaws.com", source_arn: &arn, source_account: &bucket.account };
    via.may_send(&ask.state, &ask.call, queue)
}

/// Who is to be told what this request changes; `None` where nobody is. `creation` is the end of
/// the event's name for what it creates.
pub(super) fn announcer(ask: &Ask, bucket: &Bucket, creation: &'static str) -> Option<Announcer> {
    let open = bucket.notifications.iter().filter_map(|notification| {
        let name = QueueName::of_arn(&notification.queue_arn, &ask.state.region)?;
        let queue = ask.state.queues.find(&name)?;
        may_send(ask, bucket, &queue).ok()?;
        Some((notification.clone(), queue))
    });
    let open: Vec<_> = open.collect();
    (!open.is_empty()).then(|| Announcer::new(ask, bucket, creation, open))
}

impl Announcer {
    fn new(
        ask: &Ask,
        bucket: &Bucket,
        creation: &'static str,
        open: Vec<(Notification, Arc<Queue>)>,
    ) -> Announcer {
        let caller = &ask.call.caller;
        Announcer {
            bucket: bucket.name.clone(),
            bucket_owner: owner_id(&bucket.account),
            region: ask.state.region.clone(),
            principal: match caller.is_anonymous() {
                true => "Anonymous".to_owned(),
                false => format!("AWS:{}", caller.user_id),
            },
            source_ip: ask.call.source_ip.to_string(),
            request_id: ask.call.request_id.clone(),
            now_ms: ask.call.now_ms,
            creation,
            open,
            vault: ask.state.vault.clone(),
        }
    }
}

/// Reads the document; for fuzzing too.
pub(super) fn read(document: &[u8]) -> Result<Vec<Notification>, ApiError> {
    let root = Node::parse(document, "NotificationConfiguration")?;
    for (element, what) in [
        ("TopicConfiguration", "Notifying an SNS topic"),
        ("CloudFunctionConfiguration", "Notifying a Lambda function"),
        ("EventBridgeConfiguration", "Notifying EventBridge"),
    ] {
        if root.child(element).is_some() {
            return Err(ApiError::not_implemented(what));
        }
    }
    root.only(&["QueueConfiguration"])?;
    if root.children.len() > CONFIGURATIONS_MAX {
        return Err(invalid_argument("Too many configurations", "QueueConfiguration", ""));
    }
    let notifications: Vec<_> = root.children.iter().map(read_one).collect::<Result<_, _>>()?;
    let ids: HashSet<_> = notifications.iter().map(|notification| &notification.id).collect();
    match ids.len() == notifications.len() {
        true => Ok(notifications),
        false => {
            let message = "Same ID used for multiple configurations. IDs must be unique";
            Err(invalid_argument(message, "Id", ""))
        }
    }
}

fn read_one(node: &Node) -> Result<Notification, ApiError> {
    node.only(&["Id", "Queue", "Event", "Filter"])?;
    let queue_arn = node.text_of("Queue").map(str::trim).unwrap_or_default().to_owned();
    if queue_arn.is_empty() {
        return Err(malformed("a configuration without a queue"));
    }
    let events: Vec<String> = node.all("Event").map(|event| event.text.trim().to_owned()).collect();
    if events.is_empty() {
        return Err(malformed("a configuration without events"));
    }
    for event in &events {
        if OTHER_EVENTS.iter().any(|other| event.starts_with(other)) {
            return Err(ApiError::not_implemented(&format!("The event {event}")));
        }
        if !EVENTS.contains(&event.as_str()) {
            let message = "The event is not supported for notifications";
            return Err(invalid_argument(message, "Event", event));
        }
    }
    let (mut prefix, mut suffix) = (String::new(), String::new());
    if let Some(filter) = node.child("Filter") {
        filter.only(&["S3Key"])?;
        for key in filter.all("S3Key") {
            key.only(&["FilterRule"])?;
            for rule in key.all("FilterRule") {
                rule.only(&["Name", "Value"])?;
                let value = rule.text_of("Value").unwrap_or_default();
                let name = rule.text_of("Name").unwrap_or_default().trim().to_ascii_lowercase();
                let place = match name.as_str() {
                    "prefix" => &mut prefix,
                    "suffix" => &mut suffix,
                    other => {
                        let message = "filter rule name must be either prefix or suffix";
                        return Err(invalid_argument(message, "FilterRule.Name", other));
                    }
                };
                if !place.is_empty() {
                    let message = "Cannot specify more than one prefix or suffix rule in a filter.";
                    return Err(invalid_argument(message, "FilterRule", value));
                }
                value.clone_into(place);
            }
        }
    }
    let id = node.text_of("Id").map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned);
    let id = id.unwrap_or_else(crate::kms::new_uuid);
    Ok(Notification { id, queue_arn, events, prefix, suffix })
}

/// S3 delivers an event to one destination: two configurations may not both want it.
fn check_overlaps(notifications: &[Notification]) -> Result<(), ApiError> {
    let one_begins = |a: &str, b: &str| a.starts_with(b) || b.starts_with(a);
    let one_ends = |a: &str, b: &str| a.ends_with(b) || b.ends_with(a);
    let same_event = |a: &Notification, b: &Notification| {
        a.events.iter().any(|event| b.events.iter().any(|other| covers(event, other)))
    };
    for (index, a) in notifications.iter().enumerate() {
        let rest = notifications.iter().skip(index + 1);
        let mut overlapping = rest.filter(|b| {
            same_event(a, b) && one_begins(&a.prefix, &b.prefix) && one_ends(&a.suffix, &b.suffix)
        });
        if overlapping.next().is_some() {
            let message = "Configurations overlap. Configurations on the same bucket cannot share \
                           a common event type.";
            return Err(invalid_argument(message, "Id", &a.id));
        }
    }
    Ok(())
}

/// Whether two names of events have an event in common.
fn covers(a: &str, b: &str) -> bool {
    let stem = |event: &str| event.strip_suffix('*').map(str::to_owned);
    a == b
        || stem(a).is_some_and(|stem| b.starts_with(&stem))
        || stem(b).is_some_and(|stem| a.starts_with(&stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(inner: &str) -> String {
        format!("<NotificationConfiguration>{inner}</NotificationConfiguration>")
    }

    fn queue(inner: &str) -> String {
        format!("<QueueConfiguration><Queue>q</Queue>{inner}</QueueConfiguration>")
    }

    #[test]
    fn configurations_are_read() {
        let text = document(&queue(
            "<Event>s3:ObjectCreated:*</Event><Filter><S3Key><FilterRule><Name>Prefix</Name>\
             <Value>in/</Value></FilterRule><FilterRule><Name>suffix</Name><Value>.dcm</Value>\
             </FilterRule></S3Key></Filter>",
        ));
        let [one] = read(text.as_bytes()).expect("parses").try_into().expect("one");
        let Notification { id, queue_arn, events, prefix, suffix } = one;
        assert!(!id.is_empty());
        assert_eq!((queue_arn.as_str(), prefix.as_str(), suffix.as_str()), ("q", "in/", ".dcm"));
        assert_eq!(events, ["s3:ObjectCreated:*"]);
        assert!(read(document("").as_bytes()).expect("parses").is_empty());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let put = "<Event>s3:ObjectCreated:Put</Event>";
        let rule = |name: &str| {
            let rule = format!("<FilterRule><Name>{name}</Name><Value>v</Value></FilterRule>");
            queue(&format!("{put}<Filter><S3Key>{rule}{rule}</S3Key></Filter>"))
        };
        for (inner, code) in [
            ("<TopicConfiguration/>".to_owned(), "NotImplemented"),
            ("<CloudFunctionConfiguration/>".to_owned(), "NotImplemented"),
            ("<EventBridgeConfiguration/>".to_owned(), "NotImplemented"),
            (queue("<Event>s3:ObjectTagging:Put</Event>"), "NotImplemented"),
            (queue("<Event>s3:ObjectCreated:put</Event>"), "InvalidArgument"),
            (queue(""), "MalformedXML"),
            (queue("<Evnt>s3:ObjectCreated:Put</Evnt>"), "MalformedXML"),
            (
                "<QueueConfiguration><Event>x</Event></QueueConfiguration>".to_owned(),
                "MalformedXML",
            ),
            (rule("prefix"), "InvalidArgument"),
            (rule("regex"), "InvalidArgument"),
            (queue(&format!("<Id>a</Id>{put}")).repeat(2), "InvalidArgument"),
            (queue(put).repeat(101), "InvalidArgument"),
        ] {
            let found = read(document(&inner).as_bytes()).map_err(|error| error.code);
            assert_eq!(found.err().as_deref(), Some(code), "{inner:.80}");
        }
    }

    #[test]
    fn overlaps_are_seen() {
        let one = |event: &str, prefix: &str, suffix: &str| Notification {
            id: String::new(),
            queue_arn: String::new(),
            events: vec![format!("s3:{event}")],
            prefix: prefix.to_owned(),
            suffix: suffix.to_owned(),
        };
        let put = "ObjectCreated:Put";
        for (a, b, overlap) in [
            (one(put, "", ""), one(put, "a/", ""), true),
            (one(put, "a/", ""), one(put, "b/", ""), false),
            (one(put, "a/", ".x"), one("ObjectCreated:*", "a/b", ""), true),
            (one(put, "a/", ".x"), one(put, "a/", ".y"), false),
            (one(put, "", ""), one("ObjectRemoved:*", "", ""), false),
        ] {
            let found = check_overlaps(&[a.clone(), b.clone()]).is_err();
            assert_eq!(found, overlap, "{a:?} {b:?}");
        }
    }
}
