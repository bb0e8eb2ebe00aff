//! The demo's stage: a fresh folder, the local cloud in it, an exchange file, both parties' keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use consign::Office;
use consign_cloud::Cloud;
use consign_local::Running;
use consign_model::{
    Exchange, ExchangeName, LaneName, PartyName, Region, TemplateParty, TwoWay, two_way_template,
};
use consign_provision::Hands;

use crate::commands::{files, keys, local};
use crate::connect;
use crate::error::CommandError;
use crate::office;
use crate::progress::Bar;
use crate::settings::{Environment, Settings, today};
use crate::terminal::Terminal;

/// Parties of the demo.
pub(super) const PARTIES: [(&str, &str); 2] =
    [("acme", "111111111111"), ("globex", "222222222222")];

/// A profile with all rights in an account that has nothing to do with the exchange.
pub(super) const STRANGER_ACCOUNT: &str = "999999999999";

/// Everything that stands before the play begins.
pub(super) struct Stage {
    pub(super) exchange: Exchange,
    pub(super) running: Running,
    settings: Settings,
    folder: PathBuf,
}

impl Stage {
    /// Sets the stage in a folder that is empty or new.
    pub(super) async fn set(folder: &Path, terminal: &Terminal) -> Result<Stage, CommandError> {
        let fault = |e| {
            CommandError::usage(format!("cannot use the folder {}", folder.display())).caused_by(e)
        };
        files::private_dir(folder).map_err(fault)?;
        if std::fs::read_dir(folder).map_err(fault)?.next().is_some() {
            return Err(CommandError::usage(format!(
                "the folder {} is not empty",
                folder.display()
            ))
            .hint("name a new one with --dir"));
        }
        let mut settings = Settings::resolve(&crate::args::Global::default(), &Environment::new())?;
        settings.exchange_file = folder.join("exchange.toml");
        settings.keys_dir = folder.join("keys");
        settings.state_dir = folder.join("state");
        write_exchange(&settings.exchange_file)?;
        for (party, _) in PARTIES {
            keys::make_and_add(&settings, &PartyName::parse(party)?, keys::Kind::Classic)?;
        }
        let exchange = settings.exchange()?;
        let mut options = local::options(&folder.join("cloud"), Some(&exchange));
        options.accounts.push(consign_local::Account { id: STRANGER_ACCOUNT.to_owned() });
        options.http = Some(([127, 0, 0, 1], 0).into());
        let running = consign_local::start(options).await?;
        settings.endpoint = Some(running.endpoint().to_owned());
        settings.ca_bundle = Some(running.ca_path());
        terminal.say(&format!("The local cloud is at {}.", running.endpoint()));
        Ok(Stage { exchange, running, settings, folder: folder.to_owned() })
    }

    /// The cloud as a party sees it.
    pub(super) async fn as_party(&self, party: &str) -> Result<Cloud, CommandError> {
        self.connect(self.credentials(self.running.credentials(party))?, None).await
    }

    /// The cloud as the administrator of an account sees it.
    pub(super) async fn as_administrator(&self, account: &str) -> Result<Cloud, CommandError> {
        self.connect(self.credentials(self.running.admin_credentials(account))?, None).await
    }

    /// The cloud as somebody without credentials sees it.
    pub(super) async fn as_nobody(&self) -> Result<Cloud, CommandError> {
        let settings = consign_cloud::Settings {
            anonymous: true,
            ..connect::cloud_settings(&self.settings, Some(&self.exchange))
        };
        Ok(Cloud::connect(&settings).await?)
    }

    /// The cloud as a party sees it without TLS.
    pub(super) async fn as_party_without_tls(&self, party: &str) -> Result<Cloud, CommandError> {
        let http = self.running.http_endpoint().map(str::to_owned);
        self.connect(self.credentials(self.running.credentials(party))?, http).await
    }

    /// Administrators of both parties' accounts.
    pub(super) async fn administrators(&self) -> Result<Hands, CommandError> {
        let mut hands = Hands::none();
        for party in self.exchange.parties.values() {
            let cloud = self.as_administrator(party.account.as_ref()).await?;
            hands = hands.with(party.account.clone(), cloud);
        }
        Ok(hands)
    }

    /// A party's office, with a state folder of its own.
    pub(super) async fn office(
        &self,
        party: &str,
        progress: Arc<Bar>,
    ) -> Result<Office, CommandError> {
        let settings = Settings {
            state_dir: self.folder.join(format!("{party}-state")),
            ..self.settings.clone()
        };
        let cloud = self.as_party(party).await?;
        office::with_cloud(
            &settings,
            self.exchange.clone(),
            PartyName::parse(party)?,
            cloud,
            progress,
        )
    }

    /// The bucket of a lane.
    pub(super) fn bucket(&self, lane: &LaneName) -> String {
        self.exchange.lane(lane).map(|lane| lane.bucket.to_string()).unwrap_or_default()
    }

    /// Stops the cloud.
    pub(super) async fn strike(self) {
        self.running.shutdown().await;
    }

    fn credentials(
        &self,
        found: Option<consign_local::Credentials>,
    ) -> Result<consign_cloud::Credentials, CommandError> {
        let found = found.ok_or_else(|| CommandError::failed("the local cloud lacks a profile"))?;
        Ok(consign_cloud::Credentials::new(found.access_key_id, &*found.secret_access_key, None))
    }

    async fn connect(
        &self,
        credentials: consign_cloud::Credentials,
        endpoint: Option<String>,
    ) -> Result<Cloud, CommandError> {
        let base = connect::cloud_settings(&self.settings, Some(&self.exchange));
        let settings = consign_cloud::Settings {
            explicit_credentials: Some(credentials),
            endpoint: endpoint.or(base.endpoint.clone()),
            ..base
        };
        Ok(Cloud::connect(&settings).await?)
    }
}

fn write_exchange(path: &Path) -> Result<(), CommandError> {
    let [first, second] = PARTIES;
    let text = two_way_template(&TwoWay {
        exchange: ExchangeName::parse("acme-globex")?,
        region: Region::parse("eu-west-1")?,
        parties: [TemplateParty::new(first.0, first.1)?, TemplateParty::new(second.0, second.1)?],
    });
    Exchange::parse(&text, "exchange.toml", today())?;
    files::write_new(path, text.as_bytes(), files::PUBLIC)
        .map_err(|e| CommandError::failed(format!("cannot write {}", path.display())).caused_by(e))
}
