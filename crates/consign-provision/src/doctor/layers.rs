//! The layers before the policies: can the service be reached, who asks, is the thing there.

use super::{Asked, Diagnosis, Found, Layer, Patient, cause};
use crate::desired::DesiredLane;
use consign_cloud::kms::{KeyInfo, KeyState};
use consign_cloud::sts::CallerIdentity;
use consign_cloud::{Cloud, Error, ErrorKind};
use consign_iam::Principal;
use consign_model::AccountId;
use std::error::Error as StdError;

/// S3 refuses requests whose time is further from its own.
const SKEW_MS_MAX: i64 = 15 * 60 * 1000;

pub(super) async fn endpoint(patient: &Patient<'_>, diagnosis: &mut Diagnosis) -> Found<()> {
    let at = patient.cloud.endpoint().unwrap_or("AWS").to_owned();
    let clock_ms = match patient.cloud.elsewhere().clock_ms().await {
        Ok(clock) => clock,
        Err(error) => return unreachable(&at, &error),
    };
    diagnosis.see(Layer::Endpoint, format!("{at} answers, and its certificate is trusted"));
    let Some(clock_ms) = clock_ms else {
        diagnosis.see(Layer::Clock, "the service does not tell its time");
        return Ok(());
    };
    let skew_ms = patient.now_ms - clock_ms;
    let seconds = skew_ms.abs() / 1000;
    if skew_ms.abs() > SKEW_MS_MAX {
        let which = if skew_ms > 0 { "ahead of" } else { "behind" };
        return cause(
            Layer::Clock,
            "clock-skew",
            format!("this machine's clock is {seconds} s {which} the service's; 900 s are allowed"),
            "timedatectl set-ntp true",
        );
    }
    diagnosis.see(Layer::Clock, format!("the clocks differ by {seconds} s"));
    Ok(())
}

fn unreachable(at: &str, error: &Error) -> Found<()> {
    let text = chain(error).to_lowercase();
    if text.contains("certificate") || text.contains("unknownissuer") {
        return cause(
            Layer::Endpoint,
            "certificate-not-trusted",
            format!("{at} shows a certificate that no trusted authority signed"),
            "export AWS_CA_BUNDLE=ROOT/ca.pem  (the certificate authority of a local cloud)",
        );
    }
    let (name, what) = if text.contains("dns") || text.contains("lookup") {
        ("unknown-host", format!("the name in {at} is not known"))
    } else if error.kind() == ErrorKind::Timeout {
        ("no-answer", format!("{at} does not answer in time"))
    } else {
        ("unreachable", format!("{at} cannot be connected to: {}", chain(error)))
    };
    cause(
        Layer::Endpoint,
        name,
        what,
        format!("check --endpoint and AWS_ENDPOINT_URL: curl -v {at}"),
    )
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

pub(super) async fn credentials(patient: &Patient<'_>, diagnosis: &mut Diagnosis) -> Found<()> {
    let source = patient.source;
    let found = match patient.cloud.elsewhere().credentials().await {
        Ok(found) => found,
        Err(error) => {
            return cause(
                Layer::Credentials,
                "no-credentials",
                format!("no credentials were found ({source}): {}", chain(&error)),
                "name a profile with --profile, or: aws configure",
            );
        }
    };
    let kind = if found.temporary { "temporary" } else { "long-lived" };
    let id = &found.access_key_id;
    if found.expires_ms.is_some_and(|end| end <= patient.now_ms) {
        return expired(source, id);
    }
    let found_in = match found.found_in.as_slice() {
        [] => String::new(),
        steps => format!(": {}", steps.join(", ")),
    };
    diagnosis.see(Layer::Credentials, format!("{kind} credentials {id} from {source}{found_in}"));
    Ok(())
}

fn expired<T>(source: &str, id: &str) -> Found<T> {
    cause(
        Layer::Credentials,
        "expired-credentials",
        format!("the credentials {id} from {source} are past their time"),
        "aws sso login  (or assume the role again)",
    )
}

/// The principal that signs, as the services see it.
pub(super) struct Caller {
    pub(super) arn: String,
    pub(super) account: String,
    pub(super) principal: Principal,
}

pub(super) async fn identity(patient: &Patient<'_>, diagnosis: &mut Diagnosis) -> Found<Caller> {
    let who = match patient.cloud.sts().caller_identity().await {
        Ok(who) => who,
        Err(error) => return unknown_identity(patient, &error),
    };
    let Some(principal) = principal(patient, &who).await else {
        return cause(
            Layer::Identity,
            "unusual-identity",
            format!("the credentials belong to {}, which policies cannot name", who.arn),
            "aws sts get-caller-identity",
        );
    };
    diagnosis.see(Layer::Identity, format!("they belong to {}", who.arn));
    check_party(patient, &who)?;
    Ok(Caller { arn: who.arn, account: who.account, principal })
}

/// A session's ARN does not tell its role's path, and policies compare the role's ARN with it. IAM
/// knows the path, or the exchange file does.
async fn principal(patient: &Patient<'_>, who: &CallerIdentity) -> Option<Principal> {
    let session = who.arn.split_once(":assumed-role/").and_then(|(_, rest)| rest.split_once('/'));
    let Some((role, session)) = session else { return Principal::from_arn(&who.arn).ok() };
    let account = AccountId::parse(&who.account).ok()?;
    let administrator = patient.hands.in_account(&account);
    for eye in administrator.into_iter().chain([patient.cloud]) {
        if let Ok(Some(found)) = eye.iam().get_role(role).await {
            return Principal::role_session(&found.arn, session).ok();
        }
    }
    let mut parties = patient.desired.into_iter().flat_map(|desired| desired.parties.values());
    let party = parties.find(|party| {
        !party.is_user() && party.account == account && party.principal.name() == role
    });
    match party {
        Some(party) => Principal::role_session(&party.arn, session).ok(),
        None => Principal::from_arn(&who.arn).ok(),
    }
}

fn unknown_identity(patient: &Patient<'_>, error: &Error) -> Found<Caller> {
    let layer = Layer::Credentials;
    let source = patient.source;
    let said = error.message().unwrap_or_default();
    let profile = "check the profile: aws configure list";
    match (error.kind(), error.code()) {
        (ErrorKind::ExpiredCredentials, _) => expired(source, "of the session"),
        (_, Some("SignatureDoesNotMatch" | "InvalidSignatureException")) => cause(
            layer,
            "wrong-secret",
            format!("the secret from {source} does not belong to its access key id: {said}"),
            profile,
        ),
        (ErrorKind::BadCredentials, _) => cause(
            layer,
            "unknown-credentials",
            format!("the service does not know the credentials from {source}: {said}"),
            profile,
        ),
        _ => cause(
            layer,
            "identity-not-told",
            format!("STS does not say whose the credentials are: {error}"),
            "aws sts get-caller-identity",
        ),
    }
}

/// Whether the credentials are those of the party that the person says to be.
fn check_party(patient: &Patient<'_>, who: &CallerIdentity) -> Found<()> {
    let (Some(name), Some(desired)) = (patient.party, patient.desired) else { return Ok(()) };
    let Some(party) = desired.parties.values().find(|party| party.name.as_ref() == name) else {
        return cause(
            Layer::Identity,
            "unknown-party",
            format!("the exchange file has no party `{name}`"),
            "name one that it has: consign doctor --as PARTY …",
        );
    };
    let is_party = if party.is_user() {
        who.arn == party.arn
    } else {
        let role = format!(":assumed-role/{}/", party.principal.name());
        who.account == party.account.as_ref() && who.arn.contains(&role)
    };
    if is_party {
        return Ok(());
    }
    let remedy = if party.is_user() {
        format!("sign as {}: consign --profile PROFILE …", party.arn)
    } else {
        format!("aws sts assume-role --role-arn {} --role-session-name me", party.arn)
    };
    cause(
        Layer::Identity,
        "another-identity",
        format!("party `{name}` is {}, and the credentials are those of {}", party.arn, who.arn),
        remedy,
    )
}

/// A bucket as far as it was looked at.
pub(super) struct Bucket<'a> {
    pub(super) name: String,
    pub(super) lane: Option<&'a DesiredLane>,
    /// Its owner, if known.
    pub(super) owner: Option<AccountId>,
    /// Who can read its settings.
    pub(super) eyes: Vec<&'a Cloud>,
}

pub(super) async fn bucket<'a>(
    asked: &Asked,
    patient: &Patient<'a>,
    diagnosis: &mut Diagnosis,
) -> Found<Bucket<'a>> {
    let name = asked.bucket.clone();
    let mut lanes = patient.desired.into_iter().flat_map(|desired| desired.lanes.values());
    let lane = lanes.find(|lane| lane.bucket.as_ref() == name);
    match patient.cloud.s3().head_bucket(&name, None).await {
        Ok(Some(region)) if region != patient.cloud.region() => {
            return elsewhere(&name, &region, patient);
        }
        Err(error) if error.http_status() == Some(301) => {
            return elsewhere(&name, "another Region", patient);
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let remedy = match lane {
                Some(_) => "consign apply".to_owned(),
                None => format!("check the name: aws s3api head-bucket --bucket {name}"),
            };
            return cause(
                Layer::Bucket,
                "no-such-bucket",
                format!("there is no bucket {name}"),
                remedy,
            );
        }
        _ => {}
    }
    let mut owner = lane.map(|lane| lane.owner.clone());
    for account in patient.hands.accounts() {
        let Some(cloud) = patient.hands.in_account(account) else { continue };
        if cloud.s3().is_owned_by(&name, account.as_ref()).await.is_ok_and(|is| is) {
            if let Some(lane) = lane.filter(|lane| lane.owner != *account) {
                return cause(
                    Layer::Bucket,
                    "bucket-owner",
                    format!(
                        "bucket {name} is account {account}'s, and lane `{}` declares {}",
                        lane.name, lane.owner
                    ),
                    "name another bucket in exchange.toml, then: consign apply",
                );
            }
            owner = Some(account.clone());
        }
    }
    let of = owner
        .as_ref()
        .map_or("an account that is not visible".to_owned(), |owner| format!("account {owner}"));
    diagnosis.see(Layer::Bucket, format!("bucket {name} is there, of {of}"));
    let administrator = owner.as_ref().and_then(|owner| patient.hands.in_account(owner));
    let eyes = administrator.into_iter().chain([patient.cloud]).collect();
    Ok(Bucket { name, lane, owner, eyes })
}

fn elsewhere<T>(name: &str, region: &str, patient: &Patient<'_>) -> Found<T> {
    cause(
        Layer::Bucket,
        "another-region",
        format!("bucket {name} is in {region}, and requests go to {}", patient.cloud.region()),
        format!("export AWS_REGION={region}"),
    )
}

/// The bucket's default key, if the request needs one and it can be seen.
pub(super) async fn key(
    asked: &Asked,
    bucket: &Bucket<'_>,
    patient: &Patient<'_>,
    diagnosis: &mut Diagnosis,
) -> Found<Option<KeyInfo>> {
    if !needs_key(&asked.action) {
        return Ok(None);
    }
    let mut default = None;
    for eye in &bucket.eyes {
        if let Ok(found) = eye.s3().get_encryption(&bucket.name).await {
            default = found.and_then(|found| found.kms_key);
            break;
        }
    }
    let lanes_key = bucket.lane.filter(|lane| lane.has_key()).map(|lane| lane.key_alias.clone());
    let Some(name) = default.or(lanes_key) else {
        diagnosis.see(Layer::Key, "no KMS key is known of");
        return Ok(None);
    };
    let account = name.split(':').nth(4).and_then(|account| AccountId::parse(account).ok());
    let account = account.or_else(|| bucket.owner.clone());
    let administrator = account.as_ref().and_then(|account| patient.hands.in_account(account));
    for eye in administrator.into_iter().chain([patient.cloud]) {
        match eye.kms().describe_key(&name).await {
            Ok(Some(info)) => return usable(info, bucket, diagnosis).map(Some),
            Ok(None) => {
                return cause(
                    Layer::Key,
                    "no-such-key",
                    format!(
                        "objects of {} are encrypted under {name}, which is not there",
                        bucket.name
                    ),
                    "consign apply",
                );
            }
            Err(_) => {}
        }
    }
    diagnosis.see(Layer::Key, format!("{name} may not be looked at"));
    Ok(None)
}

pub(super) fn needs_key(action: &str) -> bool {
    matches!(action, "s3:PutObject" | "s3:GetObject" | "s3:GetObjectVersion")
}

fn usable(info: KeyInfo, bucket: &Bucket<'_>, diagnosis: &mut Diagnosis) -> Found<KeyInfo> {
    let repair = |command: &str| match bucket.lane {
        Some(_) => "consign apply".to_owned(),
        None => format!("aws kms {command} --key-id {}", info.arn),
    };
    match info.state {
        KeyState::Enabled => {
            diagnosis.see(Layer::Key, format!("{} is enabled", info.arn));
            Ok(info)
        }
        KeyState::PendingDeletion => cause(
            Layer::Key,
            "key-pending-deletion",
            format!(
                "{} is waiting for its deletion: nothing can be encrypted or decrypted",
                info.arn
            ),
            repair("cancel-key-deletion"),
        ),
        KeyState::Disabled | KeyState::Other => cause(
            Layer::Key,
            "key-disabled",
            format!("{} is disabled", info.arn),
            repair("enable-key"),
        ),
    }
}
