//! What failed: the words of a command turned into the requests that it makes.
//!
//! [`Complaint::of`] understands `ACTION s3://BUCKET/KEY`, the AWS CLI's `s3` and `s3api` commands
//! for objects, and consign's own `send`, `receive` and `list`. It runs nothing.

use crate::desired::{Desired, DesiredLane};
use crate::error::{Error, ErrorKind};
use consign_iam::s3_actions;

/// One request that was denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `s3:GetObject`
    pub action: String,
    /// The bucket.
    pub bucket: String,
    /// The object; empty for the bucket itself.
    pub key: String,
    /// Condition keys that the command sets: encryption headers, `If-None-Match`.
    pub with: Vec<(String, String)>,
}

/// A command that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Complaint {
    /// Its requests, in order.
    pub asked: Vec<Asked>,
    /// The profile it names.
    pub profile: Option<String>,
    /// The endpoint it names.
    pub endpoint: Option<String>,
    /// The party it acts for.
    pub party: Option<String>,
}

const SSE: &str = "s3:x-amz-server-side-encryption";
const SSE_KEY: &str = "s3:x-amz-server-side-encryption-aws-kms-key-id";
const SSE_CUSTOMER: &str = "s3:x-amz-server-side-encryption-customer-algorithm";

impl Complaint {
    /// Reads the words of a command.
    ///
    /// # Errors
    /// [`ErrorKind::Exchange`] for a command that is not understood, or that names a lane which
    /// the exchange file does not have.
    pub fn of(words: &[String], desired: Option<&Desired>) -> Result<Complaint, Error> {
        let mut complaint = Complaint::default();
        let mut with = Vec::new();
        let mut words = words.iter().map(String::as_str).peekable();
        let (mut plain, mut flags) = (Vec::new(), Vec::new());
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--") else {
                plain.push(word);
                continue;
            };
            let (name, joined) =
                flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
            let mut value = || {
                joined.or_else(|| words.next_if(|next| !next.starts_with("--"))).unwrap_or_default()
            };
            match name {
                "profile" => complaint.profile = Some(value().to_owned()),
                "endpoint-url" | "endpoint" => complaint.endpoint = Some(value().to_owned()),
                "as" => complaint.party = Some(value().to_owned()),
                "server-side-encryption" | "sse" => {
                    let text = value();
                    let text = if text.is_empty() { "AES256" } else { text };
                    with.push((SSE.to_owned(), text.to_owned()));
                }
                "ssekms-key-id" | "sse-kms-key-id" => {
                    with.push((SSE_KEY.to_owned(), value().to_owned()));
                }
                "sse-customer-algorithm" | "sse-c" => {
                    value();
                    with.push((SSE_CUSTOMER.to_owned(), "AES256".to_owned()));
                }
                "if-none-match" => with.push(("s3:if-none-match".to_owned(), value().to_owned())),
                "bucket" | "key" | "lane" | "prefix" | "body" | "region" | "into" => {
                    flags.push((name, value()));
                }
                _ => {}
            }
        }
        complaint.asked = asked(&plain, &flags, desired)?;
        for asked in &mut complaint.asked {
            if asked.action == "s3:PutObject" {
                asked.with.extend(with.iter().cloned());
            }
        }
        Ok(complaint)
    }
}

fn asked(
    plain: &[&str],
    flags: &[(&str, &str)],
    desired: Option<&Desired>,
) -> Result<Vec<Asked>, Error> {
    let flag = |name: &str| flags.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    match plain {
        ["aws", "s3", verb, rest @ ..] => high_level(verb, rest),
        ["aws", "s3api", operation, rest @ ..] => {
            let bucket = flag("bucket").ok_or_else(|| not_understood("it names no --bucket"))?;
            // What `get-object` writes to follows without a flag; it does not matter here.
            let _ = rest;
            let api: String = operation.split('-').map(capitalised).collect();
            requests(&api, bucket, flag("key").unwrap_or_default())
        }
        ["consign", verb @ ("send" | "receive" | "list"), ..]
        | [verb @ ("send" | "receive" | "list"), ..] => {
            let name = flag("lane").ok_or_else(|| not_understood("it names no --lane"))?;
            own(verb, lane(name, desired)?)
        }
        [action, address] if address.starts_with("s3://") => {
            let (bucket, key) = address_of(address)?;
            if action.contains(':') {
                return Ok(vec![one(action, &bucket, &key)]);
            }
            requests(action, &bucket, &key)
        }
        _ => Err(not_understood("it is neither an `aws s3` command nor one of consign's")),
    }
}

fn high_level(verb: &str, rest: &[&str]) -> Result<Vec<Asked>, Error> {
    let addresses: Result<Vec<_>, _> = rest
        .iter()
        .map(|word| word.starts_with("s3://").then(|| address_of(word)).transpose())
        .collect();
    match (verb, addresses?.as_slice()) {
        ("ls", [Some((bucket, _)), ..]) => Ok(vec![one("s3:ListBucket", bucket, "")]),
        ("rm", [Some((bucket, key)), ..]) => Ok(vec![one("s3:DeleteObject", bucket, key)]),
        ("cp" | "mv" | "sync", [source, target, ..]) => {
            let mut all = Vec::new();
            if let Some((bucket, key)) = source {
                if verb == "sync" {
                    all.push(one("s3:ListBucket", bucket, ""));
                }
                all.push(one("s3:GetObject", bucket, &named(key, "object")));
            }
            if let Some((bucket, key)) = target {
                let file = rest.first().and_then(|path| path.rsplit('/').next()).unwrap_or("file");
                all.push(one("s3:PutObject", bucket, &named(key, file)));
            }
            if all.is_empty() {
                return Err(not_understood("it names no s3:// address"));
            }
            Ok(all)
        }
        _ => Err(not_understood("doctor knows `aws s3` cp, mv, sync, ls and rm")),
    }
}

/// A key that ends in a slash, or is none, gets the file's name behind it.
fn named(key: &str, file: &str) -> String {
    if key.is_empty() || key.ends_with('/') { format!("{key}{file}") } else { key.to_owned() }
}

fn own(verb: &str, lane: &DesiredLane) -> Result<Vec<Asked>, Error> {
    let bucket = lane.bucket.to_string();
    let object = format!("{}01JD3V5Y7Q8R9SATBVCWDXEYFZ/000001.age", lane.prefix);
    let mut list = one("s3:ListBucket", &bucket, "");
    list.with.push(("s3:prefix".to_owned(), lane.prefix.clone()));
    Ok(match verb {
        "send" => {
            let mut put = one("s3:PutObject", &bucket, &object);
            put.with.push(("s3:if-none-match".to_owned(), "*".to_owned()));
            vec![put]
        }
        "receive" => vec![list, one("s3:GetObject", &bucket, &object)],
        _ => vec![list],
    })
}

fn lane<'a>(name: &str, desired: Option<&'a Desired>) -> Result<&'a DesiredLane, Error> {
    let Some(desired) = desired else {
        return Err(not_understood("a lane needs an exchange file (--exchange FILE)"));
    };
    let found = desired.lanes.values().find(|lane| lane.name.as_ref() == name);
    found.ok_or_else(|| {
        let known: Vec<&str> = desired.lanes.keys().map(AsRef::as_ref).collect();
        not_understood(&format!("there is no lane `{name}`; there are: {}", known.join(", ")))
    })
}

/// The permissions on bucket and object that an S3 operation always needs.
fn requests(api: &str, bucket: &str, key: &str) -> Result<Vec<Asked>, Error> {
    let needs = s3_actions::required(api, s3_actions::Facts::default())
        .ok_or_else(|| not_understood(&format!("there is no S3 operation `{api}`")))?;
    let on_bucket = needs.filter(|need| need.action.starts_with("s3:"));
    Ok(on_bucket.map(|need| one(need.action, bucket, key)).collect())
}

fn one(action: &str, bucket: &str, key: &str) -> Asked {
    Asked {
        action: action.to_owned(),
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        with: Vec::new(),
    }
}

fn address_of(address: &str) -> Result<(String, String), Error> {
    let rest = address.strip_prefix("s3://").unwrap_or(address);
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(not_understood(&format!("`{address}` names no bucket")));
    }
    Ok((bucket.to_owned(), key.to_owned()))
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

fn not_understood(why: &str) -> Error {
    Error::new(ErrorKind::Exchange, format!("this command cannot be examined: {why}"))
        .with_hint("for example: consign doctor s3:GetObject s3://bucket/key")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(command: &str) -> Result<Complaint, Error> {
        let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        Complaint::of(&words, None)
    }

    fn shown(command: &str) -> String {
        let complaint = of(command).map_err(|error| error.to_string());
        let asked = match complaint {
            Err(error) => return error,
            Ok(complaint) => complaint.asked,
        };
        let lines: Vec<String> = asked
            .iter()
            .map(|it| format!("{} {}/{} {}", it.action, it.bucket, it.key, it.with.len()))
            .collect();
        lines.join("; ")
    }

    #[test]
    fn commands_become_requests() {
        for (command, expected) in [
            ("s3:GetObject s3://b/k", "s3:GetObject b/k 0"),
            ("PutObject s3://b/k", "s3:PutObject b/k 0"),
            ("aws s3 cp dir/f.txt s3://b/in/ --sse aws:kms", "s3:PutObject b/in/f.txt 1"),
            ("aws s3 cp s3://b/k . --profile p", "s3:GetObject b/k 0"),
            ("aws s3 ls s3://b", "s3:ListBucket b/ 0"),
            ("aws s3api get-object --bucket b --key k out", "s3:GetObject b/k 0"),
            ("aws s3api put-object --bucket=b --key=k --if-none-match *", "s3:PutObject b/k 1"),
        ] {
            assert_eq!(shown(command), expected, "{command}");
        }
        for (command, expected) in [
            ("aws ec2 run-instances", "neither an `aws s3` command"),
            ("aws s3 cp a b", "names no s3:// address"),
            ("send --lane x", "needs an exchange file"),
            ("NoSuchCall s3://b/k", "no S3 operation `NoSuchCall`"),
        ] {
            assert!(shown(command).contains(expected), "{command}: {}", shown(command));
        }
    }

    #[test]
    fn profile_and_endpoint_are_the_command_s() {
        let found = of("aws s3 ls s3://b --profile p --endpoint-url=https://x").map_err(drop);
        let found = found.unwrap_or_default();
        assert_eq!(
            (found.profile.as_deref(), found.endpoint.as_deref()),
            (Some("p"), Some("https://x"))
        );
    }
}
