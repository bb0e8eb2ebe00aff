//! What IAM and KMS must not forget: records in one transactional file, `ROOT/meta.redb`.
//!
//! A change is on disk before the request that made it is answered: every commit is synced. The
//! services keep the records in memory too and read them there; the ledger is read once, at start.

use std::path::Path;

use redb::{Database, ReadableDatabase, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

const RECORDS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("records");

/// The transactional file.
pub struct Ledger {
    database: Database,
}

/// One record put or taken away. A commit takes several, and does all or none.
pub struct Change {
    kind: &'static str,
    key: String,
    record: Option<Vec<u8>>,
}

impl Change {
    /// Writes a record of a kind (`"user"`) under its key, replacing what was there.
    pub fn put(
        kind: &'static str,
        key: impl Into<String>,
        record: &impl Serialize,
    ) -> Result<Change, ApiError> {
        let record = serde_json::to_vec(record).map_err(ApiError::internal)?;
        Ok(Change { kind, key: key.into(), record: Some(record) })
    }

    /// Removes a record.
    pub fn delete(kind: &'static str, key: impl Into<String>) -> Change {
        Change { kind, key: key.into(), record: None }
    }
}

impl Ledger {
    /// Opens or makes the file. Only one process can hold it.
    pub fn open(path: &Path) -> Result<Ledger, redb::Error> {
        let database = Database::create(path)?;
        let transaction = database.begin_write()?;
        transaction.open_table(RECORDS)?;
        transaction.commit()?;
        Ok(Ledger { database })
    }

    /// All records of one kind.
    pub fn all<T: DeserializeOwned>(
        &self,
        kind: &'static str,
    ) -> Result<Vec<T>, Box<dyn std::error::Error + Send + Sync>> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(RECORDS)?;
        let mut found = Vec::new();
        for entry in table.range((kind, "")..)? {
            let (key, record) = entry?;
            if key.value().0 != kind {
                break;
            }
            found.push(serde_json::from_slice(record.value())?);
        }
        Ok(found)
    }

    /// Does all changes or none; synced when it returns. Blocks for the length of a disk sync.
    pub fn commit(&self, changes: &[Change]) -> Result<(), ApiError> {
        self.try_commit(changes).map_err(ApiError::internal)
    }

    fn try_commit(&self, changes: &[Change]) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(RECORDS)?;
            for Change { kind, key, record } in changes {
                match record {
                    Some(record) => table.insert((*kind, key.as_str()), record.as_slice())?,
                    None => table.remove((*kind, key.as_str()))?,
                };
            }
        }
        transaction.commit()?;
        Ok(())
    }
}
