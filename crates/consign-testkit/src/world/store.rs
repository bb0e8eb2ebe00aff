//! What is between the parties.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use consign_cloud::s3::MultipartTarget;
use consign_cloud::{Credentials, Settings};
use consign_local::{Account, Bootstrap, PrincipalKind, Running, ServeOptions};
use consign_model::Exchange;
use tokio::runtime::{Builder, Runtime};

use super::clock::Clock;
use super::leaks::Log;
use super::{Built, REGION, World};
use crate::ceph::{self, Ceph};
use crate::seaweed::{self, Seaweed};

/// A running store.
pub enum Store {
    /// The local cloud, on threads of its own.
    Local(LocalCloud),
    /// SeaweedFS.
    Seaweed(Seaweed),
    /// Ceph's object gateway and what is behind it.
    Ceph(Ceph),
}

/// The local cloud and its threads.
pub struct LocalCloud {
    running: Running,
    /// How many requests have been answered.
    served: tokio::sync::watch::Sender<u64>,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Store {
    /// The store's address.
    pub fn endpoint(&self) -> String {
        match self {
            Store::Local(local) => local.running.endpoint().to_owned(),
            Store::Seaweed(seaweed) => seaweed.endpoint(),
            Store::Ceph(ceph) => ceph.endpoint(),
        }
    }

    /// How many requests the local cloud has answered, to stop a client at one of them; nothing for
    /// another store.
    pub fn served(&self) -> Option<tokio::sync::watch::Receiver<u64>> {
        match self {
            Store::Local(local) => Some(local.served.subscribe()),
            Store::Seaweed(_) | Store::Ceph(_) => None,
        }
    }

    /// The local cloud, if that is what it is: CA, credentials files, profiles.
    pub fn local(&self) -> Option<&Running> {
        match self {
            Store::Local(local) => Some(&local.running),
            Store::Seaweed(_) | Store::Ceph(_) => None,
        }
    }

    pub(super) fn folder(&self) -> PathBuf {
        match self {
            Store::Local(local) => local.running.root().to_path_buf(),
            Store::Seaweed(seaweed) => seaweed.folder().to_path_buf(),
            Store::Ceph(ceph) => ceph.folder().to_path_buf(),
        }
    }

    pub(super) fn settings(&self, profile: &str) -> Option<Settings> {
        let credentials = match self {
            Store::Local(local) => {
                let found = local.running.credentials(profile)?;
                Credentials::new(
                    found.access_key_id.clone(),
                    found.secret_access_key.to_string(),
                    found.session_token.as_ref().map(|token| token.to_string()),
                )
            }
            Store::Seaweed(_) => {
                Credentials::new(seaweed::ACCESS_KEY_ID, seaweed::SECRET_ACCESS_KEY, None)
            }
            Store::Ceph(_) => Credentials::new(ceph::ACCESS_KEY_ID, ceph::SECRET_ACCESS_KEY, None),
        };
        Some(Settings {
            endpoint: Some(self.endpoint()),
            region: Some(REGION.to_owned()),
            ca_bundle: self.local().map(Running::ca_path),
            explicit_credentials: Some(credentials),
            ..Settings::default()
        })
    }

    /// Uploads that were neither completed nor aborted, in any lane's bucket. One without parts is no
    /// finding: S3 had opened it, its answer never arrived, and so nobody can know of it.
    ///
    /// Called from `drop`, where nothing can be awaited: on a thread and a runtime of its own.
    pub(super) fn unfinished_uploads(&self, world: &World) -> Vec<String> {
        let ask = || -> Built<Vec<String>> {
            Builder::new_current_thread().enable_all().build()?.block_on(async {
                let mut findings = Vec::new();
                for lane in world.exchange.lanes.values() {
                    let owner = world.exchange.party(&lane.owner);
                    let account = owner.map(|owner| owner.account.to_string()).unwrap_or_default();
                    let cloud = world.administrator(&account).await?;
                    let bucket = lane.bucket.as_ref();
                    // Nobody may list them on a lane. The world is at its end: its policies may go.
                    if world.store.local().is_some() {
                        cloud.s3().delete_bucket_policy(bucket).await?;
                    }
                    let page = cloud.s3().list_multipart_uploads(bucket, "", None).await?;
                    for upload in page.entries {
                        let (bucket, key) = (bucket.to_owned(), upload.key.clone());
                        let target = MultipartTarget { bucket, key, ..MultipartTarget::default() };
                        if !cloud.s3().list_parts(&target, &upload.upload_id).await?.is_empty() {
                            let (lane, key) = (&lane.name, upload.key);
                            findings.push(format!("an unfinished upload on lane {lane}: {key}"));
                        }
                    }
                }
                Ok(findings)
            })
        };
        let answer = std::thread::scope(|scope| scope.spawn(ask).join());
        match answer {
            Ok(Ok(findings)) => findings,
            Ok(Err(error)) => vec![format!("unfinished uploads cannot be listed: {error}")],
            Err(_) => vec!["the search for unfinished uploads failed".to_owned()],
        }
    }
}

/// Starts a local cloud with an account and a principal for each party.
pub(super) fn local(root: &Path, clock: &Clock, log: &Log, exchange: &Exchange) -> Built<Store> {
    let (accounts, principals) = exchange
        .parties
        .values()
        .map(|party| {
            let account = party.account.to_string();
            let name = format!("consign/{}", party.name);
            let (kind, profile) = (PrincipalKind::User, party.name.to_string());
            (Account { id: account.clone() }, Bootstrap { account, kind, name, profile })
        })
        .unzip();
    let log = log.clone();
    let served = tokio::sync::watch::Sender::new(0);
    let count = served.clone();
    let options = ServeOptions {
        root: root.to_path_buf(),
        listen: (std::net::Ipv4Addr::LOCALHOST, 0).into(),
        http: None,
        region: REGION.to_owned(),
        accounts,
        principals,
        clock: Arc::new(clock.clone()),
        observer: Some(Arc::new(move |served| {
            log.push(&format!("{served:?}"));
            count.send_modify(|count| *count += 1);
        })),
    };
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // Off this thread, which may be one of another runtime.
    let started = std::thread::scope(|scope| {
        scope.spawn(|| runtime.block_on(consign_local::start(options))).join()
    });
    let running = started.map_err(|_| "starting the local cloud panicked")??;
    Ok(Store::Local(LocalCloud { running, served, runtime: Some(runtime) }))
}

impl Drop for LocalCloud {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Dropping it here would block, which asynchronous tests forbid.
            runtime.shutdown_background();
        }
    }
}
