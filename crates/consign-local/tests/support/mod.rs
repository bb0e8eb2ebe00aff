//! A running local cloud, a client that sends exactly the bytes it is told to, and a signer written
//! apart from the gate's: what both agree on, two people have read the specification for.

pub(crate) mod process;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::{digest, hmac};
use consign_local::{
    Account, Bootstrap, Clock, Credentials, PrincipalKind, Running, ServeOptions, Served, start,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const ACME: &str = "111111111111";
pub(crate) const GLOBEX: &str = "222222222222";
pub(crate) const REGION: &str = "eu-west-1";
/// The clock of every test cloud starts here: 2026-03-01T12:00:00Z.
pub(crate) const START_MS: u64 = 1_772_366_400_000;

/// A clock that only moves when told.
pub(crate) struct HandClock(AtomicU64);

impl HandClock {
    pub(crate) fn advance_seconds(&self, seconds: u64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A local cloud with two accounts; user `acme` in the first, role `globex` in the second.
pub(crate) struct Cloud {
    pub(crate) running: Running,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) log: Arc<Mutex<Vec<Served>>>,
    pub(crate) root: Arc<TempDir>,
}

impl Cloud {
    pub(crate) async fn start() -> Cloud {
        let root = tempfile::tempdir().expect("a folder");
        Cloud::start_in(Arc::new(root), START_MS).await
    }

    pub(crate) async fn start_in(root: Arc<TempDir>, now_ms: u64) -> Cloud {
        let clock = Arc::new(HandClock(AtomicU64::new(now_ms)));
        let log: Arc<Mutex<Vec<Served>>> = Arc::default();
        let heard = log.clone();
        let options = ServeOptions {
            observer: Some(Arc::new(move |served: &Served| {
                heard.lock().expect("no panic while logging").push(served.clone());
            })),
            ..options(&root, clock.clone())
        };
        let running = start(options).await.expect("the local cloud starts");
        Cloud { running, clock, log, root }
    }

    pub(crate) fn admin(&self, account: &str) -> Credentials {
        self.running.admin_credentials(account).expect("every account has an administrator")
    }

    pub(crate) fn profile(&self, name: &str) -> Credentials {
        self.running.credentials(name).expect("a known profile")
    }

    pub(crate) fn signer(&self, credentials: Credentials, service: &str) -> Signer {
        Signer::new(credentials, service, self.clock.now_ms())
    }

    /// An S3 signer of the first account's administrator.
    pub(crate) fn s3(&self) -> Signer {
        self.signer(self.admin(ACME), "s3")
    }

    pub(crate) fn host(&self) -> &str {
        self.running.endpoint().strip_prefix("https://").expect("an HTTPS endpoint")
    }

    pub(crate) fn ask(&self, method: &str, target: &str) -> Ask {
        Ask::new(method, target, self.host())
    }

    pub(crate) async fn send(&self, ask: &Ask) -> Answer {
        self.send_bytes(&ask.bytes()).await
    }

    /// Sends bytes over TLS and reads the answer.
    pub(crate) async fn send_bytes(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        // A server that has answered already may have closed its side.
        let _ = stream.write_all(bytes).await;
        let _ = stream.flush().await;
        Answer::read(stream).await
    }

    pub(crate) async fn connect(&self) -> tokio_rustls::client::TlsStream<TcpStream> {
        self.connect_as("127.0.0.1").await.expect("a handshake under ca.pem")
    }

    /// A connection to the server under another of its names.
    pub(crate) async fn connect_as(
        &self,
        name: &str,
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        let pem = CertificateDer::from_pem_file(self.running.ca_path()).expect("ca.pem");
        roots.add(pem).expect("a root certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.host()).await.expect("a connection");
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// Sends bytes over plain HTTP.
    pub(crate) async fn send_plain(&self, ask: &Ask) -> Answer {
        let endpoint = self.running.http_endpoint().expect("an HTTP endpoint");
        let address = endpoint.strip_prefix("http://").expect("http");
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let _ = stream.write_all(&ask.bytes()).await;
        Answer::read(stream).await
    }

    /// Makes a bucket of the first account.
    pub(crate) async fn make_bucket(&self, name: &str) {
        let body = format!(
            "<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint>\
             </CreateBucketConfiguration>"
        );
        let ask = self.ask("PUT", &format!("/{name}")).body(body.into_bytes());
        self.send(&self.s3().sign(ask)).await.expect_ok();
    }

    pub(crate) async fn put(&self, path: &str, content: &[u8]) {
        let ask = self.ask("PUT", path).body(content.to_vec());
        self.send(&self.s3().sign(ask)).await.expect_ok();
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(&self.s3().sign(self.ask("GET", path))).await
    }

    /// A Query call of IAM or STS.
    pub(crate) async fn query(&self, signer: &Signer, form: &[(&str, &str)]) -> Answer {
        let text: Vec<String> = form
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name, true), encode(value, true)))
            .collect();
        let ask = self
            .ask("POST", "/")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(text.join("&").into_bytes());
        self.send(&signer.sign(ask)).await
    }

    /// A KMS call.
    pub(crate) async fn kms(
        &self,
        signer: &Signer,
        operation: &str,
        input: serde_json::Value,
    ) -> Answer {
        let ask = self
            .ask("POST", "/")
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", &format!("TrentService.{operation}"))
            .body(input.to_string().into_bytes());
        self.send(&signer.sign(ask)).await
    }
}

pub(crate) fn options(root: &TempDir, clock: Arc<dyn Clock>) -> ServeOptions {
    let principal = |account: &str, kind, name: &str, profile: &str| Bootstrap {
        account: account.to_owned(),
        kind,
        name: name.to_owned(),
        profile: profile.to_owned(),
    };
    ServeOptions {
        root: root.path().join("cloud"),
        listen: "127.0.0.1:0".parse().expect("an address"),
        http: Some("127.0.0.1:0".parse().expect("an address")),
        region: REGION.to_owned(),
        accounts: vec![Account { id: ACME.to_owned() }],
        principals: vec![
            principal(ACME, PrincipalKind::User, "consign/acme", "acme"),
            principal(GLOBEX, PrincipalKind::Role, "consign/globex", "globex"),
        ],
        clock,
        observer: None,
    }
}

/// A request as it goes over the wire.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) method: String,
    /// Path and query, raw.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Ask {
    pub(crate) fn new(method: &str, target: &str, host: &str) -> Ask {
        Ask {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: vec![("host".to_owned(), host.to_owned())],
            body: Vec::new(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Ask {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Ask {
        self.body = body.into();
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let has = |wanted: &str| self.headers.iter().any(|(name, _)| name == wanted);
        if !has("content-length") && !has("transfer-encoding") {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        head.push_str("connection: close\r\n\r\n");
        [head.as_bytes(), &self.body].concat()
    }
}

/// Signs requests; every field may be bent for an attack.
#[derive(Clone)]
pub(crate) struct Signer {
    pub(crate) credentials: Credentials,
    pub(crate) service: String,
    pub(crate) region: String,
    pub(crate) now_ms: u64,
    /// Headers left out of the signature although they are sent.
    pub(crate) leave_unsigned: Vec<String>,
    /// Instead of the hash of the body.
    pub(crate) payload: Option<String>,
}

impl Signer {
    pub(crate) fn new(credentials: Credentials, service: &str, now_ms: u64) -> Signer {
        Signer {
            credentials,
            service: service.to_owned(),
            region: REGION.to_owned(),
            now_ms,
            leave_unsigned: Vec::new(),
            payload: None,
        }
    }

    pub(crate) fn payload(mut self, word: &str) -> Signer {
        self.payload = Some(word.to_owned());
        self
    }

    pub(crate) fn leaving(mut self, header: &str) -> Signer {
        self.leave_unsigned.push(header.to_owned());
        self
    }

    pub(crate) fn timestamp(&self) -> String {
        timestamp(self.now_ms)
    }

    pub(crate) fn scope(&self) -> String {
        let date = &self.timestamp()[..8];
        format!("{date}/{}/{}/aws4_request", self.region, self.service)
    }

    pub(crate) fn key(&self) -> Vec<u8> {
        let secret = self.credentials.secret_access_key.as_str();
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in self.scope().split('/') {
            key = mac(&key, part.as_bytes());
        }
        key
    }

    /// With an `Authorization` header.
    pub(crate) fn sign(&self, ask: Ask) -> Ask {
        let payload = self.payload.clone().unwrap_or_else(|| sha256(&ask.body));
        let mut ask = ask.header("x-amz-date", &self.timestamp());
        if self.service == "s3" {
            ask = ask.header("x-amz-content-sha256", &payload);
        }
        if let Some(token) = &self.credentials.session_token {
            ask = ask.header("x-amz-security-token", token);
        }
        let names = self.signed_names(&ask);
        let signature = self.signature(&ask, &names, &payload);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={signature}",
            self.credentials.access_key_id,
            self.scope(),
            names.join(";"),
        );
        ask.header("authorization", &authorization)
    }

    /// As a presigned URL.
    pub(crate) fn presign(&self, ask: Ask, expires_seconds: &str) -> Ask {
        let payload = self.payload.clone().unwrap_or_else(|| "UNSIGNED-PAYLOAD".to_owned());
        let names = self.signed_names(&ask);
        let mut parameters = vec![
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256".to_owned()),
            ("X-Amz-Credential", format!("{}/{}", self.credentials.access_key_id, self.scope())),
            ("X-Amz-Date", self.timestamp()),
            ("X-Amz-Expires", expires_seconds.to_owned()),
            ("X-Amz-SignedHeaders", names.join(";")),
        ];
        if let Some(token) = &self.credentials.session_token {
            parameters.push(("X-Amz-Security-Token", token.to_string()));
        }
        let query: Vec<String> = parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", encode(value, true)))
            .collect();
        let mut ask = ask;
        let joint = if ask.target.contains('?') { '&' } else { '?' };
        ask.target = format!("{}{joint}{}", ask.target, query.join("&"));
        let signature = self.signature(&ask, &names, &payload);
        ask.target.push_str(&format!("&X-Amz-Signature={signature}"));
        ask
    }

    pub(crate) fn signature(&self, ask: &Ask, names: &[String], payload: &str) -> String {
        let request = canonical_request(ask, names, payload);
        let text = format!(
            "AWS4-HMAC-SHA256\n{}\n{}\n{}",
            self.timestamp(),
            self.scope(),
            sha256(request.as_bytes())
        );
        hex::encode(mac(&self.key(), text.as_bytes()))
    }

    fn signed_names(&self, ask: &Ask) -> Vec<String> {
        let mut names: Vec<String> = ask
            .headers
            .iter()
            .map(|(name, _)| name.to_lowercase())
            .filter(|name| !self.leave_unsigned.contains(name))
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

pub(crate) fn canonical_request(ask: &Ask, names: &[String], payload: &str) -> String {
    let (path, query) = ask.target.split_once('?').unwrap_or((&ask.target, ""));
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    pairs.sort();
    let query: Vec<String> =
        pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut headers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let lower: Vec<(String, &str)> =
        ask.headers.iter().map(|(name, value)| (name.to_lowercase(), value.as_str())).collect();
    for (name, value) in &lower {
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        headers.entry(name).or_default().push(value);
    }
    let mut text = format!("{}\n{path}\n{}\n", ask.method, query.join("&"));
    for name in names {
        let values = headers.get(name.as_str()).cloned().unwrap_or_default();
        text.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    text.push_str(&format!("\n{}\n{payload}", names.join(";")));
    text
}

pub(crate) fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

pub(crate) fn encode(text: &str, slash_too: bool) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'/' if !slash_too => "/".to_owned(),
            byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

pub(crate) fn timestamp(ms: u64) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp(i64::try_from(ms / 1000).expect("a time"))
        .expect("a time");
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) async fn read<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> Answer {
        let mut bytes = Vec::new();
        // A connection cut after the answer is no news.
        let _ = stream.read_to_end(&mut bytes).await;
        Answer::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Answer {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let Some(end) = end else {
            return Answer { status: 0, headers: Vec::new(), body: bytes.to_vec() };
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status: u16 = status.unwrap_or(0);
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect();
        let rest = &bytes[end + 4..];
        if status == 100 {
            return Answer::parse(rest);
        }
        let chunked = headers.iter().any(|(name, value)| {
            name == "transfer-encoding" && value.eq_ignore_ascii_case("chunked")
        });
        let body = if chunked { unchunk(rest) } else { rest.to_vec() };
        Answer { status, headers, body }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The text of an XML element.
    pub(crate) fn xml(&self, element: &str) -> Option<String> {
        let text = self.text();
        let (_, after) = text.split_once(&format!("<{element}>"))?;
        Some(after.split_once(&format!("</{element}>"))?.0.to_owned())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The error's code, in whatever shape.
    pub(crate) fn code(&self) -> String {
        let json = self.json()["__type"].as_str().map(str::to_owned);
        json.or_else(|| self.xml("Code")).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn expect_ok(self) -> Answer {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.text());
        self
    }

    #[track_caller]
    pub(crate) fn expect(self, what: &str, status: u16, code: &str) -> Answer {
        let found = (self.status, self.code());
        assert_eq!(found, (status, code.to_owned()), "{what}: {}", self.text());
        self
    }
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(at) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = String::from_utf8_lossy(&rest[..at]).into_owned();
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || rest.len() < at + 2 + size {
            break;
        }
        body.extend_from_slice(&rest[at + 2..at + 2 + size]);
        rest = rest.get(at + 4 + size..).unwrap_or_default();
    }
    body
}
