//! The keys and aliases of all accounts, in memory and in the ledger.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::ApiError;
use crate::ledger::{Change, Ledger};
use crate::policy::{Policy, PolicyKind};
use crate::vault::{self, Vault};

/// A KMS key: symmetric, for encryption and decryption.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Key {
    /// A random UUID; unique across accounts.
    pub id: String,
    /// Twelve digits.
    pub account: String,
    /// Such as `eu-west-1`.
    pub region: String,
    /// For people.
    pub description: String,
    /// The key policy, as given.
    pub policy: String,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// What it may be used for at present.
    pub state: KeyState,
    /// Made by the service itself (`alias/aws/s3`), not by the account.
    pub by_service: bool,
    /// Whether yearly rotation is on. (This cloud rotates on demand only.)
    pub rotation: bool,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Every generation of key material, newest last, each a vault box bound to id and generation.
    /// INVARIANT: never empty, at most 65,536.
    pub materials: Vec<Material>,
    #[serde(skip)]
    parsed: OnceLock<Arc<[Policy]>>,
}

/// One generation of key material, sealed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Material {
    /// A vault box of 32 bytes.
    #[serde(with = "crate::vault::as_base64")]
    pub sealed: Vec<u8>,
    /// Milliseconds since 1970.
    pub created_ms: u64,
}

/// Whether a key can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyState {
    /// It can.
    Enabled,
    /// Somebody turned it off.
    Disabled,
    /// It is destroyed at the given time, milliseconds since 1970.
    PendingDeletion(u64),
}

impl Key {
    /// A new key with fresh material.
    pub fn new(vault: &Vault, account: &str, region: &str, policy: &str, now_ms: u64) -> Key {
        let mut key = Key {
            id: new_uuid(),
            account: account.to_owned(),
            region: region.to_owned(),
            description: String::new(),
            policy: policy.to_owned(),
            created_ms: now_ms,
            state: KeyState::Enabled,
            by_service: false,
            rotation: false,
            tags: BTreeMap::new(),
            materials: Vec::new(),
            parsed: OnceLock::new(),
        };
        key.rotate(vault, now_ms);
        key
    }

    /// Adds a generation of key material, which seals from now on; older ones still open.
    pub fn rotate(&mut self, vault: &Vault, now_ms: u64) {
        let mut material = Zeroizing::new([0u8; 32]);
        vault::fill(material.as_mut_slice());
        let place = self.place(self.materials.len());
        let sealed = vault.seal("kms-key", place.as_bytes(), material.as_slice());
        self.materials.push(Material { sealed, created_ms: now_ms });
    }

    /// `arn:aws:kms:REGION:ACCOUNT:key/ID`.
    pub fn arn(&self) -> String {
        format!("arn:aws:kms:{}:{}:key/{}", self.region, self.account, self.id)
    }

    /// The material of one generation, in the clear for as long as the value lives.
    pub fn material(&self, vault: &Vault, generation: usize) -> Option<Zeroizing<[u8; 32]>> {
        let sealed = &self.materials.get(generation)?.sealed;
        let plain = vault.open("kms-key", self.place(generation).as_bytes(), sealed).ok()?;
        let mut material = Zeroizing::new([0u8; 32]);
        if plain.len() != material.len() {
            return None;
        }
        material.copy_from_slice(&plain);
        Some(material)
    }

    /// The newest generation.
    pub fn generation(&self) -> usize {
        self.materials.len().saturating_sub(1)
    }

    fn place(&self, generation: usize) -> String {
        format!("{}/{generation}", self.id)
    }

    /// The key policy, parsed once per state of the key.
    pub fn parsed_policy(&self) -> Result<Arc<[Policy]>, ApiError> {
        if let Some(parsed) = self.parsed.get() {
            return Ok(parsed.clone());
        }
        let parsed = Policy::parse_as(PolicyKind::Key, &self.policy).map_err(|refusal| {
            ApiError::internal(format!("the stored key policy of {}: {refusal}", self.arn()))
        })?;
        Ok(self.parsed.get_or_init(|| Arc::from([parsed])).clone())
    }

    fn draft(&self) -> Key {
        Key { parsed: OnceLock::new(), ..self.clone() }
    }
}

/// A name for a key within an account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Alias {
    /// Twelve digits.
    pub account: String,
    /// `alias/…`.
    pub name: String,
    /// The key's id, in the same account.
    pub key: String,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// Milliseconds since 1970.
    pub updated_ms: u64,
}

/// The keys and aliases of all accounts.
pub struct Keys {
    ledger: Arc<Ledger>,
    contents: RwLock<Contents>,
    changing: Mutex<()>,
}

#[derive(Default)]
struct Contents {
    keys: BTreeMap<String, Arc<Key>>,
    aliases: BTreeMap<(String, String), Arc<Alias>>,
}

const KEY: &str = "kms-key";
const ALIAS: &str = "kms-alias";

impl Keys {
    /// Reads everything from the ledger.
    pub fn load(ledger: Arc<Ledger>) -> Result<Keys, Box<dyn std::error::Error + Send + Sync>> {
        let mut contents = Contents::default();
        for key in ledger.all::<Key>(KEY)? {
            contents.keys.insert(key.id.clone(), Arc::new(key));
        }
        for alias in ledger.all::<Alias>(ALIAS)? {
            contents.aliases.insert((alias.account.clone(), alias.name.clone()), Arc::new(alias));
        }
        Ok(Keys { ledger, contents: RwLock::new(contents), changing: Mutex::new(()) })
    }

    /// Destroys keys whose waiting period is over, with their aliases.
    pub fn destroy_due(&self, now_ms: u64) -> Result<(), ApiError> {
        let _turn = self.turn();
        let due: Vec<Arc<Key>> = self.read(|contents| {
            let is_due = |key: &&Arc<Key>| is_destroyed(key, now_ms);
            contents.keys.values().filter(is_due).cloned().collect()
        });
        for key in due {
            let aliases = self.aliases_of(&key);
            let mut changes = vec![Change::delete(KEY, &key.id)];
            changes.extend(aliases.iter().map(|alias| Change::delete(ALIAS, ledger_key(alias))));
            self.ledger.commit(&changes)?;
            self.write(|contents| {
                contents.keys.remove(&key.id);
                for alias in aliases {
                    contents.aliases.remove(&(alias.account.clone(), alias.name.clone()));
                }
            });
        }
        Ok(())
    }

    /// A key by id, unless it was destroyed by `now_ms`.
    pub fn find(&self, id: &str, now_ms: u64) -> Option<Arc<Key>> {
        let key = self.read(|contents| contents.keys.get(id).cloned())?;
        (!is_destroyed(&key, now_ms)).then_some(key)
    }

    /// All keys of an account, by id.
    pub fn list(&self, account: &str, now_ms: u64) -> Vec<Arc<Key>> {
        self.read(|contents| {
            let of_account = |key: &&Arc<Key>| key.account == account && !is_destroyed(key, now_ms);
            contents.keys.values().filter(of_account).cloned().collect()
        })
    }

    /// Adds a key.
    pub fn create(&self, key: Key) -> Result<Arc<Key>, ApiError> {
        let _turn = self.turn();
        self.store(key)
    }

    /// Changes a key by way of a copy.
    pub fn edit(
        &self,
        id: &str,
        change: impl FnOnce(&mut Key) -> Result<(), ApiError>,
    ) -> Result<Arc<Key>, ApiError> {
        let _turn = self.turn();
        let current = self.read(|contents| contents.keys.get(id).cloned());
        let mut draft = current.ok_or_else(|| ApiError::internal("a key vanished"))?.draft();
        change(&mut draft)?;
        self.store(draft)
    }

    /// An alias by account and name.
    pub fn alias(&self, account: &str, name: &str) -> Option<Arc<Alias>> {
        let slot = (account.to_owned(), name.to_owned());
        self.read(|contents| contents.aliases.get(&slot).cloned())
    }

    /// All aliases of an account, by name.
    pub fn aliases(&self, account: &str) -> Vec<Arc<Alias>> {
        self.read(|contents| {
            let of_account = |alias: &&Arc<Alias>| alias.account == account;
            contents.aliases.values().filter(of_account).cloned().collect()
        })
    }

    /// The aliases that name a key.
    pub fn aliases_of(&self, key: &Key) -> Vec<Arc<Alias>> {
        let mut aliases = self.aliases(&key.account);
        aliases.retain(|alias| alias.key == key.id);
        aliases
    }

    /// Adds an alias; `false` if the name is taken.
    pub fn create_alias(&self, alias: Alias) -> Result<bool, ApiError> {
        let _turn = self.turn();
        if self.alias(&alias.account, &alias.name).is_some() {
            return Ok(false);
        }
        self.store_alias(alias).map(|()| true)
    }

    /// Points an alias elsewhere.
    pub fn put_alias(&self, alias: Alias) -> Result<(), ApiError> {
        let _turn = self.turn();
        self.store_alias(alias)
    }

    /// Forgets an alias.
    pub fn delete_alias(&self, alias: &Alias) -> Result<(), ApiError> {
        let _turn = self.turn();
        self.ledger.commit(&[Change::delete(ALIAS, ledger_key(alias))])?;
        let slot = (alias.account.clone(), alias.name.clone());
        self.write(|contents| contents.aliases.remove(&slot));
        Ok(())
    }

    /// The key behind an alias; made by `make`, together with the alias, if there is none yet.
    pub fn alias_or_create(
        &self,
        account: &str,
        name: &str,
        now_ms: u64,
        make: impl FnOnce() -> Key,
    ) -> Result<Arc<Key>, ApiError> {
        let _turn = self.turn();
        let existing = self.alias(account, name).and_then(|alias| self.find(&alias.key, now_ms));
        if let Some(key) = existing {
            return Ok(key);
        }
        let key = self.store(make())?;
        self.store_alias(Alias {
            account: account.to_owned(),
            name: name.to_owned(),
            key: key.id.clone(),
            created_ms: now_ms,
            updated_ms: now_ms,
        })?;
        Ok(key)
    }

    fn store(&self, key: Key) -> Result<Arc<Key>, ApiError> {
        self.ledger.commit(&[Change::put(KEY, &key.id, &key)?])?;
        let key = Arc::new(key);
        self.write(|contents| contents.keys.insert(key.id.clone(), key.clone()));
        Ok(key)
    }

    fn store_alias(&self, alias: Alias) -> Result<(), ApiError> {
        self.ledger.commit(&[Change::put(ALIAS, ledger_key(&alias), &alias)?])?;
        let slot = (alias.account.clone(), alias.name.clone());
        self.write(|contents| contents.aliases.insert(slot, Arc::new(alias)));
        Ok(())
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, look: impl FnOnce(&Contents) -> T) -> T {
        look(&self.contents.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Contents) -> T) -> T {
        change(&mut self.contents.write().unwrap_or_else(PoisonError::into_inner))
    }
}

fn is_destroyed(key: &Key, now_ms: u64) -> bool {
    matches!(key.state, KeyState::PendingDeletion(at_ms) if at_ms <= now_ms)
}

fn ledger_key(alias: &Alias) -> String {
    format!("{}/{}", alias.account, alias.name)
}

/// A random UUID (version 4).
pub(crate) fn new_uuid() -> String {
    let mut bytes = [0u8; 16];
    vault::fill(&mut bytes);
    let bits = u128::from_be_bytes(bytes);
    let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}
