//! Records and acknowledgements, fetched and judged: whose they are, and of what.

use super::object;
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::retrying;
use crate::letter::{check_signer_lived, signed_by};
use crate::office::Office;
use consign_model::{
    ACKNOWLEDGEMENT_BYTES_MAX, ACKNOWLEDGEMENT_NAMESPACE, ACKNOWLEDGEMENTS, Acknowledgement,
    DELIVERIES, DELIVERY_BYTES_MAX, DELIVERY_NAMESPACE, DeliveryId, DeliveryRecord, Digest, Inbox,
    Party, PartyName,
};

/// An armored signature by an Ed25519 key has some 300 bytes.
const SIGNATURE_BYTES_MAX: usize = 16 << 10;

/// A record that the publisher signed, of this inbox.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) id: DeliveryId,
    pub(super) content: DeliveryRecord,
    /// BLAKE3 of its bytes.
    pub(super) digest: Digest,
}

/// The record of a delivery; the error says why it does not count.
pub(super) async fn record(office: &Office, inbox: &Inbox, id: DeliveryId) -> Result<Record> {
    let bytes = whole(office, inbox, &id.record_key(&inbox.prefix), DELIVERY_BYTES_MAX).await?;
    let signature_key = id.signature_key(&inbox.prefix, &bytes);
    let signature = signature(office, inbox, &signature_key, "record").await?;
    let publisher = party(office, &inbox.publisher)?;
    let what = "the record";
    let signer = signed_by(publisher, DELIVERY_NAMESPACE, &bytes, &signature, what)?;
    let content = DeliveryRecord::parse(&bytes)
        .map_err(|error| Error::new(ErrorKind::Manifest, "the record is refused").because(error))?;
    check_signer_lived(publisher, &signer, content.recorded.date(), what)?;
    check_address(office, inbox, &id, &content)?;
    Ok(Record { id, content, digest: Digest::of(&bytes) })
}

fn check_address(
    office: &Office,
    inbox: &Inbox,
    id: &DeliveryId,
    record: &DeliveryRecord,
) -> Result<()> {
    of_this_exchange(office, &record.exchange)?;
    if record.inbox != inbox.name || record.target.bucket != inbox.bucket.as_ref() {
        let message = format!("the record is of another inbox, `{}`", record.inbox);
        return Err(Error::new(ErrorKind::Misaddressed, message));
    }
    if record.publisher != inbox.publisher {
        let message = format!("the record is of `{}`, who does not deliver here", record.publisher);
        return Err(Error::new(ErrorKind::Misaddressed, message));
    }
    if record.id() != *id {
        let message = "the record lies under the name of another delivery";
        return Err(Error::new(ErrorKind::Misaddressed, message));
    }
    let below = record.target.key.strip_prefix(inbox.prefix.as_str());
    let reserved = |key: &str| key.starts_with(DELIVERIES) || key.starts_with(ACKNOWLEDGEMENTS);
    match below.is_some_and(|key| !key.is_empty() && !reserved(key)) {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::Misaddressed,
            "the record names a target that is no place for deliveries",
        )),
    }
}

/// The acknowledgement of a delivery, with what it must be about if that is known; the error says why it
/// does not count.
pub(super) async fn acknowledgement(
    office: &Office,
    inbox: &Inbox,
    id: DeliveryId,
    record: Option<Digest>,
) -> Result<Acknowledgement> {
    let key = id.acknowledgement_key(&inbox.prefix);
    let bytes = whole(office, inbox, &key, ACKNOWLEDGEMENT_BYTES_MAX).await?;
    let signature_key = Acknowledgement::signature_key(&id, &inbox.prefix, &bytes);
    let signature = signature(office, inbox, &signature_key, "acknowledgement").await?;
    // Who it says that it is of decides by whose keys it is judged; nothing else is believed yet.
    let claimed = Acknowledgement::parse(&bytes).map_err(|error| {
        Error::new(ErrorKind::Manifest, "the acknowledgement is refused").because(error)
    })?;
    if !inbox.consumers.contains(&claimed.party) {
        let message = format!("it is of `{}`, who is no consumer here", claimed.party);
        return Err(Error::new(ErrorKind::Misaddressed, message));
    }
    let consumer = party(office, &claimed.party)?;
    let what = "the acknowledgement";
    let signer = signed_by(consumer, ACKNOWLEDGEMENT_NAMESPACE, &bytes, &signature, what)?;
    check_signer_lived(consumer, &signer, claimed.acknowledged.date(), what)?;
    of_this_exchange(office, &claimed.exchange)?;
    let of_this = claimed.inbox == inbox.name && claimed.delivery == id;
    if !of_this || record.is_some_and(|record| record != claimed.record) {
        let message = "the acknowledgement is of another delivery";
        return Err(Error::new(ErrorKind::Misaddressed, message));
    }
    Ok(claimed)
}

fn of_this_exchange(office: &Office, exchange: &consign_model::ExchangeName) -> Result<()> {
    if *exchange == office.exchange.name {
        return Ok(());
    }
    let message = format!("it is of exchange `{exchange}`, not of `{}`", office.exchange.name);
    Err(Error::new(ErrorKind::Misaddressed, message))
}

fn party<'a>(office: &'a Office, name: &PartyName) -> Result<&'a Party> {
    let missing = || Error::new(ErrorKind::Bug, format!("the exchange has no party `{name}`"));
    office.exchange.party(name).ok_or_else(missing)
}

async fn whole(
    office: &Office,
    inbox: &Inbox,
    key: &str,
    bytes_max: usize,
) -> Result<bytes::Bytes> {
    let wanted = object(office, inbox, key, None);
    let s3 = office.cloud.s3();
    let (bytes, _) = retrying(office, || s3.get_object_bytes(&wanted, bytes_max)).await?;
    Ok(bytes)
}

async fn signature(office: &Office, inbox: &Inbox, key: &str, what: &str) -> Result<bytes::Bytes> {
    whole(office, inbox, key, SIGNATURE_BYTES_MAX).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            let message = format!("the {what} has no signature beside it");
            Error::new(ErrorKind::Signature, message)
        }
        _ => error,
    })
}
