//! How to reach the cloud and as whom. Everything a person can set, as one value.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

/// Where to send requests and as whom to sign them. `Settings::default()` is the AWS default chain.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Profile of the shared configuration files. None: `AWS_PROFILE`, then `default`.
    pub profile: Option<String>,
    /// Endpoint of all four services, for anything but AWS. None: `AWS_ENDPOINT_URL`, the profile.
    pub endpoint: Option<String>,
    /// Endpoint of S3 alone, where it is not that of the other services.
    pub s3_endpoint: Option<String>,
    /// Region. None: `AWS_REGION`, the profile; with an endpoint, at last `us-east-1`.
    pub region: Option<String>,
    /// PEM file with the only certificate authorities to trust. None: the system's.
    pub ca_bundle: Option<PathBuf>,
    /// Credentials to use instead of the default chain.
    pub explicit_credentials: Option<Credentials>,
    /// Sign nothing: requests go out as a stranger's would.
    pub anonymous: bool,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

impl Settings {
    /// The settings that these environment variables ask for, for whoever owns the environment to
    /// pass in. Variables of the same meaning are taken in the AWS CLI's order. Credentials and
    /// profile files are left to the default chain, which knows more places than these.
    pub fn from_environment(variables: &BTreeMap<String, String>) -> Settings {
        let get = |names: &[&str]| {
            names.iter().find_map(|name| variables.get(*name).filter(|v| !v.is_empty()).cloned())
        };
        Settings {
            profile: get(&["AWS_PROFILE"]),
            endpoint: get(&["AWS_ENDPOINT_URL"]),
            s3_endpoint: get(&["AWS_ENDPOINT_URL_S3"]),
            region: get(&["AWS_REGION", "AWS_DEFAULT_REGION"]),
            ca_bundle: get(&["AWS_CA_BUNDLE"]).map(PathBuf::from),
            ..Settings::default()
        }
    }
}

/// An access key, its secret and the session token that belongs to it. Shows only the key id.
#[derive(Clone)]
pub struct Credentials {
    access_key_id: String,
    secret_access_key: Zeroizing<String>,
    session_token: Option<Zeroizing<String>>,
}

impl Credentials {
    /// Long-lived credentials, or temporary ones when there is a session token.
    pub fn new(
        access_key_id: impl Into<String>,
        secret_access_key: impl Into<String>,
        session_token: Option<String>,
    ) -> Credentials {
        Credentials {
            access_key_id: access_key_id.into(),
            secret_access_key: Zeroizing::new(secret_access_key.into()),
            session_token: session_token.map(Zeroizing::new),
        }
    }

    /// The public half.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// The secret half: to write into a credentials file, never into a message.
    pub fn secret_access_key(&self) -> &str {
        &self.secret_access_key
    }

    /// Set for temporary credentials.
    pub fn session_token(&self) -> Option<&str> {
        self.session_token.as_ref().map(|token| token.as_str())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .field("temporary", &self.session_token.is_some())
            .finish_non_exhaustive()
    }
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For one try of a request that carries no object data.
    pub control: Duration,
    /// For object data: the longest time in which no byte moves, nor an answer comes. A part may
    /// take as long as its line needs; a line that stands still is cut.
    pub idle: Duration,
    /// For CompleteMultipartUpload and copies, which S3 may take minutes to answer for large objects.
    pub complete: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(10),
            control: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            complete: Duration::from_secs(600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn environment_is_read_in_the_order_of_the_aws_cli() {
        let settings = Settings::from_environment(&variables(&[
            ("AWS_ENDPOINT_URL", "https://127.0.0.1:9"),
            ("AWS_ENDPOINT_URL_S3", "https://127.0.0.1:8"),
            ("AWS_DEFAULT_REGION", "eu-west-1"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_CA_BUNDLE", "/etc/ca.pem"),
            ("AWS_PROFILE", ""),
        ]));
        assert_eq!(settings.endpoint.as_deref(), Some("https://127.0.0.1:9"));
        assert_eq!(settings.s3_endpoint.as_deref(), Some("https://127.0.0.1:8"));
        assert_eq!(settings.region.as_deref(), Some("eu-central-1"));
        assert_eq!(settings.ca_bundle, Some(PathBuf::from("/etc/ca.pem")));
        assert_eq!(settings.profile, None);
    }

    #[test]
    fn credentials_show_no_secret() {
        let credentials =
            Credentials::new("AKIDEXAMPLE", "wJalrSECRET", Some("tokenSECRET".into()));
        let shown = format!("{credentials:?}");
        assert!(shown.contains("AKIDEXAMPLE"), "{shown}");
        assert!(!shown.contains("SECRET"), "{shown}");
    }
}
