//! Settings to clients: everything that differs between AWS and other servers is decided here.

use std::path::Path;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{
    RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
};
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use std::time::Duration;

use crate::elsewhere::signed::Sender;
use crate::error::{Error, NO_REGION};
use crate::s3::said_twice::SaidTwice;
use crate::settings::{Credentials, Settings};
use crate::{Cloud, Elsewhere, Iam, Kms, S3, Sqs, Sts};

/// Connections unused for longer are closed by us rather than found closed by the server: S3 and
/// the load balancers in front of other stores let go of idle ones from about twenty seconds on.
const POOL_IDLE: Duration = Duration::from_secs(15);

pub(crate) async fn connect(settings: &Settings) -> Result<Cloud, Error> {
    let http = http_client(settings.ca_bundle.as_deref())?;
    let sdk = load(settings, http.clone()).await;
    let endpoint = settings.endpoint.clone().or_else(|| sdk.endpoint_url().map(str::to_owned));
    let sdk = with_region(sdk, endpoint.is_some() || settings.s3_endpoint.is_some())?;
    let region = sdk.region().map(ToString::to_string).unwrap_or_default();
    let sender = Sender {
        http,
        credentials: sdk.credentials_provider(),
        region: region.clone(),
        timeouts: settings.timeouts,
    };
    Ok(Cloud {
        s3: s3(settings, &sdk, endpoint.is_some() || settings.s3_endpoint.is_some(), &region),
        kms: Kms::new(aws_sdk_kms::Client::new(&sdk)),
        iam: Iam::new(aws_sdk_iam::Client::new(&sdk)),
        sts: Sts::new(aws_sdk_sts::Client::new(&sdk)),
        sqs: Sqs::new(sender.clone(), endpoint.as_deref()),
        elsewhere: Elsewhere::new(sender, endpoint.clone()),
        region,
        endpoint,
    })
}

async fn load(settings: &Settings, http: SharedHttpClient) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(settings.timeouts.connect)
        .operation_attempt_timeout(settings.timeouts.control)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard());
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(endpoint) = &settings.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if settings.anonymous {
        loader = loader.no_credentials();
    } else if let Some(credentials) = &settings.explicit_credentials {
        loader = loader.credentials_provider(sdk_credentials(credentials));
    }
    loader.load().await
}

fn sdk_credentials(credentials: &Credentials) -> aws_credential_types::Credentials {
    aws_credential_types::Credentials::new(
        credentials.access_key_id(),
        credentials.secret_access_key(),
        credentials.session_token().map(str::to_owned),
        None,
        "explicit",
    )
}

/// Other servers mostly ignore the region but sign with one; AWS must be told.
fn with_region(sdk: SdkConfig, custom: bool) -> Result<SdkConfig, Error> {
    match sdk.region() {
        Some(_) => Ok(sdk),
        None if custom => Ok(sdk.into_builder().region(Region::from_static("us-east-1")).build()),
        None => Err(Error::configuration(NO_REGION)),
    }
}

/// Two S3 clients over one pool of connections. The one for object data never retries (it cannot
/// know whether the engine still wants those bytes) and has no timeout for a whole try: a part
/// takes as long as the line needs. `s3/body.rs` cuts lines that stand still.
fn s3(settings: &Settings, sdk: &SdkConfig, custom: bool, region: &str) -> S3 {
    let mut builder = aws_sdk_s3::config::Builder::from(sdk);
    if settings.anonymous {
        builder = builder.allow_no_auth();
    }
    if let Some(endpoint) = &settings.s3_endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    if custom {
        // Virtual-host addresses need a wildcard name that a server on 127.0.0.1 does not have,
        // and unasked-for checksums are refused or garbled by several other servers.
        builder = builder
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .interceptor(SaidTwice);
    }
    let control = builder.clone().build();
    // What is not said here the SDK takes from the configuration beneath, which gives a try half a
    // minute: a copy of some gigabytes, or a part on a slow line, would never be done.
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(settings.timeouts.connect)
        .disable_operation_timeout()
        .disable_operation_attempt_timeout()
        .disable_read_timeout();
    let data = builder
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts.build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    S3::new(
        aws_sdk_s3::Client::from_conf(control),
        aws_sdk_s3::Client::from_conf(data),
        settings.timeouts,
        region,
    )
}

fn http_client(ca_bundle: Option<&Path>) -> Result<SharedHttpClient, Error> {
    let trust = match ca_bundle {
        None => TrustStore::default(),
        Some(path) => TrustStore::empty().with_pem_certificate(read_bundle(path)?),
    };
    let context = TlsContext::builder()
        .with_trust_store(trust)
        .build()
        .map_err(|error| Error::configuration(format!("TLS cannot be set up: {error}")))?;
    Ok(aws_smithy_http_client::Builder::new()
        .pool_idle_timeout(POOL_IDLE)
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc))
        .tls_context(context)
        .build_https())
}

/// Looked at before the TLS library sees it, which would end the program over a file without
/// certificates.
fn read_bundle(path: &Path) -> Result<Vec<u8>, Error> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|error| {
        Error::configuration(format!("the CA bundle {shown} cannot be read: {error}"))
    })?;
    let begins = b"-----BEGIN CERTIFICATE-----";
    if !bytes.windows(begins.len()).any(|window| window == begins) {
        return Err(Error::configuration(format!("the CA bundle {shown} holds no certificate")));
    }
    Ok(bytes)
}
