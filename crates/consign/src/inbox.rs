//! What lies in an inbox, for those who fetch it, and for those who delivered it.
//!
//! Start with [`deliveries`]: it brings together the objects of an inbox, the signed records of the
//! publisher and the acknowledgements of consumers, and says of each object what it is. [`fetch`]
//! takes what was delivered into a folder, [`acknowledge`] says so to the publisher, who reads it with
//! [`acknowledgements`]. [`unscanned`] and [`give_verdict`] are for a scanner.
//!
//! Nothing is believed because it lies there: a record counts if the publisher's pinned signer signed
//! its exact bytes, if it is of this exchange and inbox, and lies under the key that it must have; an
//! acknowledgement likewise, of a consumer. An object is *delivered* if such a record names its
//! version, size and checksum as S3 has them. What an inbox does not promise is said in
//! `docs/inbox.md`: its objects are not sealed.

mod acknowledge;
mod fetch;
mod landing;
mod look;
mod record;
mod scan;

pub use acknowledge::{Acknowledged, Answer, AnswerStanding, acknowledge, acknowledgements};
pub use fetch::{FetchOptions, Fetched, FetchedFile, NotFetched, fetch};
pub use look::{Delivery, Standing, deliveries};
pub use scan::{Unscanned, Verdict, give_verdict, read_unscanned, unscanned};

use crate::error::{Error, ErrorKind, Result};
use crate::fetch::retrying;
use crate::office::Office;
use consign_cloud::s3::{Entry, GetObject, ListRequest};
use consign_model::{Inbox, InboxName, PartyName};
use std::future::Future;
use tokio::task::JoinSet;

/// The tag by which a scanner says what it found, as GuardDuty does.
pub const VERDICT_TAG: &str = consign_model::VERDICT_TAG;
/// Its value on what may be read.
pub const VERDICT_CLEAN: &str = "NO_THREATS_FOUND";
/// Its value on what may not.
pub const VERDICT_INFECTED: &str = "THREATS_FOUND";

/// Requests under way at once: small ones, whose answers take a round trip each.
const AT_ONCE: usize = 16;

/// The inbox of this name.
fn find<'a>(office: &'a Office, name: &InboxName) -> Result<&'a Inbox> {
    office.exchange.inbox(name).ok_or_else(|| {
        let names: Vec<&str> = office.exchange.inboxes.keys().map(AsRef::as_ref).collect();
        Error::new(ErrorKind::Configuration, format!("the exchange has no inbox `{name}`"))
            .hinting(format!("its inboxes are: {}", names.join(", ")))
    })
}

/// That we are one of these on an inbox.
fn must_be(office: &Office, inbox: &Inbox, who: &[&PartyName], does: &str) -> Result<()> {
    if who.contains(&&office.me) {
        return Ok(());
    }
    if who.is_empty() {
        let message = format!("inbox `{}` is {does} by nobody", inbox.name);
        return Err(Error::new(ErrorKind::Configuration, message));
    }
    let names: Vec<String> = who.iter().map(|party| format!("`{party}`")).collect();
    let names = names.join(", ");
    let message = format!("inbox `{}` is {does} by {names}, not by `{}`", inbox.name, office.me);
    Err(Error::new(ErrorKind::Configuration, message).hinting("say who you are with --as PARTY"))
}

/// The account that must own the bucket: nobody else's bucket of that name will do.
fn owner(office: &Office, inbox: &Inbox) -> Option<String> {
    office.exchange.party(&inbox.owner).map(|owner| owner.account.to_string())
}

fn object(office: &Office, inbox: &Inbox, key: &str, version: Option<&str>) -> GetObject {
    GetObject {
        bucket: inbox.bucket.to_string(),
        key: key.to_owned(),
        version_id: version.map(str::to_owned),
        expected_bucket_owner: owner(office, inbox),
        ..GetObject::default()
    }
}

/// Everything under a prefix, in the order of keys.
async fn entries(office: &Office, inbox: &Inbox, prefix: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut token = None;
    loop {
        let list = ListRequest {
            bucket: inbox.bucket.to_string(),
            prefix: prefix.to_owned(),
            token,
            expected_bucket_owner: owner(office, inbox),
            ..ListRequest::default()
        };
        let page = retrying(office, || office.cloud.s3().list_objects(&list)).await?;
        entries.extend(page.entries);
        match page.next {
            Some(next) => token = Some(next),
            None => return Ok(entries),
        }
    }
}

/// Asks for each of these, some at once; the answers come in the order asked. Dropped, it stops asking.
async fn for_each<I, T, F>(items: Vec<I>, ask: impl Fn(I) -> F) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let mut under_way = JoinSet::new();
    let mut items = items.into_iter().enumerate();
    let mut answers = Vec::new();
    loop {
        while under_way.len() < AT_ONCE {
            let Some((at, item)) = items.next() else { break };
            let answer = ask(item);
            under_way.spawn(async move { (at, answer.await) });
        }
        let Some(done) = under_way.join_next().await else { break };
        let (at, answer) = done.map_err(crate::error::join)?;
        answers.push((at, answer?));
    }
    answers.sort_by_key(|(at, _)| *at);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}
