//! One signed request to a service that has no SDK crate here, and its answer as text.
//!
//! S3 Control, CloudTrail, SQS, GuardDuty, Access Analyzer, Systems Manager and Secrets Manager are asked
//! some thirty questions between them, each a line of JSON or an empty body. Their SDK crates would cost
//! about a minute of compilation each for that (see docs/decisions/0007); the signature, the HTTP client
//! and the credentials are those that every other request here uses.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_s3::config::SharedHttpClient;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::timeout::TimeoutConfig;

use crate::error::{Call, Error, ErrorKind};
use crate::settings::Timeouts;

/// What signs and sends.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) http: SharedHttpClient,
    pub(crate) credentials: Option<SharedCredentialsProvider>,
    pub(crate) region: String,
    pub(crate) timeouts: Timeouts,
}

/// A request before it is signed.
#[derive(Debug, Default)]
pub(crate) struct Question {
    /// The service's name in signatures.
    pub(crate) service: &'static str,
    /// Scheme and host.
    pub(crate) origin: String,
    pub(crate) method: &'static str,
    /// With its query.
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
    /// For how long the service may think before it answers, beyond what any answer takes.
    pub(crate) patience: Duration,
}

impl Sender {
    /// The body of a good answer; the service's code and sentence of another.
    pub(crate) async fn ask(&self, call: Call, question: &Question) -> Result<String, Error> {
        let Some(provider) = &self.credentials else {
            return Err(call.error(ErrorKind::BadCredentials, "no credentials were found"));
        };
        let credentials = provider.provide_credentials().await.map_err(|error| {
            let message = "credentials could not be had";
            call.clone().caused(ErrorKind::BadCredentials, message, error)
        })?;
        let headers = self.signed(question, credentials).map_err(|error| {
            call.clone().caused(ErrorKind::InvalidRequest, "the request cannot be signed", error)
        })?;
        let (status, body) = self.send(call.clone(), question, headers).await?;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let (code, message) = refusal(&body);
        Err(call.answered(code, message, status))
    }

    /// The `Date` header of an unsigned answer, whatever its status: reaching the service, and
    /// its clock.
    pub(crate) async fn date(&self, call: Call, origin: &str) -> Result<Option<String>, Error> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(self.timeouts.connect)
            .read_timeout(self.timeouts.control)
            .build();
        let operation = Operation::builder()
            .service_name("s3")
            .operation_name("date")
            .http_client(self.http.clone())
            .endpoint_url(origin)
            .no_auth()
            .no_retry()
            .timeout_config(timeouts)
            .serializer(|()| {
                let mut request = HttpRequest::new(SdkBody::empty());
                request.set_method("GET")?;
                request.set_uri("/")?;
                Ok(request)
            })
            .deserializer::<_, std::convert::Infallible>(|response| {
                Ok(response.headers().get("date").map(str::to_owned))
            })
            .build();
        operation.invoke(()).await.map_err(|error| unsent(call, error))
    }

    fn signed(
        &self,
        question: &Question,
        credentials: Credentials,
    ) -> Result<Vec<(String, String)>, Box<dyn std::error::Error + Send + Sync>> {
        let authority = question.origin.split_once("://").map_or("", |(_, rest)| rest);
        let mut headers: Vec<(String, String)> = vec![("host".to_owned(), authority.to_owned())];
        for (name, value) in &question.headers {
            headers.push(((*name).to_owned(), value.clone()));
        }
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let identity = credentials.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(question.service)
            .time(SystemTime::now())
            .settings(settings)
            .build()?;
        let uri = format!("{}{}", question.origin, question.path);
        let signable = SignableRequest::new(
            question.method,
            uri,
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())),
            SignableBody::Bytes(question.body.as_bytes()),
        )?;
        let (instructions, _) = sign(signable, &parameters.into())?.into_parts();
        let (signature, _) = instructions.into_parts();
        for header in signature {
            headers.push((header.name().to_owned(), header.value().to_owned()));
        }
        Ok(headers)
    }

    async fn send(
        &self,
        call: Call,
        question: &Question,
        headers: Vec<(String, String)>,
    ) -> Result<(u16, String), Error> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(self.timeouts.connect)
            .read_timeout(self.timeouts.control + question.patience)
            .build();
        let (method, path) = (question.method, question.path.clone());
        let body = question.body.clone();
        let operation = Operation::builder()
            .service_name(question.service)
            .operation_name("ask")
            .http_client(self.http.clone())
            .endpoint_url(&question.origin)
            .no_auth()
            .no_retry()
            .timeout_config(timeouts)
            .serializer(move |headers: Vec<(String, String)>| {
                let mut request = HttpRequest::new(SdkBody::from(body.as_str()));
                request.set_method(method)?;
                request.set_uri(path.as_str())?;
                for (name, value) in headers {
                    request.headers_mut().try_insert(name, value)?;
                }
                Ok(request)
            })
            .deserializer::<_, std::convert::Infallible>(|response| {
                let body = response.body().bytes().unwrap_or_default();
                Ok((response.status().as_u16(), String::from_utf8_lossy(body).into_owned()))
            })
            .build();
        operation.invoke(headers).await.map_err(|error| unsent(call, error))
    }
}

pub(super) fn unsent(call: Call, error: SdkError<std::convert::Infallible, HttpResponse>) -> Error {
    let timeout = match &error {
        SdkError::TimeoutError(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_timeout(),
        _ => false,
    };
    let kind = if timeout { ErrorKind::Timeout } else { ErrorKind::Network };
    call.caused(kind, "the connection failed", error)
}

/// Code and sentence of a refusal, in XML or JSON.
fn refusal(body: &str) -> (Option<String>, Option<String>) {
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(body) {
        let text = |names: &[&str]| {
            names.iter().find_map(|name| json.get(name)?.as_str()).map(str::to_owned)
        };
        let code = text(&["__type", "code", "Code"]);
        // Some services prefix the code with their namespace.
        let code = code.map(|code| code.rsplit('#').next().unwrap_or_default().to_owned());
        return (code, text(&["message", "Message"]));
    }
    let text = |name| elements(body, name).next().map(|text| text.replace("&quot;", "\""));
    (text("Code"), text("Message"))
}

/// The text of every element of that name, for answers that are flat.
pub(crate) fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&open)?;
        let (text, left) = after.split_once(&close)?;
        rest = left;
        Some(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_come_as_xml_and_json() {
        let xml = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
        assert_eq!(refusal(xml), (Some("AccessDenied".into()), Some("no".into())));
        let json = r#"{"__type":"com.amazonaws#TrailNotFoundException","message":"none"}"#;
        assert_eq!(refusal(json), (Some("TrailNotFoundException".into()), Some("none".into())));
        assert_eq!(refusal("<html>busy"), (None, None));
    }

    #[test]
    fn elements_are_found_in_order() {
        let xml = "<L><Name>a</Name><X/><Name>b</Name><Name>cut";
        assert_eq!(elements(xml, "Name").collect::<Vec<_>>(), ["a", "b"]);
    }
}
