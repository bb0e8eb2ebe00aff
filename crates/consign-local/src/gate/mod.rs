//! The gate: who is asking, and is this the request they signed?
//!
//! Every request of every service comes through [`admit`], in this order: the target is one that
//! cannot be read two ways; the claim is well-formed and for this service and region; it is recent;
//! the access key exists and its session token is ours; everything that changes the meaning of the
//! request was signed; the signature is right. Only then does anything else see the request. The
//! payload is verified by [`Body`] while the service reads it.
//!
//! Two rules are stricter than some servers', because their absence was exploited: every `x-amz-*`
//! header and `host` must be among the signed headers (else a presigned PUT becomes a copy of
//! somebody else's object by adding `x-amz-copy-source`), and Signature Version 2 is refused.

pub mod body;
pub mod chunked;
pub mod claim;
pub mod form;
pub mod post_policy;
pub mod refusal;
pub mod signature;
pub mod signer;
pub mod uri;

use std::net::IpAddr;

use ::http::request::Parts;
use ::http::{HeaderMap, HeaderName, HeaderValue, Request};
use aws_lc_rs::digest::{Context, SHA256};
use hyper::body::{Body as _, Incoming};

pub use body::Body;
use body::Check;
use chunked::{ChunkDecoder, ChunkSignature};
use claim::{AUTH_PARAMETERS, Claim};
use refusal::{Mismatch, Refusal};
use signature::{Canonical, SigningKey};
use signer::{Signer, Stop};
use uri::Query;

use crate::call::{AuthType, Call, Caller, Service, Verified};
use crate::error::ApiError;
use crate::moment;
use crate::state::State;

/// How far a client's clock may be off.
pub const SKEW_MS_MAX: u64 = 15 * 60 * 1000;
/// No call of IAM, STS or KMS is longer; they are read whole before their signature is checked.
const CALL_BYTES_MAX: usize = 1 << 20;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address.
    pub source_ip: IpAddr,
    /// The TLS version, `"1.2"` or `"1.3"`; `None` over plain HTTP.
    pub tls_version: Option<&'static str>,
}

/// A request that did not get in, with the service in whose words to say so.
pub struct Turned {
    /// Whose error shape.
    pub service: Service,
    /// What to say.
    pub error: ApiError,
}

/// Lets a request in or turns it away.
pub async fn admit(
    state: &State,
    peer: &Peer,
    request_id: String,
    request: Request<Incoming>,
) -> Result<Verified, Turned> {
    let now_ms = state.clock.now_ms();
    let (parts, incoming) = request.into_parts();
    let unsure = guess_service(&parts);
    let turned = |error| Turned { service: unsure, error };
    check_target(&parts).map_err(turned)?;
    let path = uri::decode_path(parts.uri.path()).map_err(turned)?;
    let query = uri::decode_query(parts.uri.query().unwrap_or_default()).map_err(turned)?;
    let claim = Claim::read(&parts, &query)
        .map_err(|(auth, refusal)| turned(refusal.as_error(unsure, auth)))?;
    let service = match &claim {
        Some(claim) => service_of(claim, unsure).map_err(turned)?,
        None => unsure,
    };
    let auth = claim.as_ref().map_or(AuthType::Anonymous, |claim| claim.auth);
    let mut call = Call {
        caller: Caller::anonymous(),
        auth,
        signature_age_ms: None,
        content_sha256: None,
        tls_version: peer.tls_version,
        source_ip: peer.source_ip,
        now_ms,
        request_id,
        form: None,
        service,
        path,
        query,
        parts,
    };
    match check(state, &mut call, claim, incoming).await {
        Ok(body) => Ok(Verified { call, body }),
        Err(Stop::Refused(refusal)) => {
            Err(Turned { service, error: refusal.as_error(service, auth) })
        }
        Err(Stop::Failed(error)) => Err(Turned { service, error }),
    }
}

async fn check(
    state: &State,
    call: &mut Call,
    claim: Option<Claim>,
    incoming: Incoming,
) -> Result<Body, Stop> {
    let Some(claim) = claim else {
        if call.service != Service::S3 {
            return Err(Refusal::Missing.into());
        }
        if let Some(boundary) = form::boundary(call) {
            let wire_bytes = incoming.size_hint().exact();
            let may_drain = !call.parts.headers.contains_key(::http::header::EXPECT);
            let body = Body::incoming(incoming, Check::None, wire_bytes, may_drain);
            return form::admit(state, call, body, &boundary).await;
        }
        call.content_sha256 = call.header("x-amz-content-sha256").map(str::to_owned);
        return s3_body(call, incoming, None);
    };
    check_scope(state, call.service, &claim)?;
    call.signature_age_ms = Some(check_time(&claim, call.now_ms)?);
    let signer = Signer::of(state, &claim, call.now_ms)?;
    check_signed_headers(&claim, &call.parts.headers)?;
    let original_query = call.query.clone();
    if claim.auth == AuthType::Query {
        take_query_headers(call)?;
    }
    let key = SigningKey::derive(&signer.secret, &claim.scope);
    if call.service == Service::S3 {
        let payload = payload_word(call, &claim)?;
        verify(call, &claim, &key, &original_query, &payload)?;
        call.caller = signer.caller;
        call.content_sha256 = Some(payload);
        return s3_body(call, incoming, Some((key, &claim)));
    }
    let mut body = Body::incoming(incoming, Check::None, None, false);
    let too_large = || ApiError::bad_request("RequestEntityTooLarge", "The request is too large.");
    let bytes_max = match call.service {
        Service::Sqs => crate::sqs::CALL_BYTES_MAX,
        _ => CALL_BYTES_MAX,
    };
    let bytes = body.collect(bytes_max, too_large).await?;
    verify(call, &claim, &key, &original_query, &signature::sha256_hex(&bytes))?;
    call.caller = signer.caller;
    Ok(Body::from_bytes(bytes))
}

/// Refuses targets that one program reads as one resource and another as a second one.
fn check_target(parts: &Parts) -> Result<(), ApiError> {
    let absolute = parts.uri.scheme().is_some() || parts.uri.authority().is_some();
    let hosts = parts.headers.get_all(::http::header::HOST).iter().count();
    if absolute || hosts != 1 || !parts.uri.path().starts_with('/') {
        return Err(ApiError::bad_request(
            "InvalidRequest",
            "The request target must be a path, with exactly one Host header.",
        ));
    }
    Ok(())
}

/// Which service an unsigned or unreadable request was meant for, for the shape of the error only.
fn guess_service(parts: &Parts) -> Service {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let is_form = header("content-type")
        .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
    if header("x-amz-target").is_some_and(|target| target.starts_with("TrentService.")) {
        Service::Kms
    } else if header("x-amz-target").is_some_and(|target| target.starts_with(crate::sqs::TARGET)) {
        Service::Sqs
    } else if is_form && parts.uri.path() == "/" {
        Service::Sts
    } else {
        Service::S3
    }
}

fn service_of(claim: &Claim, unsure: Service) -> Result<Service, ApiError> {
    let known = [Service::S3, Service::Kms, Service::Iam, Service::Sts, Service::Sqs];
    let named = known.into_iter().find(|service| service.name() == claim.scope.service);
    named.ok_or_else(|| {
        let given = &claim.scope.service;
        let what = format!("incorrect service \"{given}\". This endpoint belongs to \"s3\".");
        Refusal::Malformed(what).as_error(unsure, claim.auth)
    })
}

fn check_scope(state: &State, service: Service, claim: &Claim) -> Result<(), Refusal> {
    let region = &claim.scope.region;
    // IAM is global and signed for us-east-1; STS has a global endpoint beside the regional ones.
    let global = matches!(service, Service::Iam | Service::Sts) && region == "us-east-1";
    if *region != state.region && !global {
        return Err(Refusal::WrongRegion(region.clone(), state.region.clone()));
    }
    Ok(())
}

/// The signature's age in milliseconds.
fn check_time(claim: &Claim, now_ms: u64) -> Result<u64, Refusal> {
    let signed_ms = moment::parse_amz(&claim.timestamp)
        .or_else(|| {
            let dated = claim.auth == AuthType::Header;
            dated.then(|| moment::parse_http(&claim.timestamp)).flatten()
        })
        .ok_or_else(|| {
            let form = "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"";
            Refusal::Malformed(form.to_owned())
        })?;
    let signed_date = moment::amz(signed_ms);
    if !signed_date.starts_with(&claim.scope.date) {
        return Err(Refusal::Malformed(format!(
            "Invalid credential date \"{}\". This date is not the same as X-Amz-Date: \"{}\".",
            claim.scope.date,
            signed_date.get(..8).unwrap_or_default()
        )));
    }
    let age_ms = now_ms.saturating_sub(signed_ms);
    let ahead_ms = signed_ms.saturating_sub(now_ms);
    match claim.expires_seconds {
        None if age_ms.max(ahead_ms) > SKEW_MS_MAX => {
            return Err(Refusal::Skewed(claim.timestamp.clone(), moment::iso(now_ms)));
        }
        Some(_) if ahead_ms > SKEW_MS_MAX => return Err(Refusal::NotYetValid),
        Some(seconds) if age_ms > seconds * 1000 => {
            let expired = moment::iso(signed_ms + seconds * 1000);
            return Err(Refusal::Expired(seconds.to_string(), expired, moment::iso(now_ms)));
        }
        _ => {}
    }
    Ok(age_ms)
}

fn check_signed_headers(claim: &Claim, headers: &HeaderMap) -> Result<(), Refusal> {
    let is_signed = |name: &str| claim.signed_headers.iter().any(|signed| signed == name);
    let unsigned: Vec<&str> = headers
        .keys()
        .map(HeaderName::as_str)
        .filter(|name| *name == "host" || name.starts_with("x-amz-"))
        .filter(|name| !is_signed(name))
        .collect();
    match unsigned.is_empty() {
        true => Ok(()),
        false => Err(Refusal::HeadersNotSigned(unsigned.join(", "))),
    }
}

/// Presigning SDKs move headers into the query (`X-Amz-Server-Side-Encryption=…`), where the
/// signature covers them. Puts them back where the services look, and takes the signature's own
/// parameters out of the query.
fn take_query_headers(call: &mut Call) -> Result<(), Refusal> {
    let twice = |name: &str| {
        Refusal::Malformed(format!("{name} is both a header and a query parameter, and differs"))
    };
    for (name, value) in std::mem::take(&mut call.query) {
        let lower = name.to_ascii_lowercase();
        if AUTH_PARAMETERS.iter().any(|own| own.eq_ignore_ascii_case(&name)) {
            continue;
        }
        if !lower.starts_with("x-amz-") {
            call.query.push((name, value));
            continue;
        }
        let (Ok(header), Ok(value)) =
            (HeaderName::from_bytes(lower.as_bytes()), HeaderValue::from_str(&value))
        else {
            return Err(Refusal::Malformed(format!("{name} cannot be a header")));
        };
        match call.parts.headers.get(&header) {
            Some(given) if *given != value => return Err(twice(&name)),
            Some(_) => {}
            None => {
                call.parts.headers.insert(header, value);
            }
        }
    }
    Ok(())
}

/// What stands for the payload in the canonical request.
fn payload_word(call: &Call, claim: &Claim) -> Result<String, ApiError> {
    match (call.header("x-amz-content-sha256"), claim.auth) {
        (Some(word), _) => Ok(word.to_owned()),
        (None, AuthType::Query) => Ok("UNSIGNED-PAYLOAD".to_owned()),
        (None, _) => Err(ApiError::bad_request(
            "InvalidRequest",
            "Missing required header for this request: x-amz-content-sha256",
        )),
    }
}

fn verify(
    call: &Call,
    claim: &Claim,
    key: &SigningKey,
    query: &Query,
    payload: &str,
) -> Result<(), Refusal> {
    // S3 encodes the path once. The other services have no path to speak of.
    let path = uri::encode(&call.path, true);
    let leave_out = (claim.auth == AuthType::Query).then_some("X-Amz-Signature");
    let mut headers = Vec::new();
    for name in &claim.signed_headers {
        let values: Vec<Vec<u8>> = call
            .parts
            .headers
            .get_all(name)
            .iter()
            .map(|value| signature::canonical_value(value.as_bytes()))
            .collect();
        headers.extend_from_slice(name.as_bytes());
        headers.push(b':');
        headers.extend_from_slice(&values.join(&b','));
        headers.push(b'\n');
    }
    // Refused rather than read lossily, which would make two different headers alike.
    let headers = String::from_utf8(headers)
        .map_err(|_| Refusal::Malformed("a signed header is not UTF-8.".to_owned()))?;
    let canonical_request = Canonical {
        method: call.parts.method.as_str(),
        path: &path,
        query: &uri::canonical_query(query, leave_out),
        headers: &headers,
        signed_headers: &claim.signed_headers.join(";"),
        payload,
    }
    .request();
    let string_to_sign =
        signature::string_to_sign(&claim.timestamp, &claim.scope, &canonical_request);
    if key.verify(&string_to_sign, &claim.signature) {
        return Ok(());
    }
    Err(Refusal::Mismatch(Box::new(Mismatch {
        access_key_id: claim.access_key_id.clone(),
        string_to_sign,
        provided: claim.signature.clone(),
        canonical_request,
    })))
}

/// The body of an S3 request, with the check that its `x-amz-content-sha256` calls for.
fn s3_body(
    call: &Call,
    incoming: Incoming,
    signed: Option<(SigningKey, &Claim)>,
) -> Result<Body, Stop> {
    let word = call.content_sha256.as_deref().unwrap_or("UNSIGNED-PAYLOAD");
    let may_drain = !call.parts.headers.contains_key(::http::header::EXPECT);
    let wire_bytes = incoming.size_hint().exact();
    let chunk_signature = |(key, claim): (SigningKey, &Claim)| ChunkSignature {
        key,
        timestamp: claim.timestamp.clone(),
        scope: claim.scope.clone(),
        previous: claim.signature.clone(),
    };
    let presigned = call.auth == AuthType::Query;
    let check = match (word, signed) {
        ("UNSIGNED-PAYLOAD", _) => Check::None,
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", _) if !presigned => chunked(call, None)?,
        (
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" | "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            Some(signed),
        ) if !presigned => chunked(call, Some(chunk_signature(signed)))?,
        (hash, _) if hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Check::Sha256(Box::new(Context::new(&SHA256)), hash.to_ascii_lowercase())
        }
        _ => {
            return Err(Stop::Failed(ApiError::bad_request(
                "InvalidArgument",
                "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, \
                 STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, \
                 STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
            )));
        }
    };
    let decoded_bytes = match check {
        Check::Chunked(_) => Some(decoded_length(call)?),
        _ => wire_bytes,
    };
    Ok(Body::incoming(incoming, check, decoded_bytes, may_drain))
}

fn chunked(call: &Call, signature: Option<ChunkSignature>) -> Result<Check, ApiError> {
    let announced: Vec<String> = call
        .header("x-amz-trailer")
        .unwrap_or_default()
        .split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty())
        .collect();
    let decoder = ChunkDecoder::new(decoded_length(call)?, announced, signature);
    Ok(Check::Chunked(Box::new(decoder)))
}

fn decoded_length(call: &Call) -> Result<u64, ApiError> {
    let given = call.header("x-amz-decoded-content-length").ok_or_else(|| {
        ApiError::new(
            ::http::StatusCode::LENGTH_REQUIRED,
            "MissingContentLength",
            "You must provide the Content-Length HTTP header.",
        )
    })?;
    let sound = !given.is_empty() && given.bytes().all(|byte| byte.is_ascii_digit());
    given.parse().ok().filter(|_| sound).ok_or_else(|| {
        ApiError::bad_request("InvalidArgument", "x-amz-decoded-content-length is not a number")
    })
}
