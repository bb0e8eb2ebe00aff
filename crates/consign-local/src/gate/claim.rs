//! What a request claims about who signed it, before anything is believed.
//!
//! [`Claim::read`] looks in the three places where AWS puts a signature and refuses a request that
//! uses more than one, or an older scheme.

use http::{HeaderMap, request::Parts};

use super::refusal::Refusal;
use super::signature::Scope;
use super::uri::Query;
use crate::call::AuthType;

/// The longest life of a presigned URL: a week, by AWS's rule.
pub const EXPIRES_SECONDS_MAX: u64 = 604_800;

/// The query parameters that are the signature and not the request.
pub const AUTH_PARAMETERS: [&str; 7] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
];

/// A signature and what it says it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Where it was.
    pub auth: AuthType,
    /// Whose key.
    pub access_key_id: String,
    /// What the key is scoped to.
    pub scope: Scope,
    /// Lower-case names, in the order given.
    pub signed_headers: Vec<String>,
    /// 64 hexadecimal digits.
    pub signature: String,
    /// `YYYYMMDDTHHMMSSZ`, as given.
    pub timestamp: String,
    /// The life of a presigned URL.
    pub expires_seconds: Option<u64>,
    /// The session token.
    pub token: Option<String>,
}

impl Claim {
    /// Reads the claim; `None` when the request is not signed at all.
    pub fn read(parts: &Parts, query: &Query) -> Result<Option<Claim>, (AuthType, Refusal)> {
        let in_query = query.iter().any(|(name, _)| {
            ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"].contains(&name.as_str())
        });
        let mut headers = parts.headers.get_all(http::header::AUTHORIZATION).iter();
        let header = headers.next();
        if headers.next().is_some() || (header.is_some() && in_query) {
            let what = "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, \
                        Signature query string parameter or the Authorization header should be \
                        specified";
            return Err((AuthType::Header, malformed(what)));
        }
        if let Some(header) = header {
            let text = header.to_str().map_err(|_| (AuthType::Header, malformed("not ASCII")))?;
            return from_header(text, &parts.headers)
                .map(Some)
                .map_err(|refusal| (AuthType::Header, refusal));
        }
        if in_query {
            return from_query(query).map(Some).map_err(|refusal| (AuthType::Query, refusal));
        }
        if query.iter().any(|(name, _)| name == "AWSAccessKeyId" || name == "Signature") {
            return Err((AuthType::Query, Refusal::Unsupported));
        }
        Ok(None)
    }
}

fn malformed(what: impl Into<String>) -> Refusal {
    Refusal::Malformed(what.into())
}

fn from_header(text: &str, headers: &HeaderMap) -> Result<Claim, Refusal> {
    let Some((algorithm, rest)) = text.trim().split_once([' ', '\t']) else {
        return Err(Refusal::Unsupported);
    };
    if algorithm != "AWS4-HMAC-SHA256" {
        return Err(Refusal::Unsupported);
    }
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for field in rest.split(',') {
        let Some((name, value)) = field.trim().split_once('=') else {
            return Err(malformed("a field has no '='."));
        };
        let slot = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            _ => return Err(malformed(format!("unknown field '{name}'."))),
        };
        if slot.replace(value).is_some() {
            return Err(malformed(format!("two fields '{name}'.")));
        }
    }
    let (access_key_id, scope) =
        read_credential(credential.ok_or_else(|| malformed("missing Credential."))?)?;
    let signed_headers =
        read_signed_headers(signed_headers.ok_or_else(|| malformed("missing SignedHeaders."))?)?;
    let signature = read_signature(signature.ok_or_else(|| malformed("missing Signature."))?)?;
    let timestamp = read_date(headers)?;
    let token = match headers.get("x-amz-security-token").map(|token| token.to_str()) {
        Some(Ok(token)) => Some(token.to_owned()),
        Some(Err(_)) => return Err(Refusal::BadToken),
        None => None,
    };
    Ok(Claim {
        auth: AuthType::Header,
        access_key_id,
        scope,
        signed_headers,
        signature,
        timestamp,
        expires_seconds: None,
        token,
    })
}

fn from_query(query: &Query) -> Result<Claim, Refusal> {
    let field = |wanted: &str| {
        let mut found = query.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value);
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(malformed(format!("{wanted} must not be given twice"))),
            (value, _) => Ok(value.map(String::as_str)),
        }
    };
    let required = |wanted: &str| {
        field(wanted)?.ok_or_else(|| {
            malformed(
                "Query-string authentication version 4 requires the X-Amz-Algorithm, \
                 X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and \
                 X-Amz-Expires parameters.",
            )
        })
    };
    if required("X-Amz-Algorithm")? != "AWS4-HMAC-SHA256" {
        return Err(malformed("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\""));
    }
    let (access_key_id, scope) = read_credential(required("X-Amz-Credential")?)?;
    let expires = required("X-Amz-Expires")?;
    let seconds: i64 =
        expires.parse().map_err(|_| malformed("X-Amz-Expires should be a number"))?;
    let seconds =
        u64::try_from(seconds).map_err(|_| malformed("X-Amz-Expires must be non-negative"))?;
    if seconds > EXPIRES_SECONDS_MAX {
        let what = "X-Amz-Expires must be less than a week (in seconds); that is, the given \
                    X-Amz-Expires must be less than 604800 seconds";
        return Err(malformed(what));
    }
    Ok(Claim {
        auth: AuthType::Query,
        access_key_id,
        scope,
        signed_headers: read_signed_headers(required("X-Amz-SignedHeaders")?)?,
        signature: read_signature(required("X-Amz-Signature")?)?,
        timestamp: required("X-Amz-Date")?.to_owned(),
        expires_seconds: Some(seconds),
        token: field("X-Amz-Security-Token")?.map(str::to_owned),
    })
}

/// `AKID/YYYYMMDD/REGION/SERVICE/aws4_request`, also for POST forms.
pub fn read_credential(text: &str) -> Result<(String, Scope), Refusal> {
    let bad = || {
        malformed(
            "the Credential is mal-formed; expecting \
             \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".",
        )
    };
    let parts: Vec<&str> = text.split('/').collect();
    let [id, date, region, service, "aws4_request"] = parts.as_slice() else {
        return Err(bad());
    };
    let id_is_sound = (16..=128).contains(&id.len()) && id.bytes().all(is_word);
    let date_is_sound = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
    if !id_is_sound || !date_is_sound || region.len() > 64 || service.len() > 64 {
        return Err(bad());
    }
    let scope = Scope {
        date: (*date).to_owned(),
        region: (*region).to_owned(),
        service: (*service).to_owned(),
    };
    Ok(((*id).to_owned(), scope))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn read_signed_headers(text: &str) -> Result<Vec<String>, Refusal> {
    let names: Vec<String> = text.split(';').map(str::to_owned).collect();
    let mut seen = std::collections::BTreeSet::new();
    for name in &names {
        let sound = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase());
        if !sound || !seen.insert(name) {
            return Err(malformed("SignedHeaders must be distinct lower-case names."));
        }
    }
    Ok(names)
}

fn read_signature(text: &str) -> Result<String, Refusal> {
    // Anything else cannot be right; the length keeps hostile input out of the error document.
    match text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text.to_owned()),
        false => Err(malformed("the Signature is not 64 hexadecimal digits.")),
    }
}

fn read_date(headers: &HeaderMap) -> Result<String, Refusal> {
    let one = |name: &str| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    };
    one("x-amz-date")
        .or_else(|| one("date"))
        .map(str::to_owned)
        .ok_or_else(|| malformed("AWS authentication requires a valid Date or x-amz-date header"))
}
