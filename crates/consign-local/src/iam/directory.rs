//! Who exists: users, roles and access keys of all accounts, in memory and in the ledger.
//!
//! Reads take a short shared lock. A change is computed on a copy, committed to the ledger, and only
//! then becomes visible; changes go one after another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use zeroize::Zeroizing;

use super::records::{AccessKey, Entity, Kind, new_secret, unique_id};
use crate::error::ApiError;
use crate::ledger::{Change, Ledger};
use crate::vault::Vault;

/// Who exists.
pub struct Directory {
    ledger: Arc<Ledger>,
    contents: RwLock<Contents>,
    changing: Mutex<()>,
}

#[derive(Default)]
struct Contents {
    entities: BTreeMap<(String, Kind, String), Arc<Entity>>,
    keys: BTreeMap<String, Arc<AccessKey>>,
}

const ENTITY: &str = "entity";
const KEY: &str = "access-key";

impl Directory {
    /// Reads everything from the ledger.
    pub fn load(
        ledger: Arc<Ledger>,
    ) -> Result<Directory, Box<dyn std::error::Error + Send + Sync>> {
        let mut contents = Contents::default();
        for entity in ledger.all::<Entity>(ENTITY)? {
            contents.entities.insert(slot(&entity), Arc::new(entity));
        }
        for key in ledger.all::<AccessKey>(KEY)? {
            contents.keys.insert(key.id.clone(), Arc::new(key));
        }
        Ok(Directory { ledger, contents: RwLock::new(contents), changing: Mutex::new(()) })
    }

    /// A user or role by name.
    pub fn find(&self, account: &str, kind: Kind, name: &str) -> Option<Arc<Entity>> {
        let slot = (account.to_owned(), kind, name.to_lowercase());
        self.read(|contents| contents.entities.get(&slot).cloned())
    }

    /// A user or role by name, or `NoSuchEntity`.
    pub fn get(&self, account: &str, kind: Kind, name: &str) -> Result<Arc<Entity>, ApiError> {
        self.find(account, kind, name).ok_or_else(|| no_such(kind, name))
    }

    /// All users or roles of an account, by name.
    pub fn list(&self, account: &str, kind: Kind) -> Vec<Arc<Entity>> {
        self.read(|contents| {
            let of_account =
                |entity: &&Arc<Entity>| entity.account == account && entity.kind == kind;
            contents.entities.values().filter(of_account).cloned().collect()
        })
    }

    /// Adds a user or role; names are unique within an account whatever their case.
    pub fn create(&self, entity: Entity) -> Result<Arc<Entity>, ApiError> {
        let _turn = self.turn();
        if self.find(&entity.account, entity.kind, &entity.name).is_some() {
            let what = if entity.kind == Kind::User { "User" } else { "Role" };
            let message = format!("{what} with name {} already exists.", entity.name);
            let status = http::StatusCode::CONFLICT;
            return Err(ApiError::new(status, "EntityAlreadyExists", message));
        }
        self.store(entity)
    }

    /// Changes a user or role by way of a copy.
    pub fn edit<T>(
        &self,
        account: &str,
        kind: Kind,
        name: &str,
        change: impl FnOnce(&mut Entity) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let _turn = self.turn();
        let mut draft = self.get(account, kind, name)?.draft();
        let outcome = change(&mut draft)?;
        self.store(draft)?;
        Ok(outcome)
    }

    /// Removes a user or role that has no policies and no access keys left.
    pub fn delete(&self, account: &str, kind: Kind, name: &str) -> Result<(), ApiError> {
        let _turn = self.turn();
        let entity = self.get(account, kind, name)?;
        let left = match kind {
            _ if !entity.policies.is_empty() => Some("policies"),
            Kind::User if !self.keys_of(account, &entity.name).is_empty() => Some("access keys"),
            _ => None,
        };
        if let Some(left) = left {
            let message = format!("Cannot delete entity, must delete {left} first.");
            return Err(ApiError::new(http::StatusCode::CONFLICT, "DeleteConflict", message));
        }
        self.ledger.commit(&[Change::delete(ENTITY, ledger_key(&entity))])?;
        self.write(|contents| contents.entities.remove(&slot(&entity)));
        Ok(())
    }

    /// The access keys of a user, oldest first.
    pub fn keys_of(&self, account: &str, user: &str) -> Vec<Arc<AccessKey>> {
        let mut keys: Vec<Arc<AccessKey>> = self.read(|contents| {
            let of_user = |key: &&Arc<AccessKey>| key.account == account && key.user == user;
            contents.keys.values().filter(of_user).cloned().collect()
        });
        keys.sort_by_key(|key| key.created_ms);
        keys
    }

    /// An access key by id.
    pub fn key(&self, id: &str) -> Option<Arc<AccessKey>> {
        self.read(|contents| contents.keys.get(id).cloned())
    }

    /// Gives a user a new access key; two at most, as in AWS.
    pub fn create_key(
        &self,
        vault: &Vault,
        account: &str,
        user: &str,
        now_ms: u64,
    ) -> Result<(Arc<AccessKey>, Zeroizing<String>), ApiError> {
        let _turn = self.turn();
        let user = self.get(account, Kind::User, user)?;
        if self.keys_of(account, &user.name).len() >= 2 {
            let message = "Cannot exceed quota for AccessKeysPerUser: 2";
            return Err(ApiError::new(http::StatusCode::CONFLICT, "LimitExceeded", message));
        }
        let secret = new_secret();
        let id = unique_id("AKIA", 16);
        let key = Arc::new(AccessKey {
            sealed_secret: vault.seal("access-key", id.as_bytes(), secret.as_bytes()),
            id,
            account: account.to_owned(),
            user: user.name.clone(),
            created_ms: now_ms,
            active: true,
        });
        self.store_key(key.clone())?;
        Ok((key, secret))
    }

    /// Turns an access key on or off.
    pub fn set_key_active(&self, key: &AccessKey, active: bool) -> Result<(), ApiError> {
        let _turn = self.turn();
        self.store_key(Arc::new(AccessKey { active, ..key.clone() }))
    }

    /// Forgets an access key.
    pub fn delete_key(&self, id: &str) -> Result<(), ApiError> {
        let _turn = self.turn();
        self.ledger.commit(&[Change::delete(KEY, id)])?;
        self.write(|contents| contents.keys.remove(id));
        Ok(())
    }

    fn store(&self, entity: Entity) -> Result<Arc<Entity>, ApiError> {
        self.ledger.commit(&[Change::put(ENTITY, ledger_key(&entity), &entity)?])?;
        let entity = Arc::new(entity);
        self.write(|contents| contents.entities.insert(slot(&entity), entity.clone()));
        Ok(entity)
    }

    fn store_key(&self, key: Arc<AccessKey>) -> Result<(), ApiError> {
        self.ledger.commit(&[Change::put(KEY, &key.id, key.as_ref())?])?;
        self.write(|contents| contents.keys.insert(key.id.clone(), key));
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

fn slot(entity: &Entity) -> (String, Kind, String) {
    (entity.account.clone(), entity.kind, entity.name.to_lowercase())
}

fn ledger_key(entity: &Entity) -> String {
    format!("{}/{}/{}", entity.account, entity.kind.word(), entity.name.to_lowercase())
}

/// IAM's 404.
pub fn no_such(kind: Kind, name: &str) -> ApiError {
    let message = format!("The {} with name {name} cannot be found.", kind.word());
    ApiError::new(http::StatusCode::NOT_FOUND, "NoSuchEntity", message)
}
