//! One error for the whole command line: a kind that becomes the exit code, a sentence with its
//! causes, and hints, each a command that the person can run. Every library error is turned into it
//! here and nowhere else.

use std::error::Error as StdError;

/// Why the command ends, and with which exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something failed that is none of the following.
    Failed,
    /// Wrong usage, or a file that says something impossible.
    Usage,
    /// Something is not what its sender signed, or a proof failed.
    Integrity,
    /// No credentials, or they do not allow it.
    Denied,
    /// The thing asked for is not there.
    NotFound,
    /// The service or the network failed; trying again may help.
    Unavailable,
    /// Ctrl-C.
    Interrupted,
    /// `plan --exit-code` found something to change.
    Changes,
    /// The reader of standard output is gone, and with it the reason to go on; not a failure.
    Unread,
}

/// An error as the person sees it.
#[derive(Debug)]
pub(crate) struct CommandError {
    kind: Kind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
    /// Of a sentence of ours that has no cause of that kind.
    seal_kind: Option<consign_seal::ErrorKind>,
    hints: Vec<String>,
}

impl CommandError {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> CommandError {
        CommandError {
            kind,
            message: message.into(),
            source: None,
            seal_kind: None,
            hints: Vec::new(),
        }
    }

    /// In the vocabulary of sealed things, where there is no error of theirs to take it from.
    pub(crate) fn from_seal_kind(
        kind: consign_seal::ErrorKind,
        message: impl Into<String>,
    ) -> CommandError {
        let mut error = CommandError::new(of_seal(kind), message);
        error.seal_kind = Some(kind);
        error
    }

    pub(crate) fn usage(message: impl Into<String>) -> CommandError {
        CommandError::new(Kind::Usage, message)
    }

    pub(crate) fn failed(message: impl Into<String>) -> CommandError {
        CommandError::new(Kind::Failed, message)
    }

    /// A bug of ours, or a machine that cannot run us.
    pub(crate) fn internal(
        message: impl Into<String>,
        source: impl StdError + Send + Sync + 'static,
    ) -> CommandError {
        CommandError::failed(message).caused_by(source)
    }

    pub(crate) fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same as a plain failure, where other exit codes mean something else.
    pub(crate) fn into_failed(mut self) -> Self {
        self.kind = Kind::Failed;
        self
    }

    fn hints_from(mut self, hint: Option<String>) -> Self {
        self.hints.extend(hint);
        self
    }

    pub(crate) fn hints(&self) -> &[String] {
        &self.hints
    }

    /// Says what was being done, before the message.
    pub(crate) fn within(mut self, what: String) -> Self {
        self.message = match self.message.is_empty() {
            true => what,
            false => format!("{what}: {}", self.message),
        };
        self
    }

    /// The message and its causes, outermost first, each said once.
    pub(crate) fn chain(&self) -> String {
        let causes = self.source.as_ref().map(|source| chain(&**source)).unwrap_or_default();
        match (self.message.as_str(), causes.as_str()) {
            ("", causes) => causes.to_owned(),
            (message, "") => message.to_owned(),
            (message, causes) => format!("{message}: {causes}"),
        }
    }

    /// Whether the only thing that is wrong is that nobody reads on.
    pub(crate) fn is_unread(&self) -> bool {
        self.kind == Kind::Unread
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Unread => 0,
            Kind::Failed => 1,
            Kind::Usage | Kind::Changes => 2,
            Kind::Integrity => 3,
            Kind::Denied => 4,
            Kind::NotFound => 5,
            Kind::Unavailable => 6,
            Kind::Interrupted => 130,
        }
    }

    /// What became of something sealed, where that is what stopped the command.
    pub(crate) fn seal_kind(&self) -> Option<consign_seal::ErrorKind> {
        self.seal_kind.or_else(|| self.seal_error().map(consign_seal::Error::kind))
    }

    fn seal_error(&self) -> Option<&consign_seal::Error> {
        seal_within(self.source.as_deref()?)
    }

    /// What exactly failed, for the log of whoever runs this and for nobody else.
    pub(crate) fn detail(&self) -> Option<&str> {
        self.seal_error()?.detail()
    }

    /// The word of docs/errors.md: the one vocabulary of sealed things, else that of the exit codes.
    pub(crate) fn kind_name(&self) -> &'static str {
        use consign_seal::ErrorKind as Seal;
        match self.seal_kind() {
            Some(Seal::Usage | Seal::Io | Seal::Internal) | None => self.class_name(),
            Some(kind) => kind.word(),
        }
    }

    /// What the exit code says.
    pub(crate) fn class_name(&self) -> &'static str {
        match self.kind {
            Kind::Failed => "failed",
            Kind::Usage => "usage",
            Kind::Integrity => "integrity",
            Kind::Denied => "denied",
            Kind::NotFound => "not-found",
            Kind::Unavailable => "unavailable",
            Kind::Interrupted => "interrupted",
            Kind::Changes => "changes",
            Kind::Unread => "unread",
        }
    }
}

impl From<consign_model::Error> for CommandError {
    fn from(error: consign_model::Error) -> CommandError {
        let hint = error.hint();
        CommandError::usage("").caused_by(error).hints_from(hint)
    }
}

impl From<consign_seal::Error> for CommandError {
    fn from(error: consign_seal::Error) -> CommandError {
        let (kind, hint) = (of_seal(error.kind()), error.hint());
        CommandError::new(kind, "").caused_by(error).hints_from(hint)
    }
}

/// Whose fault it is: docs/errors.md has the table.
fn of_seal(kind: consign_seal::ErrorKind) -> Kind {
    use consign_seal::ErrorKind as Seal;
    match kind {
        Seal::BadKey
        | Seal::UnsupportedKey
        | Seal::ExpiredKey
        | Seal::RevokedKey
        | Seal::NeedsPassphrase
        | Seal::WrongPassphrase
        | Seal::NotForYou => Kind::Usage,
        Seal::Usage | Seal::Io | Seal::Internal => Kind::Failed,
        _ => Kind::Integrity,
    }
}

/// The error of sealing or opening among an error and its causes.
fn seal_within<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e consign_seal::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<consign_seal::Error>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

impl From<consign_cloud::Error> for CommandError {
    fn from(error: consign_cloud::Error) -> CommandError {
        let kind = cloud_kind(error.kind());
        let hint = error.hint();
        CommandError::new(kind, "").caused_by(error).hints_from(hint)
    }
}

fn cloud_kind(kind: consign_cloud::ErrorKind) -> Kind {
    use consign_cloud::ErrorKind as Cloud;
    match kind {
        Cloud::Throttled | Cloud::Unavailable | Cloud::Network | Cloud::Timeout => {
            Kind::Unavailable
        }
        Cloud::AccessDenied
        | Cloud::BadCredentials
        | Cloud::ExpiredCredentials
        | Cloud::ClockSkew => Kind::Denied,
        Cloud::NotFound | Cloud::NoSuchUpload => Kind::NotFound,
        Cloud::Configuration => Kind::Usage,
        _ => Kind::Failed,
    }
}

impl From<consign_provision::Error> for CommandError {
    fn from(error: consign_provision::Error) -> CommandError {
        use consign_provision::ErrorKind as Provision;
        let kind = match error.kind() {
            Provision::Service => cloud_kind_within(&error).unwrap_or(Kind::Failed),
            Provision::Exchange
            | Provision::TooLarge
            | Provision::Document
            | Provision::Question => Kind::Usage,
            Provision::NoHands => Kind::Denied,
            Provision::Interrupted => Kind::Interrupted,
            _ => Kind::Failed,
        };
        let hint = error.hint().map(|hint| hint.to_string());
        CommandError::new(kind, "").caused_by(error).hints_from(hint)
    }
}

impl From<consign_local::Error> for CommandError {
    fn from(error: consign_local::Error) -> CommandError {
        use consign_local::ErrorKind as Local;
        let kind = match error.kind() {
            Local::Options | Local::Address | Local::Locked => Kind::Usage,
            Local::Storage => Kind::Failed,
        };
        CommandError::new(kind, "").caused_by(error)
    }
}

/// An error and its causes in one sentence, outermost first, each said once.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let sentence = error.to_string();
        if !sentence.is_empty() && !text.contains(&sentence) {
            text = format!("{text}: {}", sentence.trim_end());
        }
        cause = error.source();
    }
    text
}

/// The kind of the service's own answer, when there is one among the causes.
fn cloud_kind_within(error: &(dyn StdError + 'static)) -> Option<Kind> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(cloud) = error.downcast_ref::<consign_cloud::Error>() {
            return Some(cloud_kind(cloud.kind()));
        }
        cause = error.source();
    }
    None
}

impl From<consign_s3s2::Error> for CommandError {
    fn from(error: consign_s3s2::Error) -> CommandError {
        use consign_s3s2::ErrorKind as S3s2;
        let kind = match error.kind() {
            S3s2::Configuration | S3s2::Source | S3s2::NotForUs => Kind::Usage,
            S3s2::Cloud => cloud_kind_within(&error).unwrap_or(Kind::Failed),
            S3s2::Cancelled => Kind::Interrupted,
            S3s2::NotFound => Kind::NotFound,
            S3s2::Manifest | S3s2::Content | S3s2::Damaged | S3s2::Expansion => Kind::Integrity,
            _ => Kind::Failed,
        };
        let hint = error.hint();
        CommandError::new(kind, "").caused_by(error).hints_from(hint)
    }
}

impl From<consign::Error> for CommandError {
    fn from(error: consign::Error) -> CommandError {
        use consign::ErrorKind as Consign;
        let kind = match error.kind() {
            // Without credentials it is the service that says no.
            Consign::Configuration => cloud_kind_within(&error).unwrap_or(Kind::Usage),
            Consign::Source | Consign::NotForUs => Kind::Usage,
            Consign::Cloud | Consign::Denied => cloud_kind_within(&error).unwrap_or(Kind::Failed),
            Consign::Cancelled => Kind::Interrupted,
            Consign::NotFound => Kind::NotFound,
            Consign::Damaged
            | Consign::Signature
            | Consign::Manifest
            | Consign::Misaddressed
            | Consign::Chain
            | Consign::Content => Kind::Integrity,
            _ => Kind::Failed,
        };
        let hint = error.hint();
        CommandError::new(kind, "").caused_by(error).hints_from(hint)
    }
}
