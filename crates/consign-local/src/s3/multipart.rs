//! Multipart uploads: create, upload parts, list, complete, abort.

use http::StatusCode;

use super::ask::{Ask, invalid_argument, invalid_request, refused};
use super::checksum::{ALL, Algorithm};
use super::encryption::{self, CustomerKey};
use super::get::{owner_id, write_checksum};
use super::ingest::{Ingested, too_large};
use super::put::{
    Claims, PUT_BYTES_MAX, authorize_write, check_early, etag_of, requested_condition,
};
use super::response::{Answer, empty, iso_date, set, xml};
use super::store::{About, Bucket, Checksum, CompletedPart, Completion, DataKey, Part, Upload};
use super::xml::{Document, Node, malformed};
use crate::error::ApiError;
use crate::gate::Body;

const PART_NUMBER_MAX: u16 = 10_000;
/// 10,000 parts, each with its ETag and a SHA-256.
const COMPLETE_BYTES_MAX: usize = 4 * 1024 * 1024;

pub(super) async fn create_multipart_upload(ask: &Ask) -> Answer {
    let bucket = ask.bucket()?;
    let about = About::of_request(ask)?;
    let plan = authorize_write(ask, &bucket, &about, false)?;
    let (algorithm, composite, declared) = requested_checksum(ask)?;
    let (_, seal) = plan.make_key(ask, &bucket, ask.key())?;
    let upload = Upload {
        started_ms: ask.call.now_ms,
        account: ask.call.caller.account.clone().unwrap_or_else(|| bucket.account.clone()),
        initiator: ask.call.caller.arn.clone(),
        seal: seal.clone(),
        about,
        checksum_algorithm: algorithm.name().to_owned(),
        composite,
        checksum_declared: declared,
    };
    let id = ask
        .store()
        .create_upload(&bucket.name, ask.key().as_bytes(), upload)
        .await
        .map_err(|error| refused(&error))?;
    let mut document = Document::new("InitiateMultipartUploadResult");
    document.element("Bucket", &bucket.name).element("Key", ask.key()).element("UploadId", id);
    let mut response = xml(document, "InitiateMultipartUploadResult");
    let headers = response.headers_mut();
    encryption::describe(headers, &seal, plan.customer())?;
    if declared {
        set(headers, "x-amz-checksum-algorithm", algorithm.name())?;
        set(headers, "x-amz-checksum-type", kind(composite))?;
    }
    Ok(response)
}

fn kind(composite: bool) -> &'static str {
    if composite { "COMPOSITE" } else { "FULL_OBJECT" }
}

/// The algorithm, whether the whole's checksum is composite, and whether the client said so.
fn requested_checksum(ask: &Ask) -> Result<(Algorithm, bool, bool), ApiError> {
    let Some(name) = ask.header("x-amz-checksum-algorithm") else {
        return Ok((Algorithm::Crc64Nvme, false, false));
    };
    let algorithm = Algorithm::parse(name).ok_or_else(|| {
        invalid_request(
            "Checksum algorithm provided is unsupported. Please try again with any of \
                         the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
        )
    })?;
    let refuse = |kind: &str| {
        let message = format!(
            "The {kind} checksum type cannot be used with the {name} checksum \
                               algorithm."
        );
        Err(invalid_request(&message))
    };
    let composite = match ask.header("x-amz-checksum-type") {
        None => algorithm != Algorithm::Crc64Nvme,
        Some("COMPOSITE") if algorithm == Algorithm::Crc64Nvme => return refuse("COMPOSITE"),
        Some("COMPOSITE") => true,
        Some("FULL_OBJECT") if !algorithm.is_linear() => return refuse("FULL_OBJECT"),
        Some("FULL_OBJECT") => false,
        Some(_) => return Err(invalid_request("Value for x-amz-checksum-type header is invalid.")),
    };
    Ok((algorithm, composite, true))
}

/// The upload that a request names, found and opened for writing parts into it.
pub(super) struct OpenUpload {
    pub(super) id: String,
    pub(super) number: u16,
    pub(super) upload: Upload,
    pub(super) key: DataKey,
    pub(super) customer: Option<CustomerKey>,
}

/// Finds the upload of an UploadPart(Copy) and opens its data key with the caller's authority.
pub(super) fn open_upload(ask: &Ask, bucket: &Bucket) -> Result<OpenUpload, ApiError> {
    let number = part_number(ask)?;
    let (id, upload) = find_upload(ask, bucket)?;
    let customer = CustomerKey::of_request(ask)?;
    if customer.is_some() && bucket.encryption.blocks_customer_keys {
        return Err(
            ApiError::access_denied().because("the bucket's BlockedEncryptionTypes names SSE-C")
        );
    }
    encryption::check_customer(&upload.seal, customer.as_ref())?;
    let key = encryption::open(ask, &upload.seal, customer.as_ref())?;
    Ok(OpenUpload { id, number, upload, key, customer })
}

fn find_upload(ask: &Ask, bucket: &Bucket) -> Result<(String, Upload), ApiError> {
    let id = ask.query("uploadId").unwrap_or_default().to_owned();
    let upload = ask.store().upload(&bucket.name, ask.key().as_bytes(), &id);
    Ok((id, upload.map_err(|error| refused(&error))?))
}

fn part_number(ask: &Ask) -> Result<u16, ApiError> {
    let text = ask.query("partNumber").unwrap_or_default();
    text.parse().ok().filter(|number| (1..=PART_NUMBER_MAX).contains(number)).ok_or_else(|| {
        let message = "Part number must be an integer between 1 and 10000, inclusive";
        invalid_argument(message, "partNumber", text)
    })
}

pub(super) async fn upload_part(ask: &Ask, body: &mut Body) -> Answer {
    let bucket = ask.bucket()?;
    ask.allow_on_key(&bucket, ask.key(), "s3:PutObject", &part_facts(ask))?;
    let declared = body.decoded_bytes().ok_or_else(|| {
        let message = "You must provide the Content-Length HTTP header.";
        ApiError::new(StatusCode::LENGTH_REQUIRED, "MissingContentLength", message)
    })?;
    if declared > PUT_BYTES_MAX {
        return Err(too_large(PUT_BYTES_MAX));
    }
    let open = open_upload(ask, &bucket)?;
    let claims = Claims::of_request(ask)?;
    let algorithm = upload_algorithm(&open.upload)?;
    check_algorithm(&open.upload, claims.algorithm()?, algorithm)?;
    let md5 = encryption::has_md5_etag(&open.upload.seal);
    let ingest = claims.start(ask, &open.key, md5, algorithm);
    let ingested = ingest.take_body(body, PUT_BYTES_MAX).await?;
    claims.check(&ingested, body.trailers())?;
    let part = store_part(ask, &bucket, &open, ingested).await?;
    let mut response = empty(StatusCode::OK);
    let headers = response.headers_mut();
    set(headers, "etag", format!("\"{}\"", part.etag))?;
    set(headers, algorithm.header(), &part.checksum.value)?;
    encryption::describe(headers, &open.upload.seal, open.customer.as_ref())?;
    Ok(response)
}

/// What policies can ask of a request that brings a part: it creates no object.
pub(super) fn part_facts(ask: &Ask) -> crate::authorize::Facts {
    super::about::write_facts(ask, &[], false)
}

pub(super) fn upload_algorithm(upload: &Upload) -> Result<Algorithm, ApiError> {
    Algorithm::parse(&upload.checksum_algorithm)
        .ok_or_else(|| ApiError::internal("an upload has an unknown checksum algorithm"))
}

/// An upload that named its algorithm takes no other.
fn check_algorithm(
    upload: &Upload,
    claimed: Option<Algorithm>,
    algorithm: Algorithm,
) -> Result<(), ApiError> {
    match claimed {
        Some(claimed) if upload.checksum_declared && claimed != algorithm => {
            let message = format!(
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum \
                 Type: {}",
                algorithm.name().to_lowercase(),
                claimed.name().to_lowercase()
            );
            Err(invalid_request(&message))
        }
        _ => Ok(()),
    }
}

/// Enters a part whose blob is on disk.
pub(super) async fn store_part(
    ask: &Ask,
    bucket: &Bucket,
    open: &OpenUpload,
    ingested: Ingested,
) -> Result<Part, ApiError> {
    let algorithm = upload_algorithm(&open.upload)?;
    let value = ingested.checksum(algorithm);
    let value = value.ok_or_else(|| ApiError::internal("no checksum was computed"))?.to_owned();
    let checksum = Checksum { algorithm: algorithm.name().to_owned(), value, composite: false };
    let part = Part {
        blob: 0,
        bytes: ingested.bytes,
        etag: etag_of(&ingested, &open.key, &open.upload.seal)?,
        checksum,
        modified_ms: ask.call.now_ms,
    };
    let key = ask.key().as_bytes();
    ask.store()
        .put_part(&bucket.name, key, &open.id, open.number, ingested.blob, part.clone())
        .await
        .map_err(|error| refused(&error))?;
    Ok(part)
}

pub(super) async fn complete_multipart_upload(ask: &Ask, body: &mut Body) -> Answer {
    let bucket = ask.bucket()?;
    let facts = super::about::write_facts(ask, &[], true);
    ask.allow_on_key(&bucket, ask.key(), "s3:PutObject", &facts)?;
    let condition = requested_condition(ask)?;
    let document = body.collect(COMPLETE_BYTES_MAX, || malformed("too long")).await?;
    let (id, upload) = find_upload(ask, &bucket)?;
    let algorithm = upload_algorithm(&upload)?;
    let parts = read_parts(&document, &upload)?;
    check_early(ask, &bucket, &condition)?;
    let customer = CustomerKey::of_request(ask)?;
    if customer.is_some() {
        encryption::check_customer(&upload.seal, customer.as_ref())?;
    }
    let checksum = whole_checksum(ask, &upload)?;
    if checksum.is_some() || upload.checksum_declared {
        // S3 computes the checksum of the whole with the data key at hand, so it asks for it.
        match (&upload.seal, &customer) {
            (super::store::Seal::Customer { .. }, None) => {}
            _ => drop(encryption::open(ask, &upload.seal, customer.as_ref())?),
        }
    }
    let bytes = ask.header("x-amz-mp-object-size").and_then(|text| text.parse().ok());
    let now_ms = ask.call.now_ms;
    let completion = Completion { parts, condition, checksum, bytes, now_ms };
    let announcer = super::notify::announcer(ask, &bucket, "CompleteMultipartUpload");
    let (object, version_id) = ask
        .store()
        .complete_upload(&bucket.name, ask.key().as_bytes(), &id, completion, announcer)
        .await
        .map_err(|error| refused(&error))?;
    let mut document = Document::new("CompleteMultipartUploadResult");
    document.element("Location", location(ask, &bucket));
    document.element("Bucket", &bucket.name).element("Key", ask.key());
    document.element("ETag", format!("\"{}\"", object.etag));
    if let Some(checksum) = object.checksum.as_ref().filter(|found| {
        upload.checksum_declared || Algorithm::parse(&found.algorithm) == Some(algorithm)
    }) {
        write_checksum(&mut document, checksum);
        document.element("ChecksumType", checksum.kind());
    }
    let mut response = xml(document, "CompleteMultipartUploadResult");
    let headers = response.headers_mut();
    if let Some(version_id) = version_id {
        set(headers, "x-amz-version-id", version_id)?;
    }
    encryption::describe(headers, &object.seal, customer.as_ref())?;
    Ok(response)
}

/// Where the object is, as the client addressed it.
fn location(ask: &Ask, bucket: &Bucket) -> String {
    let scheme = if ask.call.is_secure() { "https" } else { "http" };
    let host = ask.header("host").unwrap_or("localhost");
    let set = percent_encoding::NON_ALPHANUMERIC;
    let key = percent_encoding::utf8_percent_encode(ask.key(), set);
    format!("{scheme}://{host}/{}/{key}", bucket.name)
}

/// The checksum of the whole that CompleteMultipartUpload may carry in a header.
fn whole_checksum(ask: &Ask, upload: &Upload) -> Result<Option<(String, String)>, ApiError> {
    if let Some(wanted) = ask.header("x-amz-checksum-type")
        && wanted != kind(upload.composite)
    {
        return Err(invalid_request("The upload was created using another checksum type"));
    }
    for algorithm in ALL {
        if let Some(value) = ask.header(algorithm.header()) {
            return Ok(Some((algorithm.name().to_owned(), value.to_owned())));
        }
    }
    Ok(None)
}

fn read_parts(document: &[u8], upload: &Upload) -> Result<Vec<CompletedPart>, ApiError> {
    let root = Node::parse(document, "CompleteMultipartUpload")?;
    root.only(&["Part"])?;
    let mut parts = Vec::new();
    for part in root.all("Part") {
        let number = part.text_of("PartNumber").and_then(|text| text.trim().parse::<u16>().ok());
        let number = number.filter(|number| (1..=PART_NUMBER_MAX).contains(number));
        let number = number.ok_or_else(|| malformed("a part without a number"))?;
        let etag = part.text_of("ETag").ok_or_else(|| malformed("a part without an ETag"))?;
        let mut checksums = Vec::new();
        for algorithm in ALL {
            if let Some(value) = part.text_of(algorithm.element()) {
                checksums.push((algorithm.name().to_owned(), value.to_owned()));
            }
        }
        if upload.checksum_declared && upload.composite && checksums.is_empty() {
            let message = format!(
                "The upload was created using a {} checksum. The complete request must include \
                 the checksum for each part. It was missing for part {number} in the request.",
                upload.checksum_algorithm.to_lowercase()
            );
            return Err(invalid_request(&message));
        }
        let etag = etag.trim().trim_matches('"').to_owned();
        parts.push(CompletedPart { number, etag, checksums });
    }
    if parts.is_empty() || parts.len() > usize::from(PART_NUMBER_MAX) {
        return Err(malformed(format!("{} parts", parts.len())));
    }
    Ok(parts)
}

pub(super) async fn abort_multipart_upload(ask: &Ask) -> Answer {
    let bucket = ask.bucket()?;
    ask.allow_on_key(&bucket, ask.key(), "s3:AbortMultipartUpload", &Vec::new())?;
    let id = ask.query("uploadId").unwrap_or_default();
    ask.store()
        .abort_upload(&bucket.name, ask.key().as_bytes(), id)
        .await
        .map_err(|error| refused(&error))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) async fn list_parts(ask: &Ask) -> Answer {
    let bucket = ask.bucket()?;
    ask.allow_on_key(&bucket, ask.key(), "s3:ListMultipartUploadParts", &Vec::new())?;
    let max = ask.number("max-parts", 1000, 1000)?;
    let after = ask.number("part-number-marker", 0, usize::from(u16::MAX))?;
    let after = u16::try_from(after).unwrap_or(u16::MAX);
    let id = ask.query("uploadId").unwrap_or_default().to_owned();
    let (name, key, wanted) = (bucket.name.clone(), ask.key().to_owned(), id.clone());
    let listing = ask
        .blocking(move |state| state.store.list_parts(&name, key.as_bytes(), &wanted, after, max))
        .await?
        .map_err(|error| refused(&error))?;
    let upload = &listing.upload;
    let mut document = Document::new("ListPartsResult");
    document.element("Bucket", &bucket.name).element("Key", ask.key()).element("UploadId", id);
    document.open("Initiator").element("ID", &upload.initiator);
    document.element("DisplayName", &upload.initiator).close("Initiator");
    document.open("Owner").element("ID", owner_id(&upload.account)).close("Owner");
    document.element("StorageClass", upload.about.storage_class.as_deref().unwrap_or("STANDARD"));
    document.element("PartNumberMarker", after);
    let last = listing.parts.last().map_or(after, |(number, _)| *number);
    document.element("NextPartNumberMarker", if listing.truncated { last } else { 0 });
    document.element("MaxParts", max).element("IsTruncated", listing.truncated);
    if upload.checksum_declared {
        document.element("ChecksumAlgorithm", &upload.checksum_algorithm);
        document.element("ChecksumType", kind(upload.composite));
    }
    for (number, part) in &listing.parts {
        document.open("Part").element("PartNumber", number);
        document.element("LastModified", iso_date(part.modified_ms));
        document.element("ETag", format!("\"{}\"", part.etag)).element("Size", part.bytes);
        write_checksum(&mut document, &part.checksum);
        document.close("Part");
    }
    Ok(xml(document, "ListPartsResult"))
}
