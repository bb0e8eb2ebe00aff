//! Things that somebody has put away for us to read whole: a parameter of Systems Manager, a
//! secret of Secrets Manager, a document at an HTTPS address.
//!
//! What the first two give may be secret, so it is wiped when dropped and is in no error. What the
//! third gives is by whoever holds that host: its reader compares it with what he knows.

use std::fmt;
use std::sync::Mutex;

use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::interceptors::context::{Error as AnyError, Output};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::ser_de::DeserializeResponse;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::timeout::TimeoutConfig;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Elsewhere;
use super::signed::{Question, Sender, unsent};
use crate::error::{Call, Error, ErrorKind};

/// As many times an address may send on to another of its own host.
const REDIRECTS_MAX: usize = 3;

impl Elsewhere {
    /// The value of a parameter of Systems Manager, decrypted (`ssm:GetParameter`, and
    /// `kms:Decrypt` for a secure string under an own key).
    pub async fn parameter(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
        let call = Call::new("ssm:GetParameter", name);
        let body = json!({ "Name": name, "WithDecryption": true });
        let answer = self.json_call(call.clone(), "ssm", "AmazonSSM.GetParameter", &body).await?;
        let answer = Wiped(answer);
        match answer.0["Parameter"]["Value"].as_str() {
            Some(value) => Ok(Zeroizing::new(value.as_bytes().to_vec())),
            None => Err(call.error(ErrorKind::InvalidResponse, "the answer is of another kind")),
        }
    }

    /// The present value of a secret of Secrets Manager, text or bytes
    /// (`secretsmanager:GetSecretValue`). `id` is its name or ARN.
    pub async fn secret(&self, id: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
        let call = Call::new("secretsmanager:GetSecretValue", id);
        let body = json!({ "SecretId": id });
        let target = "secretsmanager.GetSecretValue";
        let answer = self.json_call(call.clone(), "secretsmanager", target, &body).await?;
        let answer = Wiped(answer);
        if let Some(text) = answer.0["SecretString"].as_str() {
            return Ok(Zeroizing::new(text.as_bytes().to_vec()));
        }
        let bytes = answer.0["SecretBinary"].as_str().and_then(|text| STANDARD.decode(text).ok());
        bytes
            .map(Zeroizing::new)
            .ok_or_else(|| call.error(ErrorKind::InvalidResponse, "the answer is of another kind"))
    }

    async fn json_call(
        &self,
        call: Call,
        service: &'static str,
        target: &str,
        body: &Value,
    ) -> Result<Value, Error> {
        let aws = format!("https://{service}.{}.amazonaws.com", self.sender.region);
        let question = Question {
            service,
            origin: self.origin(&aws),
            method: "POST",
            path: "/".to_owned(),
            headers: vec![
                ("content-type", "application/x-amz-json-1.1".to_owned()),
                ("x-amz-target", target.to_owned()),
            ],
            body: body.to_string(),
            ..Question::default()
        };
        let answer = Zeroizing::new(self.sender.ask(call.clone(), &question).await?);
        // The parser's own error could quote the answer.
        serde_json::from_str(&answer)
            .map_err(|_| call.error(ErrorKind::InvalidResponse, "the answer is not JSON"))
    }

    /// What is at an HTTPS address, unsigned and without credentials: at most `bytes_max`, and
    /// from that host alone. Redirects to another host, or out of TLS, are refused.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for an address that is not a plain HTTPS one,
    /// [`ErrorKind::InvalidResponse`] for more than `bytes_max` or a redirect elsewhere,
    /// [`ErrorKind::NotFound`] and others by the status of the answer.
    pub async fn document(&self, url: &str, bytes_max: usize) -> Result<Vec<u8>, Error> {
        let call = Call::new("GET", url);
        let address = Address::parse(url).ok_or_else(|| {
            let message = "the address is not a plain one: https://HOST[:PORT]/PATH";
            call.clone().error(ErrorKind::InvalidRequest, message)
        })?;
        let mut path = address.path.clone();
        for _ in 0..=REDIRECTS_MAX {
            let got = self.sender.get(call.clone(), &address.origin, &path).await?;
            match got.status {
                200 => return self.body(call, got, bytes_max).await,
                301 | 302 | 303 | 307 | 308 => {
                    path = address.follow(got.location.as_deref()).ok_or_else(|| {
                        let message = "it sends on to another host, which is not followed";
                        call.clone().error(ErrorKind::InvalidResponse, message)
                    })?;
                }
                status => return Err(call.answered(None, None, status)),
            }
        }
        Err(call.error(ErrorKind::InvalidResponse, "it sends on too many times"))
    }

    async fn body(&self, call: Call, got: Got, bytes_max: usize) -> Result<Vec<u8>, Error> {
        let body = got.body.into_inner().ok().flatten().unwrap_or_else(SdkBody::empty);
        let mut stream = ByteStream::new(body);
        let mut bytes = Vec::new();
        let whole = async {
            while let Some(piece) = stream.next().await {
                let piece = piece.map_err(|error| {
                    call.clone().caused(ErrorKind::Network, "the connection failed", error)
                })?;
                bytes.extend_from_slice(&piece);
                if bytes.len() > bytes_max {
                    let message = format!("it is larger than {bytes_max} bytes");
                    return Err(call.clone().error(ErrorKind::InvalidResponse, message));
                }
            }
            Ok(())
        };
        tokio::time::timeout(self.sender.timeouts.control, whole)
            .await
            .map_err(|_| call.clone().error(ErrorKind::Timeout, "it did not arrive in time"))??;
        Ok(bytes)
    }
}

/// An address taken apart.
struct Address {
    origin: String,
    path: String,
}

impl Address {
    fn parse(url: &str) -> Option<Address> {
        let rest = url.strip_prefix("https://")?;
        let odd = |c: char| c.is_whitespace() || c.is_control() || !c.is_ascii() || c == '\\';
        if url.contains(odd) || url.contains('#') {
            return None;
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.is_empty() || authority.contains('@') {
            return None;
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Some(Address { origin: format!("https://{authority}"), path })
    }

    /// The path that a redirect leads to, if it stays on this host.
    fn follow(&self, location: Option<&str>) -> Option<String> {
        let location = location?;
        if location.starts_with('/') && !location.starts_with("//") {
            return Address::parse(&format!("{}{location}", self.origin)).map(|to| to.path);
        }
        let to = Address::parse(location)?;
        (to.origin.eq_ignore_ascii_case(&self.origin)).then_some(to.path)
    }
}

/// An answer whose body has not been read: it could be endless.
struct Got {
    status: u16,
    location: Option<String>,
    body: Mutex<Option<SdkBody>>,
}

impl fmt::Debug for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Got").field("status", &self.status).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Unread;

impl DeserializeResponse for Unread {
    fn deserialize_streaming_with_config(
        &self,
        response: &mut HttpResponse,
        _config: &aws_smithy_types::config_bag::ConfigBag,
    ) -> Option<Result<Output, OrchestratorError<AnyError>>> {
        let location = response.headers().get("location").map(str::to_owned);
        let status = response.status().as_u16();
        let body = std::mem::replace(response.body_mut(), SdkBody::taken());
        Some(Ok(Output::erase(Got { status, location, body: Mutex::new(Some(body)) })))
    }

    fn deserialize_nonstreaming_with_config(
        &self,
        _response: &HttpResponse,
        _config: &aws_smithy_types::config_bag::ConfigBag,
    ) -> Result<Output, OrchestratorError<AnyError>> {
        Err(OrchestratorError::other("an answer is always taken as a stream"))
    }
}

impl Sender {
    async fn get(&self, call: Call, origin: &str, path: &str) -> Result<Got, Error> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(self.timeouts.connect)
            .read_timeout(self.timeouts.control)
            .build();
        let path = path.to_owned();
        let operation = Operation::builder()
            .service_name("https")
            .operation_name("get")
            .http_client(self.http.clone())
            .endpoint_url(origin)
            .no_auth()
            .no_retry()
            .timeout_config(timeouts)
            .serializer(move |()| {
                let mut request = HttpRequest::new(SdkBody::empty());
                request.set_method("GET")?;
                request.set_uri(path.as_str())?;
                Ok(request)
            })
            .deserializer_impl::<Got, std::convert::Infallible>(Unread)
            .build();
        operation.invoke(()).await.map_err(|error| unsent(call, error))
    }
}

/// Text of an answer that is wiped when it is no longer needed.
struct Wiped(Value);

impl Drop for Wiped {
    fn drop(&mut self) {
        fn wipe(value: &mut Value) {
            match value {
                Value::String(text) => zeroize::Zeroize::zeroize(text),
                Value::Array(items) => items.iter_mut().for_each(wipe),
                Value::Object(fields) => fields.values_mut().for_each(wipe),
                _ => {}
            }
        }
        wipe(&mut self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_plain_or_refused() {
        let parsed = Address::parse("https://keys.example:8443/acme.asc?v=2").unwrap();
        assert_eq!(parsed.origin, "https://keys.example:8443");
        assert_eq!(parsed.path, "/acme.asc?v=2");
        assert_eq!(Address::parse("https://keys.example").unwrap().path, "/");
        for bad in [
            "http://keys.example/",
            "https://",
            "https:///x",
            "https://user@keys.example/",
            "https://keys.example\\@evil/",
            "https://keys.example/a b",
            "https://keys.example/#x",
            "file:///etc/passwd",
        ] {
            assert!(Address::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn redirects_stay_on_the_host() {
        let address = Address::parse("https://keys.example/a").unwrap();
        for (location, path) in [
            ("/b", Some("/b")),
            ("https://keys.example/c", Some("/c")),
            ("https://KEYS.example/c", Some("/c")),
            ("//evil.example/c", None),
            ("https://evil.example/c", None),
            ("https://keys.example:444/c", None),
            ("http://keys.example/c", None),
            ("c", None),
        ] {
            assert_eq!(address.follow(Some(location)).as_deref(), path, "{location}");
        }
        assert_eq!(address.follow(None), None);
    }
}
