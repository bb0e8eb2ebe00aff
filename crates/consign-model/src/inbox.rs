//! The two ends of a secure inbox: the repository that a generator writes to and cannot read, and
//! the inbox that a consumer reads. Between them a publisher has S3 copy each object, by the
//! exchange's [`Route`](crate::Route)s.
//!
//! The repository lies in the account of whoever makes the work products, under a key of whoever
//! they are for, so that what waits there is the receiver's already. Whom these names may stand for
//! is judged in `check`; here it is settled.

use crate::{BucketName, Exchange, InboxName, PartyName, RepositoryName, Route, Writer};
use serde::Serialize;

/// Where one party's generator puts what is for others.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Repository {
    /// Its name in this exchange.
    pub name: RepositoryName,
    /// Whose account holds the bucket, and the queue of what arrives in it.
    pub owner: PartyName,
    /// The only party that writes. It reads nothing and cannot decrypt.
    pub generator: PartyName,
    /// The only party that reads, and the only one that writes to the inboxes. Of the owner's account.
    pub publisher: PartyName,
    /// Whose account holds the KMS key.
    pub key: PartyName,
    /// The bucket.
    pub bucket: BucketName,
    /// After how many days an object is deleted.
    pub expire_days: u32,
}

/// Where one party finds what was made for it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Inbox {
    /// Its name in this exchange.
    pub name: InboxName,
    /// Whose account holds bucket and key, and who owns the objects.
    pub owner: PartyName,
    /// The only parties that read: at least one, in the file's order.
    pub consumers: Vec<PartyName>,
    /// The only party that writes: the publisher of every repository with a route to here.
    pub publisher: PartyName,
    /// The bucket.
    pub bucket: BucketName,
    /// What every key begins with: empty, or ends with `/`.
    pub prefix: String,
    /// Whether the publisher may copy in parts, which takes objects above 5 GiB and `kms:Decrypt` on
    /// the inbox's key.
    pub writer: Writer,
    /// After how many days an object is deleted.
    pub expire_days: u32,
    /// Who scans what arrives: until this party has tagged an object as clean, nobody else reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<PartyName>,
}

impl Exchange {
    /// The repository of this name.
    #[must_use]
    pub fn repository(&self, name: &RepositoryName) -> Option<&Repository> {
        self.repositories.get(name)
    }

    /// The inbox of this name.
    #[must_use]
    pub fn inbox(&self, name: &InboxName) -> Option<&Inbox> {
        self.inboxes.get(name)
    }

    /// The routes that leave a repository, by name.
    pub fn routes_from<'a>(
        &'a self,
        repository: &'a RepositoryName,
    ) -> impl Iterator<Item = &'a Route> {
        self.routes.values().filter(move |route| route.from == *repository)
    }
}
