//! What S3 encrypts a lane's objects under, as far as it is ours to say.
//!
//! On most lanes it is not: the bucket's default encrypts, and a request that says nothing is
//! right. With `at_rest = "sse-c"` every request brings the key of its object. That key follows
//! from the lane's secret ([`consign_seal::shared_secret`]), which the parties of the lane hold in
//! their key folders and S3 never sees, and from the object's own place, so no two objects have
//! one key, and whoever is given the key of one learns none of the others. The manifest says from
//! which secret each key follows; the manifest's own key follows in the same way, from any of the
//! secrets at hand. Why so: docs/decisions/0014-keys-of-lanes-and-readers.md.

use crate::error::{Error, ErrorKind, Result};
use crate::fetch::retrying;
use crate::office::{Office, key};
use consign_cloud::s3::{CustomerKey, Encryption, GetObject};
use consign_model::{
    AtRest, ConsignmentId, CustomerKeyOrigin, Keyring, Lane, SSE_C_DERIVATION, Seal,
};
use consign_seal::shared_secret::SharedSecret;

impl Office {
    /// The secrets of a lane that are at hand, the one to send with first.
    pub(crate) fn lane_secrets(&self, lane: &Lane) -> &[SharedSecret] {
        self.keys.lane_secrets.get(&lane.name).map_or(&[], Vec::as_slice)
    }

    /// An error unless the secret is there that the lane needs.
    pub(crate) fn check_lane_secret(&self, lane: &Lane) -> Result<()> {
        let seal = lane.seal == Seal::S3ec && lane.keyring == Keyring::Aes;
        match lane.at_rest == AtRest::SseC || seal {
            true => self.newest_secret(lane).map(|_| ()),
            false => Ok(()),
        }
    }

    /// What to send under; none where the bucket's default decides.
    fn sending_secret(&self, lane: &Lane) -> Result<Option<&SharedSecret>> {
        match lane.at_rest {
            AtRest::SseC => self.newest_secret(lane).map(Some),
            _ => Ok(None),
        }
    }

    /// The secret to send with, on a lane that needs one.
    pub(crate) fn newest_secret(&self, lane: &Lane) -> Result<&SharedSecret> {
        self.lane_secrets(lane).first().ok_or_else(|| {
            let message = format!(
                "the keys of lane `{}` (at_rest = \"{}\", seal = \"{}\") follow from its secret, \
                 which is not here",
                lane.name,
                lane.at_rest.as_str(),
                lane.seal.as_str()
            );
            Error::new(ErrorKind::Configuration, message).hinting(format!(
                "consign keys lane-secret {0}, or with --import FILE what the other party made",
                lane.name
            ))
        })
    }

    /// The encryption at rest that a request must ask for.
    pub(crate) fn encryption(
        &self,
        lane: &Lane,
        id: &ConsignmentId,
        name: &str,
    ) -> Result<Option<Encryption>> {
        self.encryption_at(lane, &format!("{id}/{name}"))
    }

    /// The same for the object at `place` below the lane's prefix.
    pub(crate) fn encryption_at(&self, lane: &Lane, place: &str) -> Result<Option<Encryption>> {
        let secret = self.sending_secret(lane)?;
        let key = secret.map(|secret| self.customer_key(secret, lane, place));
        Ok(key.transpose()?.map(Encryption::SseC))
    }

    /// What the manifest says of the keys that we send under.
    pub(crate) fn customer_key_origin(&self, lane: &Lane) -> Result<Option<CustomerKeyOrigin>> {
        Ok(self.sending_secret(lane)?.map(|secret| CustomerKeyOrigin {
            derivation: SSE_C_DERIVATION.to_owned(),
            secret: secret.id().to_owned(),
        }))
    }

    /// The key of the object at `place` below the lane's prefix.
    pub(crate) fn customer_key(
        &self,
        secret: &SharedSecret,
        lane: &Lane,
        place: &str,
    ) -> Result<CustomerKey> {
        let info = format!("{}/{}/{place}", self.exchange.name, lane.name);
        Ok(CustomerKey::new(*secret.derive(SSE_C_DERIVATION, &info)?))
    }

    /// Every key that the object at `place` may lie under, the likeliest first; none stands for a
    /// key of the service's. `origin` is what a manifest says of it.
    pub(crate) fn candidates(
        &self,
        lane: &Lane,
        place: &str,
        origin: Option<&CustomerKeyOrigin>,
    ) -> Result<Vec<Option<CustomerKey>>> {
        let mut keys: Vec<(u8, Option<CustomerKey>)> = Vec::new();
        for secret in self.lane_secrets(lane) {
            let named = origin.is_some_and(|origin| origin.secret == secret.id());
            keys.push((u8::from(!named), Some(self.customer_key(secret, lane, place)?)));
        }
        let expected = origin.is_some() || lane.at_rest == AtRest::SseC;
        keys.push((if expected { 2 } else { 0 }, None));
        // Stable: secrets stay in their order.
        keys.sort_by_key(|(rank, _)| *rank);
        Ok(keys.into_iter().map(|(_, key)| key).collect())
    }
}

/// The object to read, with the key that S3 needs for it.
///
/// Which key that is, one small request after another finds out, because objects may have been
/// moved under other keys since they were sent. Where no secret is at hand there is nothing to find
/// out, and nothing is asked.
pub(crate) async fn locate(
    office: &Office,
    lane: &Lane,
    id: &ConsignmentId,
    name: &str,
    origin: Option<&CustomerKeyOrigin>,
) -> Result<GetObject> {
    let object = GetObject {
        bucket: lane.bucket.to_string(),
        key: key(lane, id, name),
        expected_bucket_owner: office.owner_of(lane),
        ..GetObject::default()
    };
    let candidates = office.candidates(lane, &format!("{id}/{name}"), origin)?;
    match (candidates.as_slice(), origin) {
        ([None], None) => Ok(object),
        // It may have been moved under a key of the service's since.
        ([None], Some(origin)) => find_key(office, object, candidates)
            .await
            .map_err(|error| absent_secret(lane, origin).because(error)),
        _ => find_key(office, object, candidates).await,
    }
}

/// The object with the first of these keys that S3 accepts for it.
pub(crate) async fn find_key(
    office: &Office,
    object: GetObject,
    candidates: Vec<Option<CustomerKey>>,
) -> Result<GetObject> {
    let mut refused = None;
    for customer_key in candidates {
        let with_key = GetObject { customer_key, ..object.clone() };
        // HEAD needs no right to decrypt, which matters to who moves objects and reads none.
        match retrying(office, || office.cloud.s3().head_object(&with_key)).await {
            // SeaweedFS answers HEAD whatever key comes with it.
            Ok(head)
                if with_key.customer_key.as_ref().map(CustomerKey::md5)
                    != head.customer_key_md5 => {}
            Ok(_) => return Ok(with_key),
            // One that is not there is for the caller to miss.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(with_key),
            // S3 answers 400 to a key where none belongs or none where one does, 403 to another.
            Err(error) if is_about_the_key(&error) => refused = refused.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    let none = "none of the lane's keys opens the object for S3";
    Err(match refused {
        Some(refused) => refused.during(none),
        None => Error::new(ErrorKind::Denied, none),
    })
}

fn is_about_the_key(error: &Error) -> bool {
    let cause = std::error::Error::source(error);
    let status = cause.and_then(|cause| cause.downcast_ref::<consign_cloud::Error>());
    matches!(status.and_then(consign_cloud::Error::http_status), Some(400 | 403))
}

fn absent_secret(lane: &Lane, origin: &CustomerKeyOrigin) -> Error {
    let message = format!(
        "the key of this object follows from the secret {} of lane `{}`, which is not here",
        origin.secret, lane.name
    );
    Error::new(ErrorKind::Configuration, message)
        .hinting(format!("consign keys lane-secret {} --import FILE", lane.name))
}
