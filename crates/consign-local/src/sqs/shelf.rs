//! Messages as they lie in the database, and what one transaction does to them.
//!
//! A message lies under (queue, when it may be seen, sequence): receiving takes rows from the front
//! of a queue, hiding a message moves its row to a later time, and nothing has to wake up for it to
//! be seen again. A second table says under which time a message lies, for those who hold a handle.
//! Bodies are sealed under the root's master key.

use std::ops::Bound;

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::records::{Handle, Queue, QueueName};
use crate::kms::new_uuid;
use crate::s3::store::{OrStorage, StoreError, from_json, next_number, to_json};
use crate::vault::Vault;

type Result<T> = std::result::Result<T, StoreError>;

/// `ACCOUNT/NAME` → [`Queue`].
const QUEUES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("sqs.queues");
/// (queue, visible from, sequence) → [`Message`].
const MESSAGES: TableDefinition<'_, Place, &[u8]> = TableDefinition::new("sqs.messages");
/// (queue, sequence) → visible from.
const PLACES: TableDefinition<'_, (u64, u64), u64> = TableDefinition::new("sqs.places");

/// One receive looks at no more rows than this, of which some turn out to be past their time.
const ROWS_MAX: usize = 1000;

/// Queue, visible from, sequence.
type Place = (u64, u64, u64);

/// A message as it lies here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Message {
    /// A random UUID; kept when the message moves to a dead-letter queue.
    pub(crate) id: String,
    /// A vault box of the body, bound to the id.
    #[serde(with = "crate::vault::as_base64")]
    pub(crate) sealed: Vec<u8>,
    /// Of the body, hex.
    pub(crate) md5: String,
    /// Unique id of who sent it.
    pub(crate) sender: String,
    pub(crate) sent_ms: u64,
    pub(crate) first_received_ms: Option<u64>,
    pub(crate) receives: u32,
    /// The latest receipt.
    pub(crate) receipt: Option<String>,
    /// ARN of the queue it came from, in a dead-letter queue.
    pub(crate) source: Option<String>,
}

impl Message {
    /// A new message with its body sealed.
    pub(crate) fn new(vault: &Vault, body: &str, sender: &str, sent_ms: u64) -> Message {
        use md5::Digest as _;
        let id = new_uuid();
        Message {
            sealed: vault.seal("sqs-message", id.as_bytes(), body.as_bytes()),
            md5: hex::encode(md5::Md5::digest(body.as_bytes())),
            id,
            sender: sender.to_owned(),
            sent_ms,
            first_received_ms: None,
            receives: 0,
            receipt: None,
            source: None,
        }
    }

    /// The body in the clear; `None` for a damaged file.
    pub(crate) fn body(&self, vault: &Vault) -> Option<String> {
        let body = vault.open("sqs-message", self.id.as_bytes(), &self.sealed).ok()?;
        String::from_utf8(body.to_vec()).ok()
    }
}

/// How many messages a queue holds, by what can be done with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) visible: u64,
    /// Received and not yet deleted.
    pub(crate) in_flight: u64,
    /// Sent with a delay that is not over.
    pub(crate) delayed: u64,
}

/// What a handle could not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotInFlight {
    /// The message is gone, or was received again since.
    Stale,
    /// Its visibility timeout is over.
    Visible,
}

/// Makes the tables and reads the queues.
pub(crate) fn recover(transaction: &WriteTransaction) -> Result<Vec<Queue>> {
    transaction.open_table(MESSAGES).or_storage()?;
    transaction.open_table(PLACES).or_storage()?;
    let table = transaction.open_table(QUEUES).or_storage()?;
    let mut queues = Vec::new();
    for row in table.iter().or_storage()? {
        queues.push(from_json(row.or_storage()?.1.value())?);
    }
    Ok(queues)
}

/// A queue as the transaction sees it.
pub(crate) fn queue_in(transaction: &WriteTransaction, name: &QueueName) -> Result<Option<Queue>> {
    let table = transaction.open_table(QUEUES).or_storage()?;
    let row = table.get(name.key().as_str()).or_storage()?;
    row.map(|row| from_json(row.value())).transpose()
}

/// Writes a queue's row; a new queue gets its number.
pub(crate) fn put_queue(transaction: &WriteTransaction, mut queue: Queue) -> Result<Queue> {
    if queue.number == 0 {
        queue.number = next_number(transaction, "queue")?;
    }
    let mut table = transaction.open_table(QUEUES).or_storage()?;
    table.insert(queue.id().key().as_str(), to_json(&queue)?.as_slice()).or_storage()?;
    Ok(queue)
}

/// Removes a queue with its messages.
pub(crate) fn delete_queue(transaction: &WriteTransaction, queue: &Queue) -> Result<()> {
    purge(transaction, queue.number)?;
    let mut table = transaction.open_table(QUEUES).or_storage()?;
    table.remove(queue.id().key().as_str()).or_storage()?;
    Ok(())
}

/// Removes all messages of a queue.
pub(crate) fn purge(transaction: &WriteTransaction, queue: u64) -> Result<()> {
    let mut messages = transaction.open_table(MESSAGES).or_storage()?;
    let rows = (queue, 0, 0)..=(queue, u64::MAX, u64::MAX);
    messages.retain_in::<Place, _>(rows, |_, _| false).or_storage()?;
    let mut places = transaction.open_table(PLACES).or_storage()?;
    let rows = (queue, 0)..=(queue, u64::MAX);
    places.retain_in::<(u64, u64), _>(rows, |_, _| false).or_storage()
}

/// Adds a message, hidden for `delay_seconds` or as long as the queue has it. False: the queue is
/// gone, and nothing was done.
pub(crate) fn send(
    transaction: &WriteTransaction,
    queue: &Queue,
    message: &Message,
    now_ms: u64,
    delay_seconds: Option<u64>,
) -> Result<bool> {
    // Who sends looked at the queue before this transaction.
    let there = queue_in(transaction, &queue.id())?;
    let Some(there) = there.filter(|there| there.number == queue.number) else {
        return Ok(false);
    };
    let delay_seconds = delay_seconds.unwrap_or_else(|| there.number_of("DelaySeconds"));
    append(transaction, queue.number, message, now_ms + delay_seconds * 1000)?;
    Ok(true)
}

fn append(
    transaction: &WriteTransaction,
    queue: u64,
    message: &Message,
    visible_ms: u64,
) -> Result<()> {
    let sequence = next_number(transaction, "message")?;
    insert(transaction, (queue, visible_ms, sequence), message)
}

fn insert(transaction: &WriteTransaction, place: Place, message: &Message) -> Result<()> {
    let mut messages = transaction.open_table(MESSAGES).or_storage()?;
    messages.insert(place, to_json(message)?.as_slice()).or_storage()?;
    let mut places = transaction.open_table(PLACES).or_storage()?;
    places.insert((place.0, place.2), place.1).or_storage()?;
    Ok(())
}

fn remove(transaction: &WriteTransaction, place: Place) -> Result<()> {
    let mut messages = transaction.open_table(MESSAGES).or_storage()?;
    messages.remove(place).or_storage()?;
    let mut places = transaction.open_table(PLACES).or_storage()?;
    places.remove((place.0, place.2)).or_storage()?;
    Ok(())
}

/// Whether a receive would look at anything.
pub(crate) fn has_visible(transaction: &ReadTransaction, queue: u64, now_ms: u64) -> Result<bool> {
    let table = transaction.open_table(MESSAGES).or_storage()?;
    let rows = (queue, 0, 0)..=(queue, now_ms, u64::MAX);
    Ok(table.range(rows).or_storage()?.next().is_some())
}

/// Takes up to `max` messages that may be seen, hides them until `hidden_ms`, and says by which
/// handle each can be deleted. What is past its time goes; what was received too often moves to
/// the dead-letter queue, with the time it was sent, as for all standard queues.
pub(crate) fn receive(
    transaction: &WriteTransaction,
    queue: &Queue,
    now_ms: u64,
    max: usize,
    hidden_ms: u64,
) -> Result<Vec<(Handle, Message)>> {
    let number = queue.number;
    let retention_ms = queue.number_of("MessageRetentionPeriod") * 1000;
    let redrive = queue.redrive();
    let dead_letters = match &redrive {
        Some(redrive) => match QueueName::of_arn(&redrive.target_arn, &queue.region) {
            Some(name) => queue_in(transaction, &name)?,
            None => None,
        },
        None => None,
    };
    let mut received: Vec<(Handle, Message)> = Vec::new();
    let mut after = (number, 0, 0);
    for _ in 0..ROWS_MAX {
        if received.len() == max {
            break;
        }
        let mut rows = front(transaction, after, now_ms, 1)?;
        let Some((place, mut message)) = rows.pop() else { break };
        after = place;
        if received.iter().any(|(handle, _)| handle.sequence == place.2) {
            // Hidden for no time at all, it may be seen again; not by this receive.
            continue;
        }
        if message.sent_ms.saturating_add(retention_ms) <= now_ms {
            remove(transaction, place)?;
            continue;
        }
        if let (Some(redrive), Some(dead)) = (&redrive, &dead_letters)
            && message.receives >= redrive.receives_max
        {
            remove(transaction, place)?;
            message.source = Some(queue.arn());
            (message.receives, message.receipt, message.first_received_ms) = (0, None, None);
            append(transaction, dead.number, &message, now_ms)?;
            continue;
        }
        remove(transaction, place)?;
        let mut random = [0; 16];
        crate::vault::fill(&mut random);
        let receipt = hex::encode(random);
        message.receives = message.receives.saturating_add(1);
        message.first_received_ms.get_or_insert(now_ms);
        message.receipt = Some(receipt.clone());
        insert(transaction, (number, hidden_ms, place.2), &message)?;
        received.push((Handle { queue: number, sequence: place.2, receipt }, message));
    }
    Ok(received)
}

/// The next rows of a queue, behind a place.
fn front(
    transaction: &WriteTransaction,
    after: Place,
    now_ms: u64,
    max: usize,
) -> Result<Vec<(Place, Message)>> {
    let table = transaction.open_table(MESSAGES).or_storage()?;
    let rows = (Bound::Excluded(after), Bound::Included((after.0, now_ms, u64::MAX)));
    let mut found = Vec::new();
    for row in table.range::<Place>(rows).or_storage()?.take(max) {
        let (at, row) = row.or_storage()?;
        found.push((at.value(), from_json(row.value())?));
    }
    Ok(found)
}

fn held(transaction: &WriteTransaction, handle: &Handle) -> Result<Option<(Place, Message)>> {
    let places = transaction.open_table(PLACES).or_storage()?;
    let Some(visible_ms) = places.get((handle.queue, handle.sequence)).or_storage()? else {
        return Ok(None);
    };
    let place = (handle.queue, visible_ms.value(), handle.sequence);
    let messages = transaction.open_table(MESSAGES).or_storage()?;
    let Some(row) = messages.get(place).or_storage()? else { return Ok(None) };
    let message: Message = from_json(row.value())?;
    let is_latest = message.receipt.as_ref() == Some(&handle.receipt);
    Ok(is_latest.then_some((place, message)))
}

/// Deletes the message, if `handle` is its latest receipt; says whether it did. SQS answers both
/// alike.
pub(crate) fn delete(transaction: &WriteTransaction, handle: &Handle) -> Result<bool> {
    match held(transaction, handle)? {
        Some((place, _)) => remove(transaction, place).map(|()| true),
        None => Ok(false),
    }
}

/// Hides the message until `hidden_ms` instead of what it was.
pub(crate) fn hide(
    transaction: &WriteTransaction,
    handle: &Handle,
    now_ms: u64,
    hidden_ms: u64,
) -> Result<std::result::Result<(), NotInFlight>> {
    let Some((place, message)) = held(transaction, handle)? else {
        return Ok(Err(NotInFlight::Stale));
    };
    if place.1 <= now_ms {
        return Ok(Err(NotInFlight::Visible));
    }
    remove(transaction, place)?;
    insert(transaction, (place.0, hidden_ms, place.2), &message)?;
    Ok(Ok(()))
}

/// Counts the messages of a queue, in its length.
pub(crate) fn counts(transaction: &ReadTransaction, queue: u64, now_ms: u64) -> Result<Counts> {
    let table = transaction.open_table(MESSAGES).or_storage()?;
    let mut counts = Counts::default();
    for row in table.range((queue, 0, 0)..=(queue, u64::MAX, u64::MAX)).or_storage()? {
        let (at, row) = row.or_storage()?;
        if at.value().1 <= now_ms {
            counts.visible += 1;
        } else if from_json::<Message>(row.value())?.receipt.is_some() {
            counts.in_flight += 1;
        } else {
            counts.delayed += 1;
        }
    }
    Ok(counts)
}

/// Moves what can be seen in a dead-letter queue to `to`, or else to where each message came from;
/// what has nowhere to go stays. Returns how many moved and how many stayed.
pub(crate) fn move_back(
    transaction: &WriteTransaction,
    from: &Queue,
    to: Option<&QueueName>,
    now_ms: u64,
) -> Result<(u64, u64)> {
    let (mut moved, mut stayed) = (0, 0);
    for (place, mut message) in front(transaction, (from.number, 0, 0), now_ms, usize::MAX)? {
        let source = message.source.as_deref();
        let source = source.and_then(|arn| QueueName::of_arn(arn, &from.region));
        let target = match to.cloned().or(source) {
            Some(name) => queue_in(transaction, &name)?,
            None => None,
        };
        let Some(target) = target.filter(|target| target.number != from.number) else {
            stayed += 1;
            continue;
        };
        remove(transaction, place)?;
        // A moved message is a new one: its retention begins again.
        message.source = None;
        message.sent_ms = now_ms;
        (message.receives, message.receipt, message.first_received_ms) = (0, None, None);
        append(transaction, target.number, &message, now_ms)?;
        moved += 1;
    }
    Ok((moved, stayed))
}
