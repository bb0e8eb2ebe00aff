//! A local cloud of three accounts in a fresh folder, and clients that sign as anybody in it.

use consign_cloud::iam::CreateRole;
use consign_cloud::sts::AssumeRole;
use consign_cloud::{Cloud, Credentials, Settings};
use consign_local::{Account, Running, ServeOptions, SystemClock};
use consign_model::AccountId;
use consign_provision::desired::DesiredParty;
use consign_provision::{Desired, Hands, Keys, apply, observe, plan};
use std::ops::ControlFlow;
use std::sync::Arc;
use tempfile::TempDir;

pub(crate) const ACCOUNTS: [&str; 3] = ["111111111111", "222222222222", "222222222223"];

pub(crate) struct Place {
    pub(crate) running: Running,
    _root: TempDir,
}

impl Place {
    pub(crate) async fn start() -> Place {
        let root = TempDir::new().expect("a folder");
        let running = consign_local::start(ServeOptions {
            root: root.path().join("cloud"),
            listen: "127.0.0.1:0".parse().expect("an address"),
            http: Some("127.0.0.1:0".parse().expect("an address")),
            region: "eu-west-1".to_owned(),
            accounts: ACCOUNTS.map(|id| Account { id: id.to_owned() }).into(),
            principals: Vec::new(),
            clock: Arc::new(SystemClock),
            observer: None,
        });
        Place { running: running.await.expect("the local cloud"), _root: root }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            endpoint: Some(self.running.endpoint().to_owned()),
            region: Some("eu-west-1".to_owned()),
            ca_bundle: Some(self.running.ca_path()),
            ..Settings::default()
        }
    }

    pub(crate) async fn cloud(&self, credentials: Credentials) -> Cloud {
        let settings = Settings { explicit_credentials: Some(credentials), ..self.settings() };
        Cloud::connect(&settings).await.expect("a client")
    }

    pub(crate) async fn admin(&self, account: &str) -> Cloud {
        let found = self.running.admin_credentials(account).expect("an administrator");
        let (id, secret) = (found.access_key_id.clone(), found.secret_access_key.to_string());
        self.cloud(Credentials::new(id, secret, None)).await
    }

    pub(crate) async fn hands(&self) -> Hands {
        let mut hands = Hands::none();
        for account in ACCOUNTS {
            let id = AccountId::parse(account).expect("an account");
            hands = hands.with(id, self.admin(account).await);
        }
        hands
    }

    /// Makes the roles that `apply` does not, for their account's administrators to assume.
    pub(crate) async fn make_roles(&self, desired: &Desired) {
        for party in desired.parties.values().filter(|party| !party.can_be_made()) {
            self.make_role(party).await;
        }
    }

    /// Makes a party's role, as its own administrator would.
    pub(crate) async fn make_role(&self, party: &DesiredParty) {
        let create = CreateRole {
            path: party.principal.path().to_owned(),
            name: party.principal.name().to_owned(),
            trust_policy: trust(&format!("arn:aws:iam::{}:root", party.account), "{}"),
            ..CreateRole::default()
        };
        let admin = self.admin(party.account.as_ref()).await;
        admin.iam().create_role(&create).await.expect("a role");
    }

    /// Plans and applies all of `desired`.
    pub(crate) async fn apply(&self, desired: &Desired) -> Hands {
        let hands = self.hands().await;
        let observed = observe(desired, &hands).await.expect("an observation");
        let plan = plan(desired, &observed).expect("a plan");
        apply(&plan, desired, &hands, &Keys::new(), &mut |_, _| ControlFlow::Continue(()))
            .await
            .expect("applied");
        hands
    }

    /// A client that signs as the party.
    pub(crate) async fn party(&self, desired: &Desired, name: &str) -> Cloud {
        self.cloud(self.party_credentials(desired, name).await).await
    }

    pub(crate) async fn party_credentials(&self, desired: &Desired, name: &str) -> Credentials {
        let party = &desired.parties[&consign_model::PartyName::parse(name).expect("a party")];
        let admin = self.admin(party.account.as_ref()).await;
        if party.is_user() {
            admin.iam().create_access_key(party.principal.name()).await.expect("a key")
        } else {
            let trust = party.trust.as_ref();
            let assume = AssumeRole {
                role_arn: party.arn.clone(),
                session_name: "test".to_owned(),
                external_id: trust.and_then(|trust| trust.external_id.clone()),
                ..AssumeRole::default()
            };
            // Whoever the trust names, in whichever account that is.
            let account = trust.and_then(|trust| trust.principal_arn.split(':').nth(4));
            let admin = self.admin(account.unwrap_or(party.account.as_ref())).await;
            admin.sts().assume_role(&assume).await.expect("a session").credentials
        }
    }
}

/// A trust policy for one principal.
pub(crate) fn trust(principal: &str, condition: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{{"AWS":"{principal}"}},"Condition":{condition}}}]}}"#
    )
}
