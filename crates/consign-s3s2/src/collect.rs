//! Collecting: fetches a share, opens it and checks all that can be checked.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use consign_model::RelativePath;
use consign_seal::s3s2::{Cipher, SecretKey};
use consign_transfer::Cancelled;
use tokio::task::JoinSet;

use crate::envelope::{self, Allowance};
use crate::error::{Error, ErrorKind, Result, join};
use crate::landing::Landing;
use crate::manifest::{self, Manifest, ManifestFile};
use crate::names::{MANIFEST, Place, SEALED, TRIGGER, file_name, is_of};
use crate::store::Store;
use crate::wildcard::Wildcards;

/// What to collect, and how.
#[derive(Clone, Debug)]
pub struct Collect {
    /// The key of a manifest or of one sealed file; below the organisation, if one is named.
    pub file: String,
    /// The organisation that shared it.
    pub organization: Option<String>,
    /// The folder to collect into.
    pub into: PathBuf,
    /// The folder in it that the files go into; none for `decrypted`, as s3s2 does it.
    pub own_folder: Option<String>,
    /// The receiver's private keys.
    pub keys: Arc<Vec<SecretKey>>,
    /// Which files of the share.
    pub filter: Wildcards,
    /// Files in hand at once.
    pub parallelism: usize,
    /// How many times larger than what is fetched the files may be. See
    /// [`EXPANSION_MAX`](crate::EXPANSION_MAX).
    pub expansion_max: u32,
    /// Refuse a share without its trigger, which s3s2 writes last.
    pub trigger_required: bool,
}

/// What was collected.
#[derive(Clone, Debug)]
pub struct Collected {
    /// Where it lay; none for a single file.
    pub place: Option<Place>,
    /// The folder with the files.
    pub folder: PathBuf,
    /// The files, in the order of the manifest.
    pub files: Vec<CollectedFile>,
    /// Files of the manifest that the filter left out.
    pub left_out: usize,
    /// Whether the trigger is there. None when we may not know, or for a single file.
    pub trigger: Option<bool>,
}

/// A file that was collected.
#[derive(Clone, Debug)]
pub struct CollectedFile {
    /// Its name.
    pub name: RelativePath,
    /// Its size.
    pub bytes: u64,
    /// Of its content.
    pub sha256: [u8; 32],
    /// Whether the manifest's hash was compared with it; only the oldest shares have one.
    pub hash_compared: bool,
    /// What it was sealed with.
    pub cipher: Cipher,
}

/// Collects a share, or one file of it.
///
/// # Errors
/// Everything of [`ErrorKind`]. Unless the disk fails in the very last step, no file has its final name
/// then, and nothing is left in the folder. What a killed process leaves is hidden (`.consign-….partial`),
/// and with a folder of its own the next run removes it.
pub async fn collect(store: &Store, options: &Collect) -> std::result::Result<Collected, Error> {
    let file = options.file.trim_start_matches('/');
    let key = match &options.organization {
        Some(organization) => format!("{}/{file}", organization.to_uppercase()),
        None => file.to_owned(),
    };
    let plan = match key.ends_with("manifest.json") {
        true => whole_share(store, options, &key).await?,
        false => single_file(&key)?,
    };
    let landing = Arc::new(Landing::new(&options.into, options.own_folder.as_deref())?);
    let files = fetch_all(store, options, &plan, &landing).await?;
    let names = files.iter().map(|file| (file.name.clone(), file.sha256)).collect::<Vec<_>>();
    let folder =
        tokio::task::spawn_blocking(move || landing.commit(&names)).await.map_err(join)??;
    Ok(Collected {
        place: plan.place,
        folder,
        files,
        left_out: plan.left_out,
        trigger: plan.trigger,
    })
}

/// What is to be fetched.
struct Plan {
    place: Option<Place>,
    wanted: Vec<(String, ManifestFile)>,
    /// Every name of the share, wanted or not.
    named: Arc<HashSet<String>>,
    left_out: usize,
    trigger: Option<bool>,
}

async fn whole_share(store: &Store, options: &Collect, key: &str) -> Result<Plan> {
    let text = store.get(key, manifest::BYTES_MAX).await?.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("there is no {key} in {}", store.bucket))
    })?;
    let manifest = Manifest::parse(&text).map_err(|error| error.during(key))?;
    // Else a manifest could be put, or copied, to where it stands for another share.
    if manifest.place.key(MANIFEST) != key {
        let text = format!(
            "the manifest {key} says that it lies at {}: it was moved, or is not of s3s2",
            manifest.place.key(MANIFEST)
        );
        return Err(Error::new(ErrorKind::Manifest, text));
    }
    let trigger = store.has(&manifest.place.key(TRIGGER)).await;
    if options.trigger_required && trigger != Some(true) {
        let text = format!("{} has no trigger: the sender has not finished", manifest.place.folder);
        return Err(Error::new(ErrorKind::NotFound, text).hinting("try again later"));
    }
    let named = manifest.files().iter().map(|file| file.name.to_string()).collect();
    let wanted: Vec<_> = manifest
        .files()
        .iter()
        .filter(|file| options.filter.fit(&file.name))
        .map(|file| (manifest.place.file_key(&file.name), file.clone()))
        .collect();
    if wanted.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "no file of the share fits the filter"));
    }
    let left_out = manifest.files().len() - wanted.len();
    Ok(Plan { place: Some(manifest.place), wanted, named: Arc::new(named), left_out, trigger })
}

fn single_file(key: &str) -> Result<Plan> {
    let own = key.rsplit('/').next().unwrap_or_default();
    let name = own.strip_suffix(SEALED).ok_or_else(|| {
        let text = format!("{key} is neither a manifest nor a sealed file");
        Error::new(ErrorKind::Configuration, text)
            .hinting(format!("name …/{MANIFEST} or …{SEALED}"))
    })?;
    let name = file_name(name)?;
    let named = Arc::new(HashSet::from([name.to_string()]));
    let file = ManifestFile { name, bytes: None, sha256: None };
    let wanted = vec![(key.to_owned(), file)];
    Ok(Plan { place: None, wanted, named, left_out: 0, trigger: None })
}

/// Fetches and opens, several files at a time; when one fails the others are stopped.
async fn fetch_all(
    store: &Store,
    options: &Collect,
    plan: &Plan,
    landing: &Arc<Landing>,
) -> Result<Vec<CollectedFile>> {
    let allowance = Arc::new(Allowance::new(options.expansion_max));
    let mut tasks = JoinSet::new();
    let mut waiting = plan.wanted.iter().enumerate();
    let mut collected = Vec::with_capacity(plan.wanted.len());
    loop {
        while tasks.len() < options.parallelism.max(1)
            && let Some((number, (key, file))) = waiting.next()
        {
            let errand = Errand {
                store: store.clone(),
                key: key.clone(),
                file: file.clone(),
                named: Arc::clone(&plan.named),
                keys: Arc::clone(&options.keys),
                landing: Arc::clone(landing),
                allowance: Arc::clone(&allowance),
            };
            tasks.spawn(async move { (number, errand.run().await) });
        }
        match tasks.join_next().await {
            Some(Ok((number, Ok(file)))) => collected.push((number, file)),
            Some(failed) => {
                // Waited for, so that nobody writes into the folder when this has returned.
                store.cancel.cancel(Cancelled::Abort);
                while tasks.join_next().await.is_some() {}
                return Err(failed.map_or_else(join, |(_, file)| match file {
                    Err(error) => error,
                    Ok(_) => Error::new(ErrorKind::Bug, "nothing failed"),
                }));
            }
            None => break,
        }
    }
    collected.sort_by_key(|(number, _)| *number);
    Ok(collected.into_iter().map(|(_, file)| file).collect())
}

/// One file, from the bucket to the partial folder.
struct Errand {
    store: Store,
    key: String,
    file: ManifestFile,
    named: Arc<HashSet<String>>,
    keys: Arc<Vec<SecretKey>>,
    landing: Arc<Landing>,
    allowance: Arc<Allowance>,
}

impl Errand {
    async fn run(self) -> Result<CollectedFile> {
        let sealed = self.landing.spool()?;
        let lost = |error| Error::new(ErrorKind::Destination, "a spool is lost").because(error);
        let bytes = self.store.download(&self.key, sealed.try_clone().map_err(lost)?).await?;
        self.allowance.add(bytes);
        tokio::task::spawn_blocking(move || {
            let name = self.file.name.clone();
            self.open(&sealed).map_err(|error| error.during(format_args!("`{name}` was refused")))
        })
        .await
        .map_err(join)?
    }

    fn open(self, sealed: &std::fs::File) -> Result<CollectedFile> {
        let mut content = self.landing.create(&self.file.name)?;
        let (opened, contents) = envelope::open(sealed, &self.keys, &self.allowance, &mut content)?;
        let wrong = |text: String| Err(Error::new(ErrorKind::Content, text));
        if !is_of(&contents.entry, &self.file.name, |name| self.named.contains(name)) {
            return wrong(format!("what lies under its key is another file, `{}`", contents.entry));
        }
        if self.file.bytes.is_some_and(|bytes| bytes != contents.bytes) {
            return wrong("it has not the size that the manifest says".to_owned());
        }
        if self.file.sha256.is_some_and(|sha256| sha256 != contents.sha256) {
            return wrong("its content has not the hash that the manifest says".to_owned());
        }
        if contents.executable {
            set_executable(&content)?;
        }
        Ok(CollectedFile {
            name: self.file.name,
            bytes: contents.bytes,
            sha256: contents.sha256,
            hash_compared: self.file.sha256.is_some(),
            cipher: opened.cipher,
        })
    }
}

/// For those who may read it, as `chmod +x` does.
fn set_executable(file: &std::fs::File) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let change = || {
        let mut permissions = file.metadata()?.permissions();
        let mode = permissions.mode();
        permissions.set_mode(mode | (mode & 0o444) >> 2);
        file.set_permissions(permissions)
    };
    change().map_err(|error| {
        Error::new(ErrorKind::Destination, "permissions cannot be set").because(error)
    })
}
