//! From settings to connections: as the person at hand, and as the administrators of accounts.

use std::collections::BTreeMap;

use consign_cloud::Cloud;
use consign_model::{AccountId, Exchange, LaneName};
use consign_provision::{Hands, KeyArn, Keys};

use crate::args::AdministratorArgs;
use crate::error::CommandError;
use crate::settings::Settings;

/// What consign-cloud needs to know, from what the person set.
pub(crate) fn cloud_settings(
    settings: &Settings,
    exchange: Option<&Exchange>,
) -> consign_cloud::Settings {
    let region = settings.region.clone().or_else(|| exchange.map(|e| e.region.to_string()));
    consign_cloud::Settings {
        profile: settings.profile.clone(),
        endpoint: settings.endpoint.clone(),
        s3_endpoint: settings.s3_endpoint.clone(),
        region,
        ca_bundle: settings.ca_bundle.clone(),
        ..consign_cloud::Settings::default()
    }
}

/// Connects with the credentials at hand; where no region is set, to that of the exchange.
pub(crate) async fn connect(
    settings: &Settings,
    exchange: impl Into<Option<&Exchange>>,
) -> Result<Cloud, CommandError> {
    if let Some(profile) = settings.profile.as_ref().filter(|name| !settings.has_profile(name)) {
        let [credentials, config] = &settings.aws_files;
        return Err(CommandError::usage(format!("there is no profile `{profile}`")).hint(format!(
            "profiles are in {} and {}",
            credentials.display(),
            config.display()
        )));
    }
    Ok(Cloud::connect(&cloud_settings(settings, exchange.into())).await?)
}

/// Connects to each account whose credentials are at hand: those named by `--account-profile`, a
/// profile called `admin-ACCOUNT` for an account of the exchange, and the credentials of the default
/// chain for the account they belong to.
pub(crate) async fn administrators(
    settings: &Settings,
    args: &AdministratorArgs,
    exchange: &Exchange,
) -> Result<Hands, CommandError> {
    let mut profiles = BTreeMap::new();
    for account in exchange.parties.values().map(|party| &party.account) {
        let profile = format!("admin-{account}");
        if settings.has_profile(&profile) {
            profiles.insert(account.clone(), profile);
        }
    }
    for text in &args.account_profiles {
        let (account, profile) = text.split_once('=').ok_or_else(|| {
            CommandError::usage(format!("--account-profile {text} does not say which profile"))
                .hint("for example --account-profile 111111111111=acme-admin")
        })?;
        profiles.insert(AccountId::parse(account)?, profile.to_owned());
    }
    let mut hands = Hands::none();
    if profiles.is_empty() || settings.profile.is_some() {
        hands = Hands::of(connect(settings, exchange).await?).await?;
    }
    for (account, profile) in profiles {
        if hands.in_account(&account).is_none() {
            let of_account = Settings { profile: Some(profile), ..settings.clone() };
            hands = hands.with(account, connect(&of_account, exchange).await?);
        }
    }
    Ok(hands)
}

/// The key ARNs given with `--key`.
pub(crate) fn keys_told(args: &AdministratorArgs) -> Result<Keys, CommandError> {
    args.keys_told
        .iter()
        .map(|text| {
            let (lane, arn) = text.split_once('=').ok_or_else(|| {
                CommandError::usage(format!("--key {text} does not say which ARN"))
                    .hint("for example --key from-client=arn:aws:kms:eu-west-1:222222222222:key/…")
            })?;
            Ok((LaneName::parse(lane)?, KeyArn::new(arn)))
        })
        .collect()
}
