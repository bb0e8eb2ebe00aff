//! The fixture: two parties, an exchange, a store, and the promises that are checked at the end.
//!
//! [`World::new`] starts a local cloud in a temporary folder and provisions a two-way exchange
//! between `acme` and `globex` in it. [`World::office`] is a party at work; [`World::payload`] makes
//! files to send, every one of them marked. When the world is dropped it looks for what must never
//! be: an upload that nobody finished, or a mark, a private key or a secret in any file of the
//! cloud, any state folder, any log line, or any error that the test handed to [`World::saw`]. So
//! every test is also a test of confidentiality.
//!
//! Randomness comes from a seed and time from [`Clock`]s that a test can move. The cloud runs on
//! threads of its own, so that a test may block.

mod clock;
mod leaks;
mod store;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use consign::{Keys, Office};
use consign_cloud::{Cloud, Settings};
use consign_model::{AtRest, Exchange, LaneName, PartyName, Seal};
use consign_provision::{Desired, Hands, apply, observe, plan};
use consign_seal::age::Identity;
use consign_seal::shared_secret::SharedSecret;
use consign_seal::sshsig::SigningKey;
use tempfile::TempDir;

pub use clock::Clock;
pub use store::Store;

use crate::payload::Canary;
use crate::random::Seed;
use leaks::{Search, Secret};

/// The result of anything that is built for a test: the error is for its author.
pub type Built<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const ACME_ACCOUNT: &str = "111111111111";
const GLOBEX_ACCOUNT: &str = "222222222222";
const REGION: &str = "eu-west-1";

/// Two parties and all that is between them. See the module's text.
pub struct World {
    /// The exchange: lanes `to-client` (acme to globex) and `from-client` (back).
    pub exchange: Arc<Exchange>,
    /// What the parties take for the time.
    pub clock: Clock,
    /// What the local cloud takes for the time. Requests are refused when the two are more than
    /// fifteen minutes from the machine's own.
    pub cloud_clock: Clock,
    /// The mark in every payload.
    pub canary: Canary,
    seed: Mutex<Seed>,
    parties: Vec<Party>,
    /// Of the lanes whose keys follow from one.
    lane_secrets: BTreeMap<LaneName, SharedSecret>,
    store: Store,
    log: leaks::Log,
    folder: TempDir,
}

/// A party's private keys, as text: an [`Office`] takes its own copy.
struct Party {
    name: PartyName,
    identity: String,
    signer: String,
}

impl World {
    /// A local cloud with everything provisioned.
    ///
    /// # Errors
    /// When the cloud does not start or the exchange cannot be applied.
    pub async fn new(seed: u64) -> Built<World> {
        World::with(seed, |text| text).await
    }

    /// The same with an exchange file that `edit` has changed.
    ///
    /// # Errors
    /// When the cloud does not start or the exchange cannot be read or applied.
    pub async fn with(seed: u64, edit: impl FnOnce(String) -> String) -> Built<World> {
        let world = World::bare(seed, edit, |folder, clock, log, exchange| {
            store::local(&folder.join("cloud"), clock, log, exchange)
        })
        .await?;
        world.provision().await?;
        Ok(world)
    }

    /// The same parties with SeaweedFS between them: buckets, no policies, no KMS.
    ///
    /// # Errors
    /// When SeaweedFS does not start.
    pub async fn on_seaweed(seed: u64, weed: &Path) -> Built<World> {
        World::on_seaweed_with(seed, weed, |text| text).await
    }

    /// The same with an exchange file that `edit` has changed.
    ///
    /// # Errors
    /// When SeaweedFS does not start or the exchange cannot be read.
    pub async fn on_seaweed_with(
        seed: u64,
        weed: &Path,
        edit: impl FnOnce(String) -> String,
    ) -> Built<World> {
        let seaweed = crate::seaweed::Seaweed::start(weed).await?;
        World::on(seed, Store::Seaweed(seaweed), edit).await
    }

    /// The same parties with Ceph between them: buckets, no policies, no KMS.
    ///
    /// # Errors
    /// When Ceph does not start.
    pub async fn on_ceph(seed: u64) -> Built<World> {
        World::on_ceph_with(seed, |text| text).await
    }

    /// The same with an exchange file that `edit` has changed.
    ///
    /// # Errors
    /// When Ceph does not start or the exchange cannot be read.
    pub async fn on_ceph_with(seed: u64, edit: impl FnOnce(String) -> String) -> Built<World> {
        World::on(seed, Store::Ceph(crate::ceph::Ceph::start().await?), edit).await
    }

    /// A world on a store that knows one identity and no policies.
    async fn on(seed: u64, store: Store, edit: impl FnOnce(String) -> String) -> Built<World> {
        let world = World::bare(seed, edit, |_, _, _, _| Ok(store)).await?;
        let s3 = world.administrator(ACME_ACCOUNT).await?;
        for lane in world.exchange.lanes.values() {
            let bucket = lane.bucket.to_string();
            let create = consign_cloud::s3::bucket::CreateBucket { bucket, ..Default::default() };
            s3.s3().create_bucket(&create).await?;
            s3.s3().put_versioning(lane.bucket.as_ref(), true).await?;
        }
        Ok(world)
    }

    async fn bare(
        seed: u64,
        edit: impl FnOnce(String) -> String,
        store: impl FnOnce(&Path, &Clock, &leaks::Log, &Exchange) -> Built<Store>,
    ) -> Built<World> {
        let folder = tempfile::Builder::new().prefix("consign-world-").tempdir()?;
        let parties = [Party::new("acme")?, Party::new("globex")?];
        let text = edit(exchange_text(&parties)?);
        fs::write(folder.path().join("exchange.toml"), &text)?;
        for name in ["from", "into", "state"] {
            fs::create_dir(folder.path().join(name))?;
        }
        let clock = Clock::default();
        let today = consign_model::Date::from_unix_ms(clock.now_ms());
        let exchange = Exchange::parse(&text, "exchange.toml", today)?;
        let (cloud_clock, log) = (Clock::default(), leaks::Log::default());
        let store = store(folder.path(), &cloud_clock, &log, &exchange)?;
        let mut seed = Seed::new(seed);
        let customer = exchange.lanes.values();
        let customer =
            customer.filter(|lane| lane.at_rest == AtRest::SseC || lane.seal == Seal::S3ec);
        let secrets = customer.map(|lane| Ok((lane.name.clone(), SharedSecret::generate()?)));
        Ok(World {
            lane_secrets: secrets.collect::<Built<_>>()?,
            exchange: Arc::new(exchange),
            clock,
            cloud_clock,
            canary: Canary::new(&mut seed),
            seed: Mutex::new(seed),
            parties: parties.into(),
            store,
            log,
            folder,
        })
    }

    async fn provision(&self) -> Built<()> {
        let desired = Desired::of(&self.exchange)?;
        let mut hands = Hands::none();
        for party in self.exchange.parties.values() {
            let cloud = self.administrator(party.account.as_ref()).await?;
            hands = hands.with(party.account.clone(), cloud);
        }
        // All accounts are at hand, so nothing has to be told.
        let told = consign_provision::Keys::new();
        let observed = observe(&desired, &hands).await?.told(&told);
        let plan = plan(&desired, &observed)?;
        let mut on = |_: usize, _: &consign_provision::Step| std::ops::ControlFlow::Continue(());
        apply(&plan, &desired, &hands, &told, &mut on).await?;
        Ok(())
    }

    /// A party at work, with a connection, state folder and engine of its own. Two offices of one
    /// party share the state folder, as two commands in a row do.
    ///
    /// # Errors
    /// When the party is unknown or the connection cannot be set up.
    pub async fn office(&self, party: &str) -> Built<Office> {
        let keys = self.parties.iter().find(|known| known.name.as_ref() == party);
        let keys = keys.ok_or_else(|| format!("no party `{party}`"))?;
        let cloud = Cloud::connect(&self.settings(party)?).await?;
        let state = self.state(party);
        fs::create_dir_all(&state)?;
        let clock = self.clock.clone();
        let dice = Mutex::new(Seed::new(self.random().next_u64()));
        Ok(Office {
            exchange: self.exchange.clone(),
            me: keys.name.clone(),
            cloud,
            state,
            keys: Arc::new(Keys {
                identities: vec![Identity::parse(&keys.identity)?],
                signer: Some(SigningKey::from_openssh(&keys.signer)?),
                lane_secrets: self
                    .lane_secrets
                    .iter()
                    .map(|(lane, secret)| (lane.clone(), vec![secret.clone()]))
                    .collect(),
                ..Keys::default()
            }),
            clock: Arc::new(move || clock.now_ms()),
            dice: Arc::new(move || {
                let mut dice = dice.lock().unwrap_or_else(PoisonError::into_inner);
                (u128::from(dice.next_u64()) << 64) | u128::from(dice.next_u64())
            }),
            engine: consign_transfer::Engine::new(consign_transfer::Limits {
                seed: self.random().next_u64(),
                ..consign_transfer::Limits::default()
            }),
            cancel: consign_transfer::Cancel::new(),
            progress: Arc::new(consign::Silent),
        })
    }

    /// Connection settings of a party, or of `admin-ACCOUNT`.
    ///
    /// # Errors
    /// When the store knows no such profile.
    pub fn settings(&self, profile: &str) -> Built<Settings> {
        let settings = self.store.settings(profile);
        settings.ok_or_else(|| format!("no profile `{profile}` in the store").into())
    }

    /// A connection as the administrator of an account.
    ///
    /// # Errors
    /// When there is no such account.
    pub async fn administrator(&self, account: &str) -> Built<Cloud> {
        Ok(Cloud::connect(&self.settings(&format!("admin-{account}"))?).await?)
    }

    /// A lane's name; `to-client` or `from-client`.
    ///
    /// # Errors
    /// When it is no name.
    pub fn lane(&self, name: &str) -> Built<LaneName> {
        Ok(LaneName::parse(name)?)
    }

    /// Writes a file of exactly `bytes` that carries the canary, below the folder that [`World::from`]
    /// names; makes the folders between.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn payload(&self, path: &str, bytes: usize) -> Built<PathBuf> {
        let file = self.from().join(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&file, self.canary.content(bytes))?;
        Ok(file)
    }

    /// Where payloads are made.
    pub fn from(&self) -> PathBuf {
        self.folder.path().join("from")
    }

    /// Where a party receives. The only place besides [`World::from`] where plaintext may be.
    pub fn inbox(&self, party: &str) -> PathBuf {
        self.folder.path().join("into").join(party)
    }

    /// A party's state folder.
    pub fn state(&self, party: &str) -> PathBuf {
        self.folder.path().join("state").join(party)
    }

    /// The store between the parties.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The world's randomness.
    pub fn random(&self) -> std::sync::MutexGuard<'_, Seed> {
        self.seed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over what a person would see (an error with its causes, a line of output): it must
    /// contain no plaintext and no secret, which is checked at the end.
    pub fn saw(&self, text: &str) {
        self.log.push(text);
    }

    /// The same for an error, with all its causes.
    pub fn saw_error(&self, error: &(dyn std::error::Error + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.saw(&format!("{error} {error:?}"));
            next = error.source();
        }
    }

    /// Everything that must not be and is, one sentence each.
    fn findings(&self) -> Vec<String> {
        let mut secrets = vec![Secret::new("plaintext", self.canary.as_str())];
        for party in &self.parties {
            secrets.push(Secret::new("an age identity", &party.identity));
            // The body of the key file, without the lines around it.
            let body = party.signer.lines().nth(2).unwrap_or_default();
            secrets.push(Secret::new("a signing key", body));
        }
        let texts: Vec<_> = self.lane_secrets.values().map(SharedSecret::to_text).collect();
        let hex = |text: &str| text.rsplit(' ').next().unwrap_or_default().to_owned();
        secrets.extend(texts.iter().map(|text| Secret::new("a lane secret", &hex(text))));
        let mut search = Search::new(secrets);
        search.folder("state", &self.folder.path().join("state"));
        search.log(&self.log);
        // Credentials are at home in the cloud's own files and nowhere else.
        search.folder("the store", &self.store.folder());
        let mut findings = search.findings();
        findings.extend(self.store.unfinished_uploads(self));
        findings
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A test that failed already has said what matters.
        if std::thread::panicking() {
            return;
        }
        let findings = self.findings();
        assert!(findings.is_empty(), "what must not be:\n{}", findings.join("\n"));
    }
}

impl Party {
    fn new(name: &str) -> Built<Party> {
        Ok(Party {
            name: PartyName::parse(name)?,
            identity: Identity::generate()?.secret_text().to_string(),
            signer: SigningKey::generate()?.to_openssh_private(name).to_string(),
        })
    }
}

fn exchange_text(parties: &[Party; 2]) -> Built<String> {
    let mut text = format!("version = 1\nexchange = \"acme-globex\"\nregion = \"{REGION}\"\n");
    for (party, account) in parties.iter().zip([ACME_ACCOUNT, GLOBEX_ACCOUNT]) {
        let name = &party.name;
        let recipient = Identity::parse(&party.identity)?.to_recipient();
        let signer = SigningKey::from_openssh(&party.signer)?.public_line("");
        text.push_str(&format!(
            "\n[party.{name}]\naccount = \"{account}\"\nprincipal = \"user/consign/{name}\"\n\
             recipients = [\"{recipient}\"]\nsigners = [\"{}\"]\n",
            signer.trim()
        ));
    }
    text.push_str("\n[lane.to-client]\nfrom = \"acme\"\nto = [\"globex\"]\nowner = \"acme\"\n");
    text.push_str("\n[lane.from-client]\nfrom = \"globex\"\nto = [\"acme\"]\nowner = \"acme\"\n");
    Ok(text)
}
