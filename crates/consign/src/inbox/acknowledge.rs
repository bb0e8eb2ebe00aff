//! Saying what was fetched, and reading what was said.

use super::look::{Delivery, sentence};
use super::record::acknowledgement;
use super::{Standing, entries, find, for_each, must_be, owner};
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::retrying;
use crate::letter::live_signer;
use crate::office::Office;
use consign_cloud::s3::{Encryption, PutObject};
use consign_model::{
    ACKNOWLEDGEMENT_FORMAT, ACKNOWLEDGEMENT_NAMESPACE, Acknowledgement, DeliveryId, Inbox,
    InboxName,
};
use consign_seal::sshsig;

/// What came of acknowledging one delivery.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Acknowledged {
    /// Which.
    pub id: DeliveryId,
    /// Its key.
    pub key: String,
    /// Whether it was acknowledged before.
    pub already: bool,
}

/// A delivery as its publisher knows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// Which.
    pub id: DeliveryId,
    /// Whether it was acknowledged.
    pub standing: AnswerStanding,
}

/// What a publisher hears of a delivery.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AnswerStanding {
    /// Nobody has said anything.
    Waiting,
    /// A consumer has signed that it was fetched.
    Acknowledged(Acknowledgement),
    /// There is an acknowledgement that does not count, and why.
    Refused(String),
}

/// Signs that each of these was fetched. Those that are not [`Standing::Delivered`] are refused before
/// anything is said. Stopped anywhere, the same call goes on: what was said is not said twice.
///
/// # Errors
/// [`ErrorKind::Configuration`] where we are no consumer, or our signer is not the exchange file's.
pub async fn acknowledge(
    office: &Office,
    inbox: &InboxName,
    deliveries: &[Delivery],
) -> Result<Vec<Acknowledged>> {
    let inbox = find(office, inbox)?;
    must_be(office, inbox, &inbox.consumers.iter().collect::<Vec<_>>(), "read")?;
    live_signer(&office.exchange, &office.me, &office.keys, office.today())?;
    let wrong = deliveries
        .iter()
        .find(|it| !matches!(it.standing, Standing::Delivered | Standing::Acknowledged));
    if let Some(wrong) = wrong {
        let message = format!("`{}` is not to be acknowledged: it is not as delivered", wrong.key);
        let why = wrong.why.clone().unwrap_or_else(|| "see its standing".to_owned());
        return Err(Error::new(ErrorKind::Content, message)
            .because(why)
            .hinting(format!("consign inbox list --inbox {} --as {}", inbox.name, office.me)));
    }
    let said = for_each(deliveries.to_vec(), |delivery| {
        let (office, inbox) = (office.clone(), inbox.clone());
        async move { say(&office, &inbox, &delivery).await }
    });
    said.await
}

async fn say(office: &Office, inbox: &Inbox, delivery: &Delivery) -> Result<Acknowledged> {
    let known = delivery.id.zip(delivery.record_digest);
    let (id, record) = known.ok_or_else(|| {
        Error::new(ErrorKind::Content, format!("`{}` has no record", delivery.key))
    })?;
    let done = |already| Acknowledged { id, key: delivery.key.clone(), already };
    if delivery.standing == Standing::Acknowledged {
        return Ok(done(true));
    }
    let acknowledgement = Acknowledgement {
        format: ACKNOWLEDGEMENT_FORMAT.to_owned(),
        exchange: office.exchange.name.clone(),
        inbox: inbox.name.clone(),
        delivery: id,
        record,
        party: office.me.clone(),
        acknowledged: office.now(),
    };
    let bytes = acknowledgement.to_bytes();
    let signer = live_signer(&office.exchange, &office.me, &office.keys, office.today())?;
    let signature = sshsig::sign(signer, ACKNOWLEDGEMENT_NAMESPACE, &bytes)?;
    // Signature first: whoever finds an acknowledgement finds what signs it.
    let key = Acknowledgement::signature_key(&id, &inbox.prefix, &bytes);
    put(office, inbox, key, signature.into_bytes()).await?;
    let new = put(office, inbox, id.acknowledgement_key(&inbox.prefix), bytes).await?;
    if !new {
        // Another consumer was faster, or we were before we were stopped. If what lies there does not
        // count, nobody can say it any more, and that must be known.
        super::record::acknowledgement(office, inbox, id, Some(record)).await.map_err(|error| {
            error.during(&format!("`{}` has an acknowledgement that does not count", delivery.key))
        })?;
    }
    Ok(done(!new))
}

/// Puts what is not there yet, encrypted by S3 itself; says whether it was not there.
async fn put(office: &Office, inbox: &Inbox, key: String, bytes: Vec<u8>) -> Result<bool> {
    let put = || PutObject {
        bucket: inbox.bucket.to_string(),
        key: key.clone(),
        body: bytes.clone().into(),
        if_none_match: true,
        expected_bucket_owner: owner(office, inbox),
        encryption: Some(Encryption::SseS3),
        ..PutObject::default()
    };
    let put = retrying(office, || office.cloud.s3().put_object(put())).await;
    match put {
        Ok(_) => Ok(true),
        Err(error) if is_there_already(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_there_already(error: &Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(one) = cause {
        let of_cloud = one.downcast_ref::<consign_cloud::Error>();
        if of_cloud.is_some_and(|it| it.kind() == consign_cloud::ErrorKind::PreconditionFailed) {
            return true;
        }
        cause = one.source();
    }
    false
}

/// What consumers have said, delivery by delivery: for the publisher, who sees names and
/// acknowledgements of an inbox and nothing else; and for its consumers.
///
/// # Errors
/// What concerns all of it. An acknowledgement that does not count is [`AnswerStanding::Refused`].
pub async fn acknowledgements(office: &Office, inbox: &InboxName) -> Result<Vec<Answer>> {
    let inbox = find(office, inbox)?;
    let parties: Vec<_> = inbox.consumers.iter().chain([&inbox.publisher]).collect();
    must_be(office, inbox, &parties, "acknowledged")?;
    let records = format!("{}{}", inbox.prefix, consign_model::DELIVERIES);
    let delivered = entries(office, inbox, &records).await?;
    let delivered =
        delivered.iter().filter_map(|it| DeliveryId::of_record_key(&inbox.prefix, &it.key));
    let said = format!("{}{}", inbox.prefix, consign_model::ACKNOWLEDGEMENTS);
    let said = entries(office, inbox, &said).await?;
    let said: std::collections::BTreeSet<DeliveryId> = said
        .iter()
        .filter_map(|it| DeliveryId::of_acknowledgement_key(&inbox.prefix, &it.key))
        .collect();
    let ids: std::collections::BTreeSet<DeliveryId> =
        delivered.chain(said.iter().copied()).collect();
    let answers = for_each(ids.into_iter().collect(), |id| {
        let (office, inbox, said) = (office.clone(), inbox.clone(), said.contains(&id));
        async move {
            if !said {
                return Ok(Answer { id, standing: AnswerStanding::Waiting });
            }
            let standing = match acknowledgement(&office, &inbox, id, None).await {
                Ok(said) => AnswerStanding::Acknowledged(said),
                Err(error) if error.kind() == ErrorKind::Cloud => return Err(error),
                Err(error) => AnswerStanding::Refused(sentence(&error)),
            };
            Ok(Answer { id, standing })
        }
    });
    answers.await
}
