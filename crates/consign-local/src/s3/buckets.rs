//! Buckets themselves: create, delete, head, location.

use http::StatusCode;

use super::about::acl_not_supported;
use super::ask::{Ask, invalid_argument, refused};
use super::delete::check_small_body;
use super::response::{Answer, empty, set, xml};
use super::store::{Bucket, DefaultEncryption, PublicAccessBlock, StoreErrorKind, Versioning};
use super::xml::{Document, Node, malformed};
use crate::error::ApiError;
use crate::gate::Body;

/// Configuration documents are small.
pub(super) const DOCUMENT_BYTES_MAX: usize = 64 * 1024;

pub(super) async fn create_bucket(ask: &Ask, body: &mut Body) -> Answer {
    let name = ask.bucket.clone().unwrap_or_default();
    let Some(account) = ask.call.caller.account.clone() else {
        return Err(ApiError::access_denied().because("an anonymous caller owns no buckets"));
    };
    check_name(&name, &account, &ask.state.region)?;
    let arn = format!("arn:aws:s3:::{name}");
    let mut facts = Vec::new();
    for (header, fact) in
        [("x-amz-acl", "s3:x-amz-acl"), ("x-amz-object-ownership", "s3:x-amz-object-ownership")]
    {
        facts.extend(ask.header(header).map(|value| (fact.to_owned(), value.to_owned())));
    }
    let document = body.collect(DOCUMENT_BYTES_MAX, || malformed("too long")).await?;
    check_small_body(ask, &document, body, false)?;
    let (location, tags) = read_configuration(&document)?;
    let region = &ask.state.region;
    facts.extend(location.clone().map(|region| ("s3:LocationConstraint".to_owned(), region)));
    crate::authorize::authorize(
        &ask.state,
        &ask.call,
        "s3:CreateBucket",
        &arn,
        &account,
        &[],
        &facts,
    )?;
    if let Some(location) = location.filter(|location| location != region) {
        let message = format!(
            "The {location} location constraint is incompatible for the region \
                               specific endpoint this request was sent to."
        );
        return Err(ApiError::bad_request("IllegalLocationConstraintException", message));
    }
    if ask.header("x-amz-bucket-object-lock-enabled").is_some_and(|text| text == "true") {
        return Err(ApiError::not_implemented("Object Lock"));
    }
    let ownership = ask.header("x-amz-object-ownership").unwrap_or("BucketOwnerEnforced");
    check_ownership(ownership)?;
    if !matches!(ask.header("x-amz-acl"), None | Some("private")) {
        return Err(match ownership {
            "BucketOwnerEnforced" => acl_not_supported(),
            _ => ApiError::not_implemented("Granting access by ACL"),
        });
    }
    let bucket = Bucket {
        name: name.clone(),
        account: account.clone(),
        created_ms: ask.call.now_ms,
        versioning: Versioning::Never,
        ownership: Some(ownership.to_owned()),
        policy: None,
        public_access: Some(PublicAccessBlock::all()),
        encryption: DefaultEncryption::default(),
        tags,
        notifications: Vec::new(),
        documents: std::collections::BTreeMap::new(),
        transition_minimum: None,
        policy_cache: Default::default(),
    };
    match ask.store().create_bucket(bucket).await {
        Ok(()) => {}
        Err(error) if error.kind() == StoreErrorKind::BucketExists => {
            let owned = ask.store().bucket(&name).is_ok_and(|bucket| bucket.account == account);
            return Err(if owned { already_owned() } else { refused(&error) });
        }
        Err(error) => return Err(refused(&error)),
    }
    let mut response = empty(StatusCode::OK);
    set(response.headers_mut(), "location", format!("/{name}"))?;
    Ok(response)
}

fn already_owned() -> ApiError {
    ApiError::new(
        StatusCode::CONFLICT,
        "BucketAlreadyOwnedByYou",
        "Your previous request to create the named bucket succeeded and you already own it.",
    )
}

pub(super) fn check_ownership(ownership: &str) -> Result<(), ApiError> {
    match ownership {
        "BucketOwnerEnforced" | "BucketOwnerPreferred" | "ObjectWriter" => Ok(()),
        other => {
            Err(invalid_argument("Invalid x-amz-object-ownership", "x-amz-object-ownership", other))
        }
    }
}

/// The region and the tags that a CreateBucketConfiguration names.
type Configuration = (Option<String>, Vec<(String, String)>);

fn read_configuration(document: &[u8]) -> Result<Configuration, ApiError> {
    if document.is_empty() {
        return Ok((None, Vec::new()));
    }
    let root = Node::parse(document, "CreateBucketConfiguration")?;
    root.only(&["LocationConstraint", "Tags"])?;
    let location = root.text_of("LocationConstraint").map(str::trim);
    let mut tags = Vec::new();
    for tag in root.child("Tags").iter().flat_map(|tags| tags.all("Tag")) {
        let text = |name| tag.text_of(name).map(str::to_owned);
        let key = text("Key").ok_or_else(|| malformed("a tag without a key"))?;
        tags.push((key, text("Value").unwrap_or_default()));
    }
    Ok((location.filter(|location| !location.is_empty()).map(str::to_owned), tags))
}

/// S3's naming rules, and that names of an account's own namespace (`…-<account>-<region>-an`) are
/// taken by that account alone.
fn check_name(name: &str, account: &str, region: &str) -> Result<(), ApiError> {
    let bytes = name.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let well_formed = (3..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| alphanumeric(byte) || matches!(byte, b'-' | b'.'))
        && ends.into_iter().all(|end| end.is_some_and(alphanumeric))
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
        && !["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|prefix| name.starts_with(prefix))
        && !["-s3alias", "--ol-s3", ".mrap", "--x-s3"].iter().any(|end| name.ends_with(end));
    let own = !name.ends_with("-an") || name.ends_with(&format!("-{account}-{region}-an"));
    match well_formed && own {
        true => Ok(()),
        false => {
            let message = "The specified bucket is not valid.";
            Err(ApiError::bad_request("InvalidBucketName", message).with("BucketName", name))
        }
    }
}

pub(super) async fn delete_bucket(ask: &Ask) -> Answer {
    let bucket = ask.bucket()?;
    ask.allow_on_bucket(&bucket, "s3:DeleteBucket", &Vec::new())?;
    ask.store().delete_bucket(&bucket.name).await.map_err(|error| refused(&error))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) async fn head_bucket(ask: &Ask) -> Answer {
    let bucket = ask.bucket()?;
    ask.allow_on_bucket(&bucket, "s3:ListBucket", &Vec::new())?;
    let mut response = empty(StatusCode::OK);
    let headers = response.headers_mut();
    set(headers, "x-amz-bucket-region", &ask.state.region)?;
    set(headers, "x-amz-access-point-alias", "false")?;
    Ok(response)
}

pub(super) async fn get_bucket_location(ask: &Ask) -> Answer {
    let bucket = ask.bucket()?;
    ask.allow_on_bucket(&bucket, "s3:GetBucketLocation", &Vec::new())?;
    let mut document = Document::new("LocationConstraint");
    if ask.state.region != "us-east-1" {
        document.text(&ask.state.region);
    }
    Ok(xml(document, "LocationConstraint"))
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn names() {
        let check = |name: &str| check_name(name, "111111111111", "eu-west-1").is_ok();
        for name in [
            "abc",
            "a.b-c",
            "1-2",
            "x-111111111111-eu-west-1-an",
            "-an".repeat(3).get(1..).unwrap(),
        ] {
            assert_eq!(check(name), !name.starts_with("an-an"), "{name}");
        }
        for name in [
            "",
            "ab",
            "Abc",
            "a_b",
            "a..b",
            ".abc",
            "abc-",
            "10.0.0.1",
            "a/b",
            "é".repeat(3).as_str(),
            "x-222222222222-eu-west-1-an",
            &"a".repeat(64),
            "xn--abc",
            "abc-s3alias",
        ] {
            assert!(!check(name), "{name}");
        }
    }
}
