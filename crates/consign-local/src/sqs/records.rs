//! Queues by name, what they remember, and the names and handles by which clients mean them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use super::redrive::RedrivePolicy;
use crate::policy::{Policy, PolicyKind};

/// Account and name: what an ARN and a URL of a queue have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct QueueName {
    /// Twelve digits.
    pub(crate) account: String,
    pub(crate) name: String,
}

impl QueueName {
    /// Of `arn:aws:sqs:REGION:ACCOUNT:NAME`; `None` for another region or anything else.
    pub(crate) fn of_arn(arn: &str, region: &str) -> Option<QueueName> {
        let fields: Vec<&str> = arn.split(':').collect();
        let &["arn", "aws", "sqs", of, account, name] = fields.as_slice() else { return None };
        let parsed = QueueName { account: account.to_owned(), name: name.to_owned() };
        (of == region && parsed.is_sound()).then_some(parsed)
    }

    /// Of `https://ANY-HOST/ACCOUNT/NAME`, or of the path alone. Behind which name this cloud was
    /// reached says nothing about the queue.
    pub(crate) fn of_url(url: &str) -> Option<QueueName> {
        let path = url.split_once("://").map_or(url, |(_, rest)| rest);
        let mut fields = path.rsplit('/');
        let (name, account) = (fields.next()?, fields.next()?);
        let parsed = QueueName { account: account.to_owned(), name: name.to_owned() };
        parsed.is_sound().then_some(parsed)
    }

    /// The key of the queue in the database.
    pub(crate) fn key(&self) -> String {
        format!("{}/{}", self.account, self.name)
    }

    fn is_sound(&self) -> bool {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        self.account.len() == 12 && digits(&self.account) && is_queue_name(&self.name)
    }
}

/// SQS's rule for names of standard queues.
pub(super) fn is_queue_name(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=80).contains(&name.len()) && name.bytes().all(sound)
}

/// A queue with all that is set on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Queue {
    pub(crate) account: String,
    pub(crate) name: String,
    pub(crate) region: String,
    /// Names the messages' rows. A queue made again under an old name has another.
    pub(crate) number: u64,
    pub(crate) created_ms: u64,
    pub(crate) modified_ms: u64,
    /// What was set, as it was set; defaults are not written down.
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) tags: BTreeMap<String, String>,
    #[serde(skip)]
    pub(super) policy_cache: OnceLock<Option<Vec<Policy>>>,
}

impl Queue {
    pub(crate) fn id(&self) -> QueueName {
        QueueName { account: self.account.clone(), name: self.name.clone() }
    }

    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:sqs:{}:{}:{}", self.region, self.account, self.name)
    }

    /// The queue policy. `None` for one that does not parse, which the check when it was set
    /// should have prevented: what it denied is unknown, so everything is.
    pub(crate) fn policies(&self) -> Option<&[Policy]> {
        let parsed = self.policy_cache.get_or_init(|| match self.attributes.get("Policy") {
            None => Some(Vec::new()),
            Some(text) => {
                Policy::parse_as(PolicyKind::Resource, text).ok().map(|policy| vec![policy])
            }
        });
        parsed.as_deref()
    }

    /// A numeric attribute, in the unit of its name.
    pub(super) fn number_of(&self, name: &str) -> u64 {
        let set = self.attributes.get(name).and_then(|text| text.parse().ok());
        set.or_else(|| super::attributes::default_of(name)).unwrap_or_default()
    }

    /// Where messages go that were received too often.
    pub(super) fn redrive(&self) -> Option<RedrivePolicy> {
        RedrivePolicy::parse(self.attributes.get("RedrivePolicy")?).ok()
    }
}

/// What a client holds to delete the message it received: queue, message and which receipt of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) queue: u64,
    pub(crate) sequence: u64,
    /// Random, hex: only the latest receipt of a message deletes it.
    pub(crate) receipt: String,
}

impl Handle {
    pub(crate) fn parse(text: &str) -> Option<Handle> {
        if text.len() > 1024 {
            return None;
        }
        let text = String::from_utf8(BASE64.decode(text).ok()?).ok()?;
        let mut fields = text.split(':');
        let mut number = || fields.next()?.parse().ok();
        let (queue, sequence) = (number()?, number()?);
        let receipt = fields.next()?.to_owned();
        let handle = Handle { queue, sequence, receipt };
        (handle.receipt.len() == 32 && fields.next().is_none()).then_some(handle)
    }

    pub(crate) fn text(&self) -> String {
        BASE64.encode(format!("{}:{}:{}", self.queue, self.sequence, self.receipt))
    }
}

/// All queues, in memory; the database has the same.
#[derive(Clone, Debug, Default)]
pub struct Queues {
    all: Arc<RwLock<HashMap<QueueName, Arc<Queue>>>>,
}

impl Queues {
    pub(crate) fn new(queues: Vec<Queue>) -> Queues {
        let all = queues.into_iter().map(|queue| (queue.id(), Arc::new(queue))).collect();
        Queues { all: Arc::new(RwLock::new(all)) }
    }

    /// A queue as it is now.
    pub(crate) fn find(&self, name: &QueueName) -> Option<Arc<Queue>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The queues of an account, by name.
    pub(crate) fn of_account(&self, account: &str) -> Vec<Arc<Queue>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let mut own: Vec<_> =
            all.values().filter(|queue| queue.account == account).cloned().collect();
        own.sort_by(|a, b| a.name.cmp(&b.name));
        own
    }

    /// Follows a row of the database, in the order of its transactions.
    pub(super) fn put(&self, queue: Queue) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(queue.id(), Arc::new(queue));
    }

    /// Follows a row that went.
    pub(super) fn remove(&self, name: &QueueName) {
        self.all.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_arns_and_urls() {
        let name = QueueName { account: "111111111111".into(), name: "in-box_1".into() };
        let arn = "arn:aws:sqs:eu-west-1:111111111111:in-box_1";
        assert_eq!(QueueName::of_arn(arn, "eu-west-1"), Some(name.clone()));
        for url in ["https://127.0.0.1:1/111111111111/in-box_1", "/111111111111/in-box_1"] {
            assert_eq!(QueueName::of_url(url), Some(name.clone()), "{url}");
        }
        for hostile in [
            "",
            "/",
            "in-box_1",
            "https://h/1/in-box_1",
            "https://h/111111111111/",
            "https://h/111111111111/a.fifo",
            "https://h/11111111111é/a",
            "https://h/111111111111/../a",
            &format!("/111111111111/{}", "a".repeat(81)),
        ] {
            let found = QueueName::of_url(hostile);
            assert!(found.is_none(), "{hostile}: {found:?}");
        }
        for hostile in ["", arn.trim_end_matches("_1"), "arn:aws:sqs:eu-west-1:1:a", "arn:aws:sqs"]
        {
            let found = QueueName::of_arn(hostile, "us-east-1");
            assert!(found.is_none(), "{hostile}: {found:?}");
        }
    }

    #[test]
    fn handles_are_read_again_and_nothing_else_is() {
        let handle = Handle { queue: 3, sequence: u64::MAX, receipt: "0f".repeat(16) };
        assert_eq!(Handle::parse(&handle.text()), Some(handle.clone()));
        let encode = |text: &str| BASE64.encode(text);
        for hostile in [
            String::new(),
            "AQEB+/=".to_owned(),
            encode(""),
            encode("1:2"),
            encode("1:2:ff"),
            encode(&format!("-1:2:{}", handle.receipt)),
            encode(&format!("1:2:{}:3", handle.receipt)),
            encode(&format!("1:18446744073709551616:{}", handle.receipt)),
            "A".repeat(5000),
        ] {
            assert_eq!(Handle::parse(&hostile), None, "{hostile:.60}");
        }
    }
}
