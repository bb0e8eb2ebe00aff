//! PutObject.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, StatusCode};
use md5::{Digest, Md5};

use super::about::{acl_not_supported, check_acl, write_facts};
use super::ask::{Ask, invalid_request, refused};
use super::checksum::{ALL, Algorithm, Hasher};
use super::encryption::{self, Plan};
use super::get::versioned_action;
use super::ingest::{Ingest, Ingested, too_large};
use super::notify::announcer;
use super::response::{Answer, empty, set};
use super::store::{
    About, Bucket, Checksum, Condition, DataKey, NewBlob, NewObject, NewSegment, Object, Seal,
};
use crate::error::ApiError;
use crate::gate::Body;

/// The largest object that one request may bring, and the largest part.
pub(super) const PUT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;

pub(super) async fn put_object(ask: &Ask, body: &mut Body) -> Answer {
    let bucket = ask.bucket()?;
    let about = About::of_request(ask)?;
    let plan = authorize_write(ask, &bucket, &about, true)?;
    let condition = requested_condition(ask)?;
    let declared = declared_bytes(body)?;
    if declared > PUT_BYTES_MAX {
        return Err(too_large(PUT_BYTES_MAX));
    }
    check_early(ask, &bucket, &condition)?;
    let claims = Claims::of_request(ask)?;
    let (data_key, seal) = plan.make_key(ask, &bucket, ask.key())?;
    let algorithm = claims.algorithm()?.unwrap_or(Algorithm::Crc64Nvme);
    let ingest = claims.start(ask, &data_key, encryption::has_md5_etag(&seal), algorithm);
    let ingested = ingest.take_body(body, PUT_BYTES_MAX).await?;
    claims.check(&ingested, body.trailers())?;
    let new = whole_object(ask, &bucket, ingested, algorithm, &data_key, seal, about)?;
    let object = new.object.clone();
    let creation = if ask.call.form.is_some() { "Post" } else { "Put" };
    let announcer = announcer(ask, &bucket, creation);
    let version_id = ask
        .store()
        .put_version(&bucket.name, ask.key().as_bytes(), new, condition, announcer)
        .await
        .map_err(|error| refused(&error))?;
    let mut response = empty(StatusCode::OK);
    let headers = response.headers_mut();
    describe_written(headers, &object, version_id.as_deref(), &plan)?;
    if let Some(checksum) = &object.checksum {
        describe_checksum(headers, checksum)?;
    }
    Ok(response)
}

/// Checks ACL headers and encryption headers, and whether the caller may write this.
pub(super) fn authorize_write(
    ask: &Ask,
    bucket: &Bucket,
    about: &About,
    creates: bool,
) -> Result<Plan, ApiError> {
    let facts = write_facts(ask, &about.tags, creates);
    ask.allow_on_key(bucket, ask.key(), "s3:PutObject", &facts)?;
    if check_acl(ask, bucket)? {
        ask.allow_on_key(bucket, ask.key(), "s3:PutObjectAcl", &facts)?;
    }
    if !about.tags.is_empty() {
        ask.allow_on_key(bucket, ask.key(), "s3:PutObjectTagging", &facts)?;
    }
    Plan::of_request(ask, bucket)
}

/// PutObjectAcl: only what is so already can be put.
pub(super) async fn put_object_acl(ask: &Ask, body: &mut Body) -> Answer {
    let bucket = ask.bucket()?;
    let action = versioned_action("s3:PutObjectAcl", ask.query("versionId"));
    ask.allow_on_key(&bucket, ask.key(), &action, &write_facts(ask, &[], false))?;
    let too_large = || too_large(PUT_BYTES_MAX);
    let document = body.collect(64 * 1024, too_large).await?;
    let canned = check_acl(ask, &bucket)?;
    match canned && document.is_empty() {
        true => Ok(empty(StatusCode::OK)),
        false if bucket.is_owner_enforced() => Err(acl_not_supported()),
        false => Err(ApiError::not_implemented("Granting access by ACL")),
    }
}

fn declared_bytes(body: &Body) -> Result<u64, ApiError> {
    body.decoded_bytes().ok_or_else(|| {
        let message = "You must provide the Content-Length HTTP header.";
        ApiError::new(StatusCode::LENGTH_REQUIRED, "MissingContentLength", message)
    })
}

/// `If-None-Match: *` or `If-Match: etag`.
pub(super) fn requested_condition(ask: &Ask) -> Result<Condition, ApiError> {
    match (ask.header("if-none-match"), ask.header("if-match")) {
        (None, None) => Ok(Condition::Always),
        (Some("*"), None) => Ok(Condition::Absent),
        (None, Some(etag)) => Ok(Condition::Matches(etag.trim().trim_matches('"').to_owned())),
        (Some(_), None) => Err(ApiError::not_implemented("If-None-Match with anything but *")),
        (Some(_), Some(_)) => Err(ApiError::not_implemented("If-Match with If-None-Match")),
    }
}

/// Refuses before the body is read what would be refused after it. The check that counts is made
/// in the transaction.
pub(super) fn check_early(
    ask: &Ask,
    bucket: &Bucket,
    condition: &Condition,
) -> Result<(), ApiError> {
    if *condition == Condition::Always {
        return Ok(());
    }
    let current = ask.store().find(&bucket.name, ask.key().as_bytes(), None);
    let current = current.ok().and_then(|version| version.object);
    condition.check(current.as_ref()).map_err(|error| refused(&error))
}

/// What the client claims its body is: compared before anything becomes visible.
pub(super) struct Claims {
    md5: Option<Vec<u8>>,
    values: Vec<(Algorithm, String)>,
    /// Promised in a trailer.
    trailer: Option<Algorithm>,
    /// `x-amz-sdk-checksum-algorithm`: computed, and claimed nowhere else.
    named: Option<Algorithm>,
}

impl Claims {
    pub(super) fn of_request(ask: &Ask) -> Result<Claims, ApiError> {
        let md5 = match ask.header("content-md5") {
            None => None,
            Some(text) => Some(
                BASE64.decode(text.trim()).ok().filter(|raw| raw.len() == 16).ok_or_else(|| {
                    let message = "The Content-MD5 you specified is not valid.";
                    ApiError::bad_request("InvalidDigest", message)
                })?,
            ),
        };
        let mut values = Vec::new();
        for algorithm in ALL {
            if let Some(value) = ask.header(algorithm.header()) {
                if !algorithm.is_value(value) {
                    return Err(invalid_checksum(algorithm));
                }
                values.push((algorithm, value.to_owned()));
            }
        }
        let announced = ask.header("x-amz-trailer").unwrap_or_default();
        let announced =
            |name: &str| announced.split(',').any(|found| found.trim().eq_ignore_ascii_case(name));
        let trailer = ALL.into_iter().find(|algorithm| announced(algorithm.header()));
        let named = match ask.header("x-amz-sdk-checksum-algorithm") {
            None => None,
            Some(name) => Some(Algorithm::parse(name).ok_or_else(|| {
                invalid_request("Value for x-amz-sdk-checksum-algorithm header is invalid.")
            })?),
        };
        Ok(Claims { md5, values, trailer, named })
    }

    /// The one algorithm that the client uses, if any.
    pub(super) fn algorithm(&self) -> Result<Option<Algorithm>, ApiError> {
        let mut claimed: Vec<_> =
            self.values.iter().map(|(algorithm, _)| *algorithm).chain(self.trailer).collect();
        claimed.dedup();
        match claimed.as_slice() {
            [] => Ok(self.named),
            [one] => Ok(Some(*one)),
            _ => Err(invalid_request(
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not \
                 allowed.",
            )),
        }
    }

    /// Begins taking in the body, computing what is claimed and `algorithm`.
    pub(super) fn start(
        &self,
        ask: &Ask,
        key: &DataKey,
        md5: bool,
        algorithm: Algorithm,
    ) -> Ingest {
        let algorithms = self.values.iter().map(|(algorithm, _)| *algorithm);
        let algorithms = algorithms.chain(self.trailer).chain([algorithm]).collect();
        Ingest::start(ask.store().folder(), key, md5 || self.md5.is_some(), algorithms)
    }

    /// Compares what came with what was claimed.
    pub(super) fn check(&self, ingested: &Ingested, trailers: &HeaderMap) -> Result<(), ApiError> {
        let md5 = ingested.md5.as_ref().map(<[u8; 16]>::as_slice);
        let checksum = |algorithm| ingested.checksum(algorithm).map(str::to_owned);
        self.compare(md5, checksum, trailers)
    }

    /// As [`Claims::check`], of a body in memory.
    pub(super) fn check_bytes(&self, body: &[u8], trailers: &HeaderMap) -> Result<(), ApiError> {
        let md5 = self.md5.as_ref().map(|_| Md5::digest(body));
        let checksum = |algorithm| {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(body);
            Some(hasher.finish())
        };
        self.compare(md5.as_ref().map(|md5| md5.as_slice()), checksum, trailers)
    }

    fn compare(
        &self,
        md5: Option<&[u8]>,
        checksum: impl Fn(Algorithm) -> Option<String>,
        trailers: &HeaderMap,
    ) -> Result<(), ApiError> {
        if self.md5.is_some() && self.md5.as_deref() != md5 {
            let message = "The Content-MD5 you specified did not match what we received.";
            return Err(ApiError::bad_request("BadDigest", message));
        }
        let mut values = self.values.clone();
        if let Some(algorithm) = self.trailer {
            let value = trailers.get(algorithm.header()).and_then(|value| value.to_str().ok());
            let value = value.map(str::trim).filter(|value| algorithm.is_value(value));
            values.push((algorithm, value.ok_or_else(|| invalid_checksum(algorithm))?.to_owned()));
        }
        for (algorithm, value) in values {
            if checksum(algorithm).as_deref() != Some(value.as_str()) {
                let message = format!(
                    "The {} you specified did not match the calculated checksum.",
                    algorithm.name()
                );
                return Err(ApiError::bad_request("BadDigest", message));
            }
        }
        Ok(())
    }

    /// Whether there is anything to compare.
    pub(super) fn is_empty(&self) -> bool {
        self.md5.is_none() && self.values.is_empty() && self.trailer.is_none()
    }
}

fn invalid_checksum(algorithm: Algorithm) -> ApiError {
    invalid_request(&format!("Value for {} header is invalid.", algorithm.header()))
}

/// The ETag of one piece: its MD5 where S3 promises that; elsewhere a name that only tells contents
/// under the same data key apart, at a fraction of MD5's cost.
pub(super) fn etag_of(ingested: &Ingested, key: &DataKey, seal: &Seal) -> Result<String, ApiError> {
    if encryption::has_md5_etag(seal) {
        let md5 = ingested.md5.ok_or_else(|| ApiError::internal("no MD5 was computed"))?;
        return Ok(hex::encode(md5));
    }
    let checksums: Vec<_> = ingested.checksums.iter().map(|(_, value)| value.as_str()).collect();
    Ok(key.tag(&format!("{}/{}", ingested.bytes, checksums.join("/"))))
}

/// An object of one blob.
pub(super) fn whole_object(
    ask: &Ask,
    bucket: &Bucket,
    ingested: Ingested,
    algorithm: Algorithm,
    key: &DataKey,
    seal: Seal,
    about: About,
) -> Result<NewObject, ApiError> {
    let value = ingested.checksum(algorithm).map(str::to_owned);
    let checksum = value.map(|value| Checksum {
        algorithm: algorithm.name().to_owned(),
        value,
        composite: false,
    });
    let mut content = [0; 16];
    crate::vault::fill(&mut content);
    let object = Object {
        content: u128::from_be_bytes(content),
        bytes: ingested.bytes,
        etag: etag_of(&ingested, key, &seal)?,
        seal,
        checksum,
        parts: None,
        about,
    };
    let segment = NewSegment {
        blob: NewBlob::Staged(ingested.blob),
        bytes: ingested.bytes,
        part: 1,
        checksum: None,
    };
    let account = ask.call.caller.account.clone().unwrap_or_else(|| bucket.account.clone());
    Ok(NewObject { object, segments: vec![segment], account, modified_ms: ask.call.now_ms })
}

/// ETag, version and encryption of what was written.
pub(super) fn describe_written(
    headers: &mut HeaderMap,
    object: &Object,
    version_id: Option<&str>,
    plan: &Plan,
) -> Result<(), ApiError> {
    set(headers, "etag", format!("\"{}\"", object.etag))?;
    if let Some(version_id) = version_id {
        set(headers, "x-amz-version-id", version_id)?;
    }
    encryption::describe(headers, &object.seal, plan.customer())
}

pub(super) fn describe_checksum(
    headers: &mut HeaderMap,
    checksum: &Checksum,
) -> Result<(), ApiError> {
    if let Some(algorithm) = Algorithm::parse(&checksum.algorithm) {
        set(headers, algorithm.header(), &checksum.value)?;
        set(headers, "x-amz-checksum-type", checksum.kind())?;
    }
    Ok(())
}
