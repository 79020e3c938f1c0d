//! How to reach an S3 store, as an operator writes it.
//!
//! Comes in: keys of the configuration. Goes out: [`S3Config`]. Never: a secret in a log line.

use super::S3Config;
use std::fmt;

/// A text that must not be printed: shows as `***`.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for signing only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The table `[store.s3]` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Options {
    /// Address of the store, `http(s)://host[:port]`; AWS when absent.
    pub endpoint: Option<String>,
    /// Region; else `AWS_REGION`, `AWS_DEFAULT_REGION`, `us-east-1`.
    pub region: Option<String>,
    /// Access key; else `AWS_ACCESS_KEY_ID` of the environment.
    pub access_key: Option<String>,
    /// Secret key; else `AWS_SECRET_ACCESS_KEY` of the environment.
    pub secret_key: Option<Secret>,
    /// Bucket in the path instead of the host name; by default whenever an endpoint is given.
    pub path_style: Option<bool>,
}

impl S3Options {
    /// The configuration for one bucket and prefix (objects lie under `prefix/`), defaults filled in.
    pub fn into_config(self, bucket: &str, prefix: &str) -> S3Config {
        let region = self
            .region
            .or_else(|| environment("AWS_REGION"))
            .or_else(|| environment("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| "us-east-1".to_owned());
        S3Config {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            path_style: self.path_style.unwrap_or(self.endpoint.is_some()),
            endpoint: self.endpoint,
            region,
            access_key: self.access_key,
            secret_key: self.secret_key,
        }
    }
}

/// A variable of the environment that is set and not empty.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{StoreErrorKind, open};

    #[test]
    fn secrets_do_not_print() {
        let options: S3Options =
            serde_json::from_str(r#"{"access_key": "GK1", "secret_key": "hunter2", "endpoint": "http://[::1]:1"}"#)
                .unwrap();
        assert_eq!(options.secret_key.as_ref().unwrap().expose(), "hunter2");
        let config = options.clone().into_config("bucket", "p");
        assert!(config.path_style, "an endpoint means path style unless said otherwise");
        for text in [format!("{options:?}"), format!("{config:?}")] {
            assert!(!text.contains("hunter2") && text.contains("***"), "{text}");
        }
        assert!(serde_json::from_str::<S3Options>(r#"{"secretkey": "x"}"#).is_err());
    }

    #[test]
    fn wrong_urls_are_refused_with_a_hint() {
        let keys = || S3Options {
            access_key: Some("GK1".to_owned()),
            secret_key: Some(Secret::new("hunter2")),
            ..S3Options::default()
        };
        for bad in ["", "data", "file:", "file://host/x", "s3:bucket", "s3://", "s3:///x", "s3://b/../x", "s3://B u/x"]
        {
            let error = open(bad, keys()).err().unwrap_or_else(|| panic!("{bad:?} was accepted"));
            assert_eq!(error.kind, StoreErrorKind::Refused, "{bad:?}: {error}");
            assert!(error.message.contains("store."), "{bad:?}: {error}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
        assert!(open("s3://bucket", keys()).is_ok());
        assert!(open("s3://bucket/some/prefix/", keys()).is_ok());
        let lonely = S3Options { access_key: Some("GK1".to_owned()), ..S3Options::default() };
        assert_eq!(open("s3://bucket/x", lonely).err().unwrap().kind, StoreErrorKind::Refused);
        let endpoint = S3Options { endpoint: Some("http://u:pw@host".to_owned()), ..keys() };
        let error = open("s3://bucket/x", endpoint).err().unwrap();
        assert!(!error.message.contains("pw@"), "{error}");
    }

    #[test]
    fn a_directory_opens_by_either_spelling() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("objects");
        assert!(open(&format!("file:{}", path.display()), S3Options::default()).is_ok());
        assert!(open(&format!("file://{}", path.display()), S3Options::default()).is_ok());
        assert!(path.is_dir());
    }
}
