//! Starting and stopping: the root folder, the accounts in it, the listeners.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::state::{Clock, Served};

/// What to serve, and where.
#[derive(Clone)]
pub struct ServeOptions {
    /// The folder that holds everything; made if absent.
    pub root: PathBuf,
    /// The HTTPS address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// A plain HTTP address too, for showing what TLS-only policies deny.
    pub http: Option<SocketAddr>,
    /// The region all endpoints claim.
    pub region: String,
    /// Accounts that exist; each gets an administrator.
    pub accounts: Vec<Account>,
    /// Users and roles to have with credentials from the start.
    pub principals: Vec<Bootstrap>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Hears of every answered request.
    pub observer: Option<Arc<dyn Fn(&Served) + Send + Sync>>,
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

/// A local cloud that answers. Dropping it stops it; [`Running::shutdown`] waits for what is under
/// way.
pub struct Running {
    endpoint: String,
    root: PathBuf,
}

impl Running {
    /// `https://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The certificate authority's certificate, for `AWS_CA_BUNDLE`.
    pub fn ca_path(&self) -> PathBuf {
        self.root.join("ca.pem")
    }

    /// The root folder.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// Starts serving.
pub async fn start(options: ServeOptions) -> Result<Running, Error> {
    let _ = options;
    Err(Error::new(ErrorKind::Options, "not yet").caused("not yet"))
}
