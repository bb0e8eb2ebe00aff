//! Uploads by a browser's form (`POST`, `multipart/form-data`), turned into the PUT they mean.
//!
//! The fields come first, then the file. The signature is over a policy document that says which
//! fields the form may have ([`super::post_policy`]); so only what the policy covers may become a
//! header of the PUT, and nothing of the HTTP request's own headers does. What follows the file is
//! ignored, as S3 ignores it.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

use super::body::Body;
use super::claim::{EXPIRES_SECONDS_MAX, read_credential};
use super::post_policy;
use super::refusal::Refusal;
use super::signature::SigningKey;
use super::signer::{Signer, Stop};
use super::uri::encode;
use crate::call::{AuthType, Call, FormAnswer, Service};
use crate::error::ApiError;
use crate::moment;
use crate::state::State;

/// S3 allows 20 KB of fields before the file.
const FIELDS_BYTES_MAX: usize = 20 << 10;
const HEAD_BYTES_MAX: usize = 64 << 10;
const FIELDS_MAX: usize = 200;

/// The boundary of a request that is a form upload.
pub fn boundary(call: &Call) -> Option<String> {
    let content_type = call.header("content-type")?;
    let (kind, parameters) = content_type.split_once(';')?;
    if call.parts.method != Method::POST
        || !kind.trim().eq_ignore_ascii_case("multipart/form-data")
        || !call.query.is_empty()
    {
        return None;
    }
    let parameter = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    (1..=70).contains(&parameter.len()).then(|| parameter.to_owned())
}

/// Reads the fields of a form, checks policy and signature, and makes `call` the PUT it means. What
/// comes back is the file, with the length the policy allows.
pub async fn admit(
    state: &State,
    call: &mut Call,
    mut body: Body,
    boundary: &str,
) -> Result<Body, Stop> {
    refuse_headers(&call.parts.headers)?;
    let wire_bytes = body.decoded_bytes();
    let (fields, file) = read_fields(&mut body, boundary).await?;
    let bucket = match call.virtual_bucket() {
        Some(bucket) => bucket.to_owned(),
        None => call.path.trim_matches('/').to_owned(),
    };
    let lengths = match fields.get("policy") {
        Some(policy) => authenticate(state, call, &fields, policy, &bucket)?,
        None => (0, u64::MAX),
    };
    let key = fields.required("key")?.replace("${filename}", &fields.file_name);
    let answer = answer_of(&fields, &bucket, &key)?;
    let headers = headers_of(&fields, &call.parts.headers)?;
    let target = match call.virtual_bucket() {
        Some(_) => format!("/{}", encode(&key, true)),
        None => format!("/{bucket}/{}", encode(&key, true)),
    };
    call.path = super::uri::decode_path(&target)?;
    call.parts.uri = target.parse::<Uri>().map_err(|_| malformed())?;
    call.parts.method = Method::PUT;
    call.parts.headers = headers;
    call.form = Some(answer);
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let decoder = FileDecoder { delimiter, held: BytesMut::new(), lengths, bytes: 0, done: false };
    let at_most = wire_bytes.map(|wire| wire.saturating_sub(fields.head_bytes));
    body.read_file(decoder, file, at_most);
    Ok(body)
}

/// A form's own headers are not signed; none of them may mean anything to S3.
fn refuse_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    let unsigned: Vec<&str> =
        headers.keys().map(HeaderName::as_str).filter(|name| name.starts_with("x-amz-")).collect();
    match unsigned.is_empty() {
        true => Ok(()),
        false => Err(Refusal::HeadersNotSigned(unsigned.join(", "))),
    }
}

/// The form's fields before the file, names in lower case.
pub struct Fields {
    fields: Vec<(String, String)>,
    file_name: String,
    head_bytes: u64,
}

impl Fields {
    /// A field by its lower-case name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn required(&self, name: &'static str) -> Result<&str, ApiError> {
        self.get(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            let message = format!("Bucket POST must contain a field named '{name}'.");
            ApiError::bad_request("InvalidArgument", message).with("ArgumentName", name)
        })
    }
}

/// Checks the signature of the policy, then the form against the policy. Gives the lengths that a
/// file may have.
fn authenticate(
    state: &State,
    call: &mut Call,
    fields: &Fields,
    policy: &str,
    bucket: &str,
) -> Result<(u64, u64), Stop> {
    if fields.required("x-amz-algorithm")? != "AWS4-HMAC-SHA256" {
        return Err(Refusal::Unsupported.into());
    }
    let (id, scope) = read_credential(fields.required("x-amz-credential")?)?;
    if scope.service != Service::S3.name() || scope.region != state.region {
        return Err(Refusal::WrongRegion(scope.region, state.region.clone()).into());
    }
    let date = fields.required("x-amz-date")?;
    let signed_ms = moment::parse_amz(date).filter(|_| date.starts_with(&scope.date));
    let signed_ms = signed_ms
        .ok_or_else(|| Refusal::Malformed("x-amz-date does not fit the credential.".to_owned()))?;
    let age_ms = call.now_ms.saturating_sub(signed_ms);
    if age_ms > EXPIRES_SECONDS_MAX * 1000 || signed_ms > call.now_ms + super::SKEW_MS_MAX {
        return Err(post_policy::failed("Policy expired.").into());
    }
    let token = fields.get("x-amz-security-token");
    let signer = Signer::find(state, &id, token, call.now_ms)?;
    let key = SigningKey::derive(&signer.secret, &scope);
    if !key.verify(policy, fields.required("x-amz-signature")?) {
        return Err(Refusal::Mismatch(Box::new(super::refusal::Mismatch {
            access_key_id: id,
            string_to_sign: policy.to_owned(),
            provided: fields.get("x-amz-signature").unwrap_or_default().to_owned(),
            canonical_request: String::new(),
        }))
        .into());
    }
    let lengths = post_policy::check(policy, fields, bucket, call.now_ms)?;
    call.caller = signer.caller;
    call.auth = AuthType::Post;
    call.signature_age_ms = Some(age_ms);
    Ok(lengths)
}

fn answer_of(fields: &Fields, bucket: &str, key: &str) -> Result<FormAnswer, ApiError> {
    let status = match fields.get("success_action_status") {
        Some("200") => StatusCode::OK,
        Some("201") => StatusCode::CREATED,
        _ => StatusCode::NO_CONTENT,
    };
    let redirect = fields.get("success_action_redirect").or_else(|| fields.get("redirect"));
    let redirect = redirect.filter(|target| {
        let web = target.starts_with("https://") || target.starts_with("http://");
        web && target.bytes().all(|byte| byte.is_ascii_graphic())
    });
    Ok(FormAnswer {
        status,
        redirect: redirect.map(str::to_owned),
        bucket: bucket.to_owned(),
        key: key.to_owned(),
    })
}

/// Fields that are headers of the PUT.
fn headers_of(fields: &Fields, own: &HeaderMap) -> Result<HeaderMap, ApiError> {
    const PLAIN: [&str; 5] =
        ["cache-control", "content-type", "content-disposition", "content-encoding", "expires"];
    const PREFIXES: [&str; 7] = [
        "x-amz-meta-",
        "x-amz-server-side-encryption",
        "x-amz-checksum-",
        "x-amz-sdk-checksum-algorithm",
        "x-amz-storage-class",
        "x-amz-object-lock-",
        "x-amz-website-redirect-location",
    ];
    const SIGNATURE: [&str; 5] = [
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-signature",
        "x-amz-security-token",
    ];
    let mut headers = HeaderMap::new();
    for name in ["host", "user-agent", "referer", "origin"] {
        if let Some(value) = own.get(name) {
            headers.insert(name, value.clone());
        }
    }
    for (name, value) in fields.iter() {
        let target = match name {
            "acl" => "x-amz-acl",
            "tagging" => return Err(ApiError::not_implemented("The form field 'tagging'")),
            name if PLAIN.contains(&name) => name,
            name if SIGNATURE.contains(&name) || !name.starts_with("x-amz-") => continue,
            name if PREFIXES.iter().any(|prefix| name.starts_with(prefix)) => name,
            name => {
                let message = format!("The form field '{name}' is not supported.");
                return Err(ApiError::bad_request("InvalidArgument", message));
            }
        };
        let name = HeaderName::from_bytes(target.as_bytes()).map_err(|_| malformed())?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| malformed())?;
        headers.insert(name, value);
    }
    Ok(headers)
}

async fn read_fields(body: &mut Body, boundary: &str) -> Result<(Fields, Bytes), ApiError> {
    let mut head = BytesMut::new();
    loop {
        if let Some((mut fields, at)) = parse_fields(&head, boundary)? {
            let file = head.split_off(at).freeze();
            fields.head_bytes = at as u64;
            return Ok((fields, file));
        }
        if head.len() > HEAD_BYTES_MAX {
            return Err(fields_too_long());
        }
        match body.next().await {
            Some(bytes) => head.extend_from_slice(&bytes?),
            None => return Err(malformed()),
        }
    }
}

/// The fields, and where the file's content begins; `None` if more must be read to tell.
fn parse_fields(head: &[u8], boundary: &str) -> Result<Option<(Fields, usize)>, ApiError> {
    let opening = format!("--{boundary}");
    let delimiter = format!("\r\n--{boundary}");
    let mut fields = Fields { fields: Vec::new(), file_name: String::new(), head_bytes: 0 };
    let mut field_bytes = 0;
    let mut at = opening.len();
    if head.len() < at + 2 {
        return Ok(None);
    }
    if !head.starts_with(opening.as_bytes()) {
        return Err(malformed());
    }
    loop {
        match head.get(at..at + 2) {
            None => return Ok(None),
            Some(b"\r\n") => at += 2,
            Some(b"--") => {
                let message = "POST requires exactly one file upload per request.";
                return Err(ApiError::bad_request("InvalidArgument", message));
            }
            Some(_) => return Err(malformed()),
        }
        let Some(end) = find(head, at, b"\r\n\r\n") else { return Ok(None) };
        let (name, file_name) = part_name(head.get(at..end).unwrap_or_default())?;
        at = end + 4;
        if name == "file" {
            fields.file_name = file_name.unwrap_or_default();
            return Ok(Some((fields, at)));
        }
        let Some(end) = find(head, at, delimiter.as_bytes()) else { return Ok(None) };
        let value = head.get(at..end).unwrap_or_default().to_vec();
        let value = String::from_utf8(value).map_err(|_| malformed())?;
        field_bytes += name.len() + value.len();
        if field_bytes > FIELDS_BYTES_MAX || fields.fields.len() >= FIELDS_MAX {
            return Err(fields_too_long());
        }
        if fields.get(&name).is_some() {
            return Err(malformed());
        }
        fields.fields.push((name, value));
        at = end + delimiter.len();
    }
}

/// `name` (in lower case) and `filename` of a part's `Content-Disposition`.
fn part_name(head: &[u8]) -> Result<(String, Option<String>), ApiError> {
    let head = std::str::from_utf8(head).map_err(|_| malformed())?;
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then(|| value.trim())
    });
    let rest =
        disposition.and_then(|value| value.strip_prefix("form-data")).ok_or_else(malformed)?;
    let (mut name, mut file_name) = (None, None);
    let mut rest = rest.trim_start();
    while let Some(parameter) = rest.strip_prefix(';') {
        let (word, value) = parameter.split_once('=').ok_or_else(malformed)?;
        // Browsers write a quote within a name as %22, so none occurs inside.
        let value = value.strip_prefix('"').ok_or_else(malformed)?;
        let (value, after) = value.split_once('"').ok_or_else(malformed)?;
        match word.trim() {
            "name" => name = Some(value.to_ascii_lowercase()),
            "filename" => file_name = Some(value.to_owned()),
            _ => {}
        }
        rest = after.trim_start();
    }
    Ok((name.ok_or_else(malformed)?, file_name))
}

fn find(bytes: &[u8], from: usize, wanted: &[u8]) -> Option<usize> {
    let at = bytes.get(from..)?.windows(wanted.len()).position(|window| window == wanted)?;
    Some(from + at)
}

/// Takes the file out of the form: everything up to the next boundary.
pub struct FileDecoder {
    delimiter: Vec<u8>,
    /// The end of what came, if it may be the beginning of the delimiter.
    held: BytesMut,
    lengths: (u64, u64),
    bytes: u64,
    done: bool,
}

impl FileDecoder {
    /// The file's content in `input`; `None` if there is none in it, or the file is over.
    pub fn step(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, ApiError> {
        if self.done {
            input.clear();
            return Ok(None);
        }
        self.held.extend_from_slice(input);
        input.clear();
        let content = match find(&self.held, 0, &self.delimiter) {
            Some(at) => {
                self.done = true;
                self.held.split_to(at)
            }
            None => {
                let kept = self.held.len().min(self.delimiter.len() - 1);
                self.held.split_to(self.held.len() - kept)
            }
        };
        self.bytes += content.len() as u64;
        if self.bytes > self.lengths.1 {
            let message = "Your proposed upload exceeds the maximum allowed size";
            return Err(ApiError::bad_request("EntityTooLarge", message)
                .with("MaxSizeAllowed", self.lengths.1.to_string()));
        }
        Ok(Some(content.freeze()).filter(|content| !content.is_empty()))
    }

    /// Whether the file came whole, and is long enough.
    pub fn finish(&self) -> Result<(), ApiError> {
        if !self.done {
            return Err(malformed());
        }
        match self.bytes < self.lengths.0 {
            false => Ok(()),
            true => {
                let message = "Your proposed upload is smaller than the minimum allowed size";
                Err(ApiError::bad_request("EntityTooSmall", message)
                    .with("MinSizeAllowed", self.lengths.0.to_string()))
            }
        }
    }
}

fn malformed() -> ApiError {
    ApiError::bad_request(
        "MalformedPOSTRequest",
        "The body of your POST request is not well-formed multipart/form-data.",
    )
}

fn fields_too_long() -> ApiError {
    ApiError::bad_request(
        "MaxPostPreDataLengthExceeded",
        "Your POST request fields preceding the upload file were too large.",
    )
}
