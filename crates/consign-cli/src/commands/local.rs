//! `consign local serve`: runs the local cloud until Ctrl-C and prints how to reach it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use consign_local::{Account, Bootstrap, Running, ServeOptions, SystemClock};
use consign_model::{AccountId, Exchange, PrincipalKind};

use crate::args::ServeArgs;
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::Terminal;

/// Accounts of a local cloud that no exchange file describes: those of the two-way template.
const DEFAULT_ACCOUNTS: [&str; 2] = ["111111111111", "222222222222"];

/// Serves until Ctrl-C or SIGTERM.
pub(crate) async fn serve(
    args: &ServeArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let exchange = if settings.exchange_file.exists() { Some(settings.exchange()?) } else { None };
    let mut options = options(&args.root, exchange.as_ref());
    for account in &args.accounts {
        options.accounts.push(Account { id: AccountId::parse(account)?.to_string() });
    }
    options.listen = args.listen;
    options.http = args.http;
    if let Some(region) = &settings.region {
        options.region.clone_from(region);
    }
    let profiles: Vec<String> = options.principals.iter().map(|p| p.profile.clone()).collect();
    let region = options.region.clone();
    let running = consign_local::start(options).await?;
    terminal
        .result(&description(&running, &region), &how_to_reach(&running, &region, &profiles))?;
    terminal.say("Serving. Stop with Ctrl-C.");
    super::interrupt::wait().await;
    running.shutdown().await;
    Ok(())
}

/// A local cloud for the parties of an exchange: their accounts, each with an administrator, and
/// their principals with credentials.
pub(crate) fn options(root: &Path, exchange: Option<&Exchange>) -> ServeOptions {
    let accounts: BTreeSet<String> = match exchange {
        Some(exchange) => exchange.parties.values().map(|p| p.account.to_string()).collect(),
        None => DEFAULT_ACCOUNTS.iter().map(|id| (*id).to_owned()).collect(),
    };
    let principals =
        exchange.into_iter().flat_map(|exchange| exchange.parties.values()).map(|party| {
            Bootstrap {
                account: party.account.to_string(),
                kind: match party.principal.kind() {
                    PrincipalKind::User => consign_local::PrincipalKind::User,
                    PrincipalKind::Role => consign_local::PrincipalKind::Role,
                },
                name: format!(
                    "{}{}",
                    party.principal.path().trim_start_matches('/'),
                    party.principal.name()
                ),
                profile: party.name.to_string(),
            }
        });
    ServeOptions {
        root: root.to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        http: None,
        region: exchange.map_or_else(|| "eu-west-1".to_owned(), |e| e.region.to_string()),
        accounts: accounts.into_iter().map(|id| Account { id }).collect(),
        principals: principals.collect(),
        clock: Arc::new(SystemClock),
        observer: None,
    }
}

/// The environment with which the AWS CLI, the SDKs and consign reach the local cloud.
pub(crate) fn environment(running: &Running, region: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL", running.endpoint().to_owned()),
        ("AWS_CA_BUNDLE", running.ca_path().display().to_string()),
        ("AWS_SHARED_CREDENTIALS_FILE", running.credentials_path().display().to_string()),
        ("AWS_CONFIG_FILE", running.config_path().display().to_string()),
        ("AWS_REGION", region.to_owned()),
    ]
}

fn how_to_reach(running: &Running, region: &str, profiles: &[String]) -> String {
    let mut lines: Vec<String> = environment(running, region)
        .into_iter()
        .map(|(name, value)| format!("export {name}={}", quote(&value)))
        .collect();
    lines.push("# profiles: admin-ACCOUNT for each account".to_owned());
    lines.extend(profiles.iter().map(|profile| format!("#           {profile}")));
    if let Some(http) = running.http_endpoint() {
        lines.push(format!("# without TLS: {http}"));
    }
    lines.join("\n")
}

fn description(running: &Running, region: &str) -> serde_json::Value {
    let environment: serde_json::Map<String, serde_json::Value> = environment(running, region)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    serde_json::json!({
        "endpoint": running.endpoint(),
        "http_endpoint": running.http_endpoint(),
        "environment": environment,
    })
}

/// A value as a POSIX shell reads it back.
pub(crate) fn quote(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@=+,".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', "'\\''"))
    }
}
