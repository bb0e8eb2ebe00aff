//! Starting and stopping: the root folder, the accounts in it, the listeners.
//!
//! ```text
//! ROOT/ca.pem           what clients trust             ROOT/ca.key      its key (0600)
//! ROOT/credentials      AWS shared files (0600):       ROOT/config      a profile per principal
//! ROOT/master.key       seals all other secrets        ROOT/meta.redb   IAM and KMS
//! ROOT/objects.redb     S3's index, SQS's messages     ROOT/blobs/      S3's content, encrypted
//! ROOT/lock             held while serving
//! ```

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::http::{Listener, Observer};
use crate::iam::Directory;
use crate::kms::Keys;
use crate::ledger::Ledger;
use crate::profiles::{self, Credentials, Profile};
use crate::state::{Clock, State};
use crate::tls;
use crate::vault::Vault;

/// How long a predecessor in the same process may take to let go of the root.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// What to serve, and where.
#[derive(Clone)]
pub struct ServeOptions {
    /// The folder that holds everything; made if absent.
    pub root: PathBuf,
    /// The HTTPS address, on loopback; port 0 takes a free one.
    pub listen: SocketAddr,
    /// A plain HTTP address too, for showing what TLS-only policies deny.
    pub http: Option<SocketAddr>,
    /// The region all endpoints claim.
    pub region: String,
    /// Accounts that exist, beside those of earlier starts; each gets an administrator.
    pub accounts: Vec<Account>,
    /// Users and roles to have with credentials from the start, beside those of earlier starts.
    pub principals: Vec<Bootstrap>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Hears of every answered request.
    pub observer: Option<Observer>,
}

/// An AWS account of the local cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Twelve digits.
    pub id: String,
}

/// A user or role that exists from the start, with a profile in `ROOT/credentials`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// Twelve digits.
    pub account: String,
    /// User or role.
    pub kind: PrincipalKind,
    /// Path and name, such as `consign/acme`.
    pub name: String,
    /// The profile's name in `ROOT/credentials` and `ROOT/config`.
    pub profile: String,
}

/// A user or a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrincipalKind {
    /// Has an access key of its own.
    User,
    /// Is assumed, through the account's administrator.
    Role,
}

/// A local cloud that answers. Dropping it stops it in the middle of whatever it does, which loses
/// nothing that was acknowledged; [`Running::shutdown`] lets answers under way finish first.
pub struct Running {
    endpoint: String,
    http_endpoint: Option<String>,
    profiles: Vec<Profile>,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
    state: Arc<State>,
}

/// Starts serving. When it returns, the sockets accept and the files under the root are written.
pub async fn start(options: ServeOptions) -> Result<Running, Error> {
    check(&options)?;
    let socket = bind(options.listen).await?;
    let plain = match options.http {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let endpoint = format!("https://{}", address_of(&socket)?);
    let http_endpoint = match &plain {
        Some(plain) => Some(format!("http://{}", address_of(plain)?)),
        None => None,
    };
    let observer = options.observer.clone();
    let files = tokio::task::spawn_blocking({
        let endpoint = endpoint.clone();
        move || open_root(&options, &endpoint)
    });
    let (state, tls, profiles) =
        files.await.map_err(|error| Error::new(ErrorKind::Storage, "starting").caused(error))??;
    let (stop, stopped) = watch::channel(false);
    let mut listeners = JoinSet::new();
    let https = Listener::new(socket, Some(tls), state.clone(), observer.clone());
    listeners.spawn(https.run(stopped.clone()));
    if let Some(plain) = plain {
        listeners.spawn(Listener::new(plain, None, state.clone(), observer).run(stopped));
    }
    Ok(Running { endpoint, http_endpoint, profiles, stop, listeners, state })
}

impl Running {
    /// `https://127.0.0.1:PORT`, for all services.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// `http://127.0.0.1:PORT`, if asked for.
    pub fn http_endpoint(&self) -> Option<&str> {
        self.http_endpoint.as_deref()
    }

    /// The root folder.
    pub fn root(&self) -> &Path {
        &self.state.root
    }

    /// The certificate authority's certificate, for `AWS_CA_BUNDLE`.
    pub fn ca_path(&self) -> PathBuf {
        self.state.root.join("ca.pem")
    }

    /// The credentials of all profiles, for `AWS_SHARED_CREDENTIALS_FILE`.
    pub fn credentials_path(&self) -> PathBuf {
        self.state.root.join("credentials")
    }

    /// Region, endpoint and certificate of all profiles, for `AWS_CONFIG_FILE`.
    pub fn config_path(&self) -> PathBuf {
        self.state.root.join("config")
    }

    /// The profiles' names, administrators first.
    pub fn profiles(&self) -> impl Iterator<Item = &str> {
        self.profiles.iter().map(|profile| profile.name.as_str())
    }

    /// The credentials of an account's administrator, profile `admin-ACCOUNT`.
    pub fn admin_credentials(&self, account: &str) -> Option<Credentials> {
        self.credentials(&profiles::admin_profile(account))
    }

    /// The credentials of a profile: long-term for a user, of a new one-hour session for a role.
    pub fn credentials(&self, profile: &str) -> Option<Credentials> {
        let profile = self.profiles.iter().find(|known| known.name == profile)?;
        profiles::credentials(&self.state, profile).ok()
    }

    /// Stops: no new connections, then up to five seconds for answers under way, then the end.
    pub async fn shutdown(mut self) {
        // An error means that every listener is gone already.
        let _ = self.stop.send(true);
        self.state.store.bell().close();
        while self.listeners.join_next().await.is_some() {}
        // A commit that was under way when its connection was cut still holds the store; the root
        // may be opened again once it has let go.
        let begun = Instant::now();
        while Arc::strong_count(&self.state) > 1 && begun.elapsed() < LOCK_WAIT {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn check(options: &ServeOptions) -> Result<(), Error> {
    let refuse = |why: String| Err(Error::new(ErrorKind::Options, why));
    for address in [Some(options.listen), options.http].into_iter().flatten() {
        if !address.ip().is_loopback() {
            return refuse(format!(
                "{address} is not a loopback address: this is one machine's cloud"
            ));
        }
    }
    let region_is_sound = !options.region.is_empty()
        && options
            .region
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !region_is_sound {
        return refuse(format!("`{}` is not a region", options.region));
    }
    let accounts = options.accounts.iter().map(|account| &account.id);
    for account in accounts.chain(options.principals.iter().map(|principal| &principal.account)) {
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return refuse(format!("`{account}` is not an account: twelve digits"));
        }
    }
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|error| {
        Error::new(ErrorKind::Address, format!("cannot listen on {address}")).caused(error)
    })
}

fn address_of(socket: &TcpListener) -> Result<SocketAddr, Error> {
    socket.local_addr().map_err(|error| {
        Error::new(ErrorKind::Address, "the listening address is unknown").caused(error)
    })
}

type Opened = (Arc<State>, Arc<rustls::ServerConfig>, Vec<Profile>);

fn open_root(options: &ServeOptions, endpoint: &str) -> Result<Opened, Error> {
    let made = make_private_folder(&options.root);
    let root = made.and_then(|()| options.root.canonicalize()).map_err(storage(&options.root))?;
    let lock = lock(&root.join("lock"))?;
    let tls = tls::server_config(&root)?;
    let master = root.join("master.key");
    let meta = root.join("meta.redb");
    if meta.exists() && !master.exists() {
        // A new key would open nothing of what is there.
        let why =
            format!("{} is missing, and everything here is sealed under it", master.display());
        return Err(Error::new(ErrorKind::Storage, why));
    }
    let vault = Arc::new(Vault::open_or_create(&master).map_err(storage(&master))?);
    let ledger = Arc::new(Ledger::open(&meta).map_err(storage(&meta))?);
    let (store, queues) = crate::s3::Store::open(&root).map_err(storage(&root))?;
    let state = Arc::new(State {
        vault,
        directory: Directory::load(ledger.clone()).map_err(storage(&meta))?,
        keys: Keys::load(ledger.clone()).map_err(storage(&meta))?,
        store,
        queues,
        region: options.region.clone(),
        clock: options.clock.clone(),
        root,
        _lock: lock,
    });
    let destroyed = state.keys.destroy_due(state.clock.now_ms());
    destroyed.map_err(storage(&meta))?;
    let profiles = profiles::bootstrap(&state, &ledger, options)
        .map_err(|error| Error::new(ErrorKind::Storage, "the first principals").caused(error))?;
    profiles::write_files(&state, &profiles, endpoint)
        .map_err(|error| Error::new(ErrorKind::Storage, "the profiles' files").caused(error))?;
    Ok((state, tls, profiles))
}

#[cfg(unix)]
fn make_private_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make_private_folder(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)
}

fn lock(path: &Path) -> Result<File, Error> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(storage(path))?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_WAIT => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(TryLockError::WouldBlock) => {
                let folder = path.parent().unwrap_or(path).display();
                let why = format!("another local cloud serves {folder}");
                return Err(Error::new(ErrorKind::Locked, why));
            }
            Err(TryLockError::Error(error)) => return Err(storage(path)(error)),
        }
    }
}

fn storage<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    path: &Path,
) -> impl FnOnce(E) -> Error {
    let context = format!("cannot keep the local cloud in {}", path.display());
    move |error| Error::new(ErrorKind::Storage, context).caused(error)
}

/// Why the local cloud did not start.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Another process serves this root.
    Locked,
    /// The address cannot be listened on.
    Address,
    /// A file under the root cannot be read or written, or is damaged.
    Storage,
    /// An option makes no sense.
    Options,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, context: impl Into<String>) -> Error {
        Error { kind, context: context.into(), source: None }
    }

    pub(crate) fn caused(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        self.source = Some(source.into());
        self
    }

    /// Whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self.kind {
            ErrorKind::Locked => Some("stop the other one, or choose another --root".to_owned()),
            ErrorKind::Address => {
                Some("choose another --listen, or port 0 for a free one".to_owned())
            }
            ErrorKind::Storage | ErrorKind::Options => None,
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.context)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
