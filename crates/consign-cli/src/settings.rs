//! What the flags, the environment and the configuration file mean together. A flag wins over its
//! environment variable, which wins over the file.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use consign_model::{Date, Exchange, PartyName};

use crate::args::Global;
use crate::commands::files;
use crate::error::CommandError;

/// The environment, as a value, so that nothing below `main` reads it.
pub(crate) type Environment = HashMap<String, String>;

/// What is set for this process.
///
/// # Errors
/// A variable that means something here is not UTF-8: taken for unset, it would mean something else.
pub(crate) fn environment(
    set: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Environment, CommandError> {
    let mut environment = Environment::new();
    for (name, value) in set {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => drop(environment.insert(name, value)),
            Err(_) if OURS.iter().any(|ours| name.starts_with(ours)) => {
                return Err(CommandError::usage(format!("the variable {name} is not UTF-8")));
            }
            Err(_) => {}
        }
    }
    Ok(environment)
}

/// What the variables that mean something here begin with.
const OURS: [&str; 4] = ["CONSIGN_", "AWS_", "XDG_", "HOME"];

/// What every command works with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) home: PathBuf,
    pub(crate) exchange_file: PathBuf,
    /// Whether somebody named it, so that it is more than the default.
    pub(crate) exchange_is_named: bool,
    pub(crate) party: Option<PartyName>,
    pub(crate) keys_dir: PathBuf,
    /// Where the party's own key to open with is kept, if not in the key folder.
    pub(crate) identity: Option<String>,
    /// Where the party's own key to sign with is kept, if not in the key folder.
    pub(crate) signer: Option<String>,
    pub(crate) state_dir: PathBuf,
    pub(crate) profile: Option<String>,
    pub(crate) endpoint: Option<String>,
    /// Of S3 alone.
    pub(crate) s3_endpoint: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) ca_bundle: Option<PathBuf>,
    /// The shared credentials file and the shared configuration file of AWS.
    pub(crate) aws_files: [PathBuf; 2],
    /// Where `ssh` keeps a person's keys.
    pub(crate) ssh_dir: PathBuf,
}

/// The configuration file: the same words as the flags.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    exchange: Option<PathBuf>,
    #[serde(rename = "as")]
    party: Option<String>,
    keys: Option<PathBuf>,
    identity: Option<String>,
    signer: Option<String>,
    state: Option<PathBuf>,
    profile: Option<String>,
    endpoint: Option<String>,
    region: Option<String>,
}

impl Settings {
    /// Resolves every setting; errors name the flag, variable or file at fault.
    pub(crate) fn resolve(
        global: &Global,
        environment: &Environment,
    ) -> Result<Settings, CommandError> {
        let folders = Folders::of(environment);
        let file = read_file(&folders.config.join("config.toml"))?;
        let variable = |name: &str| environment.get(name).filter(|v| !v.is_empty()).cloned();
        let path = |flag: &Option<PathBuf>, name: &str, file: Option<PathBuf>, default: PathBuf| {
            flag.clone().or_else(|| variable(name).map(PathBuf::from)).or(file).unwrap_or(default)
        };
        let party = global.party.clone().or_else(|| variable("CONSIGN_AS")).or(file.party);
        let exchange_is_named = global.exchange.is_some()
            || variable("CONSIGN_EXCHANGE").is_some()
            || file.exchange.is_some();
        for (of, endpoint) in [
            ("--endpoint", &global.endpoint),
            ("CONSIGN_ENDPOINT", &variable("CONSIGN_ENDPOINT")),
            ("AWS_ENDPOINT_URL", &variable("AWS_ENDPOINT_URL")),
            ("AWS_ENDPOINT_URL_S3", &variable("AWS_ENDPOINT_URL_S3")),
            ("endpoint in the configuration file", &file.endpoint),
        ] {
            endpoint.as_deref().map_or(Ok(()), |text| check_endpoint(of, text))?;
        }
        let said_endpoint = global.endpoint.clone().or_else(|| variable("CONSIGN_ENDPOINT"));
        Ok(Settings {
            home: folders.home.clone(),
            exchange_is_named,
            exchange_file: path(
                &global.exchange,
                "CONSIGN_EXCHANGE",
                file.exchange,
                "exchange.toml".into(),
            ),
            party: party
                .map(|name| PartyName::parse(&name))
                .transpose()
                .map_err(|e| CommandError::usage("--as does not name a party").caused_by(e))?,
            keys_dir: path(&global.keys, "CONSIGN_KEYS", file.keys, folders.config.join("keys")),
            identity: variable("CONSIGN_IDENTITY").or(file.identity),
            signer: variable("CONSIGN_SIGNER").or(file.signer),
            state_dir: path(&global.state, "CONSIGN_STATE", file.state, folders.state),
            profile: global
                .profile
                .clone()
                .or_else(|| variable("CONSIGN_PROFILE"))
                .or_else(|| variable("AWS_PROFILE"))
                .or(file.profile),
            // What is named for consign is meant for every service.
            s3_endpoint: match &said_endpoint {
                Some(_) => None,
                None => variable("AWS_ENDPOINT_URL_S3"),
            },
            endpoint: said_endpoint.or_else(|| variable("AWS_ENDPOINT_URL")).or(file.endpoint),
            region: global.region.clone().or_else(|| variable("AWS_REGION")).or(file.region),
            ca_bundle: variable("AWS_CA_BUNDLE").map(PathBuf::from),
            ssh_dir: folders.home.join(".ssh"),
            aws_files: [
                variable("AWS_SHARED_CREDENTIALS_FILE")
                    .map_or_else(|| folders.home.join(".aws/credentials"), PathBuf::from),
                variable("AWS_CONFIG_FILE")
                    .map_or_else(|| folders.home.join(".aws/config"), PathBuf::from),
            ],
        })
    }

    /// Whether the shared files of AWS have a profile of this name.
    pub(crate) fn has_profile(&self, name: &str) -> bool {
        let headings = [format!("[{name}]"), format!("[profile {name}]")];
        self.aws_files.iter().any(|path| {
            files::read_text(path).is_ok_and(|text| {
                text.lines().any(|line| headings.iter().any(|heading| line.trim() == heading))
            })
        })
    }

    /// Reads and checks the exchange file.
    pub(crate) fn exchange(&self) -> Result<Exchange, CommandError> {
        self.exchange_text().map(|(exchange, _)| exchange)
    }

    /// The same, with the text of the file.
    pub(crate) fn exchange_text(&self) -> Result<(Exchange, String), CommandError> {
        let text = files::read_text(&self.exchange_file).map_err(|e| {
            CommandError::usage(format!(
                "cannot read the exchange file {}",
                self.exchange_file.display()
            ))
            .caused_by(e)
            .hint(
                "write one with `consign init --template two-way`, or name it with --exchange FILE",
            )
        })?;
        let exchange = Exchange::parse(&text, &self.exchange_file.display().to_string(), today())?;
        Ok((exchange, text.to_string()))
    }
}

/// Today's date in UTC.
pub(crate) fn today() -> Date {
    let now = time::OffsetDateTime::now_utc();
    Date::parse(&format!("{:04}-{:02}-{:02}", now.year(), u8::from(now.month()), now.day()))
        .expect("a calendar date is a date")
}

/// That an endpoint is one, before it is found to answer nobody.
fn check_endpoint(of: &str, text: &str) -> Result<(), CommandError> {
    let wrong = |why: &str| {
        CommandError::usage(format!("{of} {why}"))
            .hint("for example https://s3.example or http://127.0.0.1:9000")
    };
    let url = text.parse::<http::Uri>().map_err(|_| wrong("is no address"))?;
    let known = matches!(url.scheme_str(), Some("http" | "https"));
    match url.authority().filter(|_| known) {
        // Not repeated: what stands there may be a password.
        Some(authority) if authority.as_str().contains('@') => {
            Err(wrong("holds a user or a password, which S3 does not take"))
        }
        Some(authority) if !authority.host().is_empty() => Ok(()),
        _ => Err(wrong("does not begin with https:// or http:// and a host")),
    }
}

struct Folders {
    home: PathBuf,
    config: PathBuf,
    state: PathBuf,
}

impl Folders {
    /// The XDG base directories.
    fn of(environment: &Environment) -> Folders {
        let home = environment.get("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
        let base = |name: &str, default: &str| {
            environment
                .get(name)
                .filter(|value| Path::new(value).is_absolute())
                .map_or_else(|| home.join(default), PathBuf::from)
                .join("consign")
        };
        Folders {
            config: base("XDG_CONFIG_HOME", ".config"),
            state: base("XDG_STATE_HOME", ".local/state"),
            home,
        }
    }
}

fn read_file(path: &Path) -> Result<File, CommandError> {
    let text = match files::read_text(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(File::default()),
        Err(e) => {
            return Err(CommandError::usage(format!("cannot read {}", path.display())).caused_by(e));
        }
    };
    toml_edit::de::from_str(&text)
        .map_err(|e| CommandError::usage(format!("{} is faulty", path.display())).caused_by(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_flag_wins_over_the_environment_which_wins_over_the_file() {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join("consign");
        std::fs::create_dir(&config).unwrap();
        std::fs::write(
            config.join("config.toml"),
            "exchange = 'file.toml'\nprofile = 'file'\nas = 'file'\n",
        )
        .unwrap();
        let base = home.path().to_str().unwrap();
        let vars = environment(&[
            ("XDG_CONFIG_HOME", base),
            ("CONSIGN_EXCHANGE", "variable.toml"),
            ("CONSIGN_PROFILE", "variable"),
        ]);
        let flags = Global { exchange: Some("flag.toml".into()), ..Global::default() };
        let settings = Settings::resolve(&flags, &vars).unwrap();
        assert_eq!(settings.exchange_file, PathBuf::from("flag.toml"));
        assert_eq!(settings.profile.as_deref(), Some("variable"));
        assert_eq!(settings.party.unwrap().as_ref(), "file");
    }

    #[test]
    fn an_endpoint_of_s3_alone_yields_to_one_that_is_named_for_consign() {
        let vars = environment(&[
            ("HOME", "/nowhere"),
            ("AWS_ENDPOINT_URL", "https://all"),
            ("AWS_ENDPOINT_URL_S3", "https://store"),
        ]);
        let settings = Settings::resolve(&Global::default(), &vars).unwrap();
        assert_eq!(settings.endpoint.as_deref(), Some("https://all"));
        assert_eq!(settings.s3_endpoint.as_deref(), Some("https://store"));
        let flags = Global { endpoint: Some("https://named".to_owned()), ..Global::default() };
        let settings = Settings::resolve(&flags, &vars).unwrap();
        assert_eq!(settings.endpoint.as_deref(), Some("https://named"));
        assert_eq!(settings.s3_endpoint, None);
    }

    #[test]
    fn an_endpoint_is_an_address() {
        for good in ["https://s3.example", "http://127.0.0.1:9000", "https://[::1]:1/path/"] {
            check_endpoint("--endpoint", good).unwrap();
        }
        for wrong in ["nonsense", "", "s3.example:443", "ftp://a", "https://", "https://u:geheim@a"]
        {
            let error = check_endpoint("--endpoint", wrong).unwrap_err();
            assert!(error.chain().starts_with("--endpoint "), "{}", error.chain());
            assert!(!error.chain().contains("geheim"), "{}", error.chain());
        }
    }

    #[test]
    fn a_variable_of_ours_must_be_text_and_others_may_be_anything() {
        use std::os::unix::ffi::OsStringExt;
        let bytes = || OsString::from_vec(vec![b'/', 0xff]);
        let set = [("EDITOR".into(), bytes()), (bytes(), "x".into()), ("HOME".into(), "/".into())];
        let read = super::environment(set.into_iter()).unwrap();
        assert_eq!(read, HashMap::from([("HOME".to_owned(), "/".to_owned())]));
        for name in ["CONSIGN_KEYS", "AWS_PROFILE", "XDG_STATE_HOME", "HOME"] {
            let error = super::environment([(name.into(), bytes())].into_iter()).unwrap_err();
            assert!(error.chain().contains(name), "{}", error.chain());
        }
    }

    #[test]
    fn an_unknown_word_in_the_configuration_file_is_refused() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("consign")).unwrap();
        std::fs::write(home.path().join("consign/config.toml"), "exchnge = 'x'\n").unwrap();
        let vars = environment(&[("XDG_CONFIG_HOME", home.path().to_str().unwrap())]);
        let error = Settings::resolve(&Global::default(), &vars).unwrap_err();
        assert!(error.chain().contains("exchnge"), "{}", error.chain());
    }
}
