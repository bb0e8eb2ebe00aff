//! The JSON configuration files of s3s2.
//!
//! There are two vocabularies. What s3s2 reads are its flags' names. What `s3s2 config` writes are other
//! words (`pubkey`, `awsprofile`, `chunksize`), of which s3s2 then reads those that happen to be the
//! same; both are read here. Empty text and zero mean that nothing is set, as `s3s2 config` writes them.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, ErrorKind};

const BYTES_MAX: usize = 1 << 20;

/// What a configuration file sets. The same words are s3s2's flags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the fields are the flags of s3s2, and documented as those")]
pub struct Config {
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    #[serde(
        alias = "destination",
        deserialize_with = "set_path",
        skip_serializing_if = "Option::is_none"
    )]
    pub directory: Option<PathBuf>,
    #[serde(
        alias = "awsprofile",
        deserialize_with = "set",
        skip_serializing_if = "Option::is_none"
    )]
    pub aws_profile: Option<String>,
    #[serde(
        alias = "pubkey",
        deserialize_with = "set_path",
        skip_serializing_if = "Option::is_none"
    )]
    pub receiver_public_key: Option<PathBuf>,
    #[serde(
        alias = "privkey",
        deserialize_with = "set_path",
        skip_serializing_if = "Option::is_none"
    )]
    pub my_private_key: Option<PathBuf>,
    #[serde(deserialize_with = "set_path", skip_serializing_if = "Option::is_none")]
    pub my_public_key: Option<PathBuf>,
    #[serde(
        alias = "ssmpubkey",
        deserialize_with = "set",
        skip_serializing_if = "Option::is_none"
    )]
    pub ssm_public_key: Option<String>,
    #[serde(
        alias = "ssmprivkey",
        deserialize_with = "set",
        skip_serializing_if = "Option::is_none"
    )]
    pub ssm_private_key: Option<String>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    pub awskey: Option<String>,
    #[serde(deserialize_with = "set_path", skip_serializing_if = "Option::is_none")]
    pub archive_directory: Option<PathBuf>,
    #[serde(deserialize_with = "set_path", skip_serializing_if = "Option::is_none")]
    pub scratch_directory: Option<PathBuf>,
    #[serde(deserialize_with = "set_list", skip_serializing_if = "Vec::is_empty")]
    pub metadata_files: Vec<String>,
    #[serde(deserialize_with = "set_path", skip_serializing_if = "Option::is_none")]
    pub share_from_list: Option<PathBuf>,
    #[serde(deserialize_with = "set", skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(
        alias = "fileterFiles",
        deserialize_with = "set",
        skip_serializing_if = "Option::is_none"
    )]
    pub filter_files: Option<String>,
    #[serde(deserialize_with = "set_count", skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<u32>,
    #[serde(
        alias = "chunksize",
        deserialize_with = "set_count",
        skip_serializing_if = "Option::is_none"
    )]
    pub chunk_size: Option<u32>,
    #[serde(
        alias = "batchsize",
        deserialize_with = "set_count",
        skip_serializing_if = "Option::is_none"
    )]
    pub batch_size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lambda_trigger: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_on_completion: Option<bool>,
    #[serde(alias = "isgcs", skip_serializing_if = "Option::is_none")]
    pub is_gcs: Option<bool>,
    /// Said nothing but how much s3s2 printed; and, in its first versions, whether it hashed.
    #[serde(skip_serializing)]
    pub debug: Option<bool>,
    #[serde(skip_serializing)]
    pub disableinfologs: Option<bool>,
    #[serde(skip_serializing)]
    pub hash: Option<bool>,
}

impl Config {
    /// Reads a file, strictly: a word that is not known is an error, not silence.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], with the place.
    pub fn parse(text: &[u8]) -> Result<Config, Error> {
        let faulty = |text: &str| Error::new(ErrorKind::Configuration, text);
        if text.len() > BYTES_MAX {
            return Err(faulty("this is too large for a configuration file"));
        }
        // A list would do for a struct, too.
        if !text.trim_ascii_start().starts_with(b"{") {
            return Err(faulty("this is not a JSON configuration file of s3s2"));
        }
        serde_json::from_slice(text)
            .map_err(|error| faulty("this is not a JSON configuration file of s3s2").because(error))
    }

    /// As a file that s3s2 reads too.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`].
    pub fn to_text(&self) -> Result<String, Error> {
        serde_json::to_string_pretty(self).map_err(|error| {
            Error::new(ErrorKind::Bug, "the configuration cannot be written").because(error)
        })
    }
}

fn set<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.filter(|text| !text.is_empty()))
}

fn set_path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    Ok(set(from)?.map(PathBuf::from))
}

fn set_count<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    Ok(Option::<u32>::deserialize(from)?.filter(|count| *count > 0))
}

/// Text with commas, or a list.
fn set_list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        Text(String),
        List(Vec<String>),
    }
    let names = match Option::<Names>::deserialize(from)? {
        None => Vec::new(),
        Some(Names::List(names)) => names,
        Some(Names::Text(text)) => text.split(',').map(str::to_owned).collect(),
    };
    Ok(names.into_iter().filter(|name| !name.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `s3s2 config` writes.
    const WRITTEN: &str = r#"{
 "region": "us-east-1", "bucket": "demo-incoming", "awsprofile": "", "directory": "~/Desktop/s3s2/",
 "org": "acme", "parallelism": 0, "pubkey": "keys/receiver.asc", "ssmpubkey": "", "isgcs": false,
 "awskey": "", "prefix": "acme_", "hash": false, "archive-directory": "", "scratch-directory": "",
 "metadata-files": null, "chunksize": 0, "batchsize": 0, "lambda-trigger": false,
 "delete-on-completion": false, "share-from-list": "", "file": "", "privkey": "", "ssmprivkey": "",
 "fileterFiles": "" }"#;

    #[test]
    fn both_vocabularies_are_read() {
        let written = Config::parse(WRITTEN.as_bytes()).unwrap();
        assert_eq!(written.receiver_public_key, Some("keys/receiver.asc".into()));
        assert_eq!((written.parallelism, written.lambda_trigger), (None, Some(false)));
        assert_eq!(written.aws_profile, None);
        let flags = r#"{"receiver-public-key": "k", "metadata-files": "a,b", "chunk-size": 5}"#;
        let flags = Config::parse(flags.as_bytes()).unwrap();
        assert_eq!(flags.metadata_files, ["a", "b"]);
        assert_eq!(flags.chunk_size, Some(5));
        assert_eq!(Config::parse(flags.to_text().unwrap().as_bytes()).unwrap(), flags);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "",
            "null",
            "[]",
            "{",
            r#"{"bukcet": "x"}"#,
            r#"{"bucket": 1}"#,
            r#"{"parallelism": -1}"#,
            r#"{"pubkey": "a", "receiver-public-key": "b"}"#,
            r#"{"bucket": "a", "bucket": "b"}"#,
            r#"{"lambda-trigger": "yes"}"#,
            r#"{} {}"#,
            r#"{"metadata-files": {"a": 1}}"#,
        ] {
            let error = Config::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{text}");
        }
    }
}
