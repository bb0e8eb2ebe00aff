//! The keys that seal objects on lanes with `keyring = "kms"`: KMS makes each for the sender and opens it
//! for the receivers, under the lane's own key and in an encryption context that names exchange, lane,
//! consignment and object.
//!
//! That context is never taken from what lies beside the object: the receiver says where the object
//! lies and what the signed manifest calls it, and KMS opens only what was wrapped for there. So an object
//! does not open on another lane, in another consignment or under another name, whoever moved it.

use crate::error::{Error, ErrorKind, Result};
use crate::fetch::retrying;
use crate::office::Office;
use crate::s3ec::{context_of, not_this_key};
use crate::seals::{FreshKey, Metadata, header};
use consign_model::{ConsignmentId, Lane};
use consign_seal::s3ec::{
    DataKey, ExpectedContext, KeyRequest, OpenPolicy, Pairs, Suite, WrappedKey, kms_context,
};

/// The lane's key by its alias: of another account, too, KMS finds it so.
fn kms_key(office: &Office, lane: &Lane) -> Result<String> {
    let owner = office
        .owner_of(lane)
        .ok_or_else(|| Error::new(ErrorKind::Bug, format!("lane `{}` has no owner", lane.name)))?;
    let (region, alias) = (&office.exchange.region, lane.key_alias(&office.exchange));
    Ok(format!("arn:aws:kms:{region}:{owner}:{alias}"))
}

/// A fresh key for one object.
pub(crate) async fn make(
    office: &Office,
    lane: &Lane,
    id: &ConsignmentId,
    name: &str,
    suite: Suite,
) -> Result<FreshKey> {
    let (key, context) = (kms_key(office, lane)?, context(office, lane, id, name));
    let asked = kms_context(suite, &context)?;
    let made = retrying(office, || office.cloud.kms().generate_data_key(&key, &asked)).await;
    let made = made.map_err(|error| refused(lane, &key, "make a key that seals", error))?;
    let wrapped = WrappedKey::from_kms(suite, made.wrapped, &context)?;
    Ok(FreshKey { key: DataKey::from_bytes(&made.plaintext)?, wrapped })
}

/// The key of the object that is `name` in a consignment, from what lies beside it.
pub(crate) async fn open(
    office: &Office,
    lane: &Lane,
    id: &ConsignmentId,
    name: &str,
    beside: &Metadata,
) -> Result<DataKey> {
    let header = header(beside)?;
    let context = ExpectedContext::Exactly(context(office, lane, id, name));
    let policy = OpenPolicy { context, ..OpenPolicy::default() };
    let admitted = header.admit(&policy)?;
    let KeyRequest::Kms { ciphertext, context } = admitted.wanted() else {
        let message =
            format!("the key of {name} is not wrapped by KMS, as lane `{}` does", lane.name);
        return Err(Error::new(ErrorKind::NotForUs, message));
    };
    let key = kms_key(office, lane)?;
    let kms = office.cloud.kms();
    let opened = retrying(office, || async {
        let opened = kms.decrypt(Some(&key), ciphertext, context).await;
        // What does not belong together is an answer about the object, not a failure to answer.
        opened.map(Ok).or_else(|error| not_this_key(&error).map(Err).ok_or(error))
    });
    let what = "open the key that seals an object";
    let opened = opened.await.map_err(|error| refused(lane, &key, what, error))?;
    Ok(DataKey::from_bytes(&opened?)?)
}

fn context(office: &Office, lane: &Lane, id: &ConsignmentId, name: &str) -> Pairs {
    context_of(office.exchange.name.as_str(), lane.name.as_str(), id.as_str(), name)
}

/// KMS was asked for what the lane declares, so what is missing is on its side or on ours.
fn refused(lane: &Lane, key: &str, what: &str, error: Error) -> Error {
    let (kind, hint) = match error.kind() {
        // Otherwise it would be taken for an object that is not there.
        ErrorKind::NotFound => (
            ErrorKind::Configuration,
            Some(format!("`consign plan` shows whether lane `{}` has its key", lane.name)),
        ),
        ErrorKind::Denied => (
            ErrorKind::Denied,
            Some(
                "the key policy and your identity policy must both allow it: `consign plan` shows \
                 what of the two is missing"
                    .to_owned(),
            ),
        ),
        kind => (kind, error.hint()),
    };
    let error = Error::new(kind, format!("KMS did not {what} with {key}")).because(error);
    match hint {
        Some(hint) => error.hinting(hint),
        None => error,
    }
}
