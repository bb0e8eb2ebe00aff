//! A repository compared with its records, however many there are: a server on loopback lists a repository
//! and an inbox that it does not have, and answers the requests of a delivery. Its listings are what S3
//! would say, and it lists and shows what the policies of `consign apply` allow; nothing else here is judged
//! but how many requests and how much memory it takes.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::granted::Granted;
use crate::support::{self, succeed};
use consign_model::{DeliveryId, InboxName};
use consign_publisher::{SourceId, Target};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

const REPOSITORY: &str = "acme-globex-reports-111111111111-eu-west-1-an";
const INBOX: &str = "acme-globex-reports-in-222222222222-eu-west-1-an";
/// One object in so many has no record.
const MISSING_ONE_IN: usize = 1000;
const PAGE: usize = 1000;
const TIME: &str = "<LastModified>2026-11-21T00:00:00.000Z</LastModified>";

/// What is listed, and what was asked for.
struct Listed {
    objects: usize,
    /// Whether the policies are those of today, by which the publisher may list versions; otherwise each
    /// object has to be looked at.
    versions: bool,
    /// Keys of records, in order.
    records: Vec<[u8; 64]>,
    heads: AtomicUsize,
    copies: AtomicUsize,
    puts: AtomicUsize,
}

fn key(number: usize) -> String {
    format!("scans/{:04}/{number:08}.dcm", number / 1000)
}

fn version(number: usize) -> String {
    format!("{number:032}")
}

impl Listed {
    fn new(objects: usize, versions: bool) -> Listed {
        let inbox = InboxName::parse("reports-in").unwrap();
        let recorded = (0..objects).filter(|number| number % MISSING_ONE_IN != 0);
        let mut records: Vec<[u8; 64]> = recorded
            .map(|number| {
                let of = SourceId {
                    bucket: REPOSITORY.to_owned(),
                    key: key(number),
                    version: version(number),
                };
                let target = Target {
                    inbox: inbox.clone(),
                    bucket: INBOX.to_owned(),
                    owner: String::new(),
                    key: key(number),
                    kms_key: None,
                };
                let id: DeliveryId = of.delivery(&target);
                id.to_string().as_bytes().try_into().unwrap()
            })
            .collect();
        records.sort_unstable();
        let [heads, copies, puts] = [(); 3].map(|()| AtomicUsize::new(0));
        Listed { objects, versions, records, heads, copies, puts }
    }

    fn answer(&self, granted: &Granted, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().trim_start_matches('/').trim_end_matches('/');
        let query = request.uri().query().unwrap_or_default();
        let asked = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(it, _)| *it == name).map(|(_, value)| value.replace("%2F", "/")).next()
        };
        let listed = |action: &str, bucket: &str, page: &dyn Fn() -> String| match granted.allows(
            action,
            bucket,
            None,
            asked("prefix").as_deref(),
        ) {
            true => xml(&page()),
            false => error(StatusCode::FORBIDDEN, "AccessDenied"),
        };
        match *request.method() {
            Method::GET
                if path == REPOSITORY && query.split('&').any(|it| it.starts_with("versions")) =>
            {
                listed("s3:ListBucketVersions", REPOSITORY, &|| {
                    self.page_of_versions(asked("key-marker").as_deref())
                })
            }
            Method::GET if path == REPOSITORY => listed("s3:ListBucket", REPOSITORY, &|| {
                self.page_of_objects(asked("continuation-token").as_deref())
            }),
            Method::GET if path == INBOX => listed("s3:ListBucket", INBOX, &|| {
                self.page_of_records(
                    asked("prefix").unwrap().strip_prefix("deliveries/").unwrap(),
                    asked("start-after").as_deref(),
                    asked("continuation-token").as_deref(),
                )
            }),
            Method::HEAD => {
                let action = match asked("versionId") {
                    Some(_) => "s3:GetObjectVersion",
                    None => "s3:GetObject",
                };
                let key = path.strip_prefix(REPOSITORY).unwrap().trim_start_matches('/');
                assert!(granted.allows(action, REPOSITORY, Some(key), None), "{path}");
                self.head(path)
            }
            Method::PUT if request.headers().contains_key("x-amz-copy-source") => {
                self.copies.fetch_add(1, Ordering::Relaxed);
                xml("<CopyObjectResult><ETag>\"e\"</ETag></CopyObjectResult>")
            }
            Method::PUT => {
                self.puts.fetch_add(1, Ordering::Relaxed);
                xml("")
            }
            _ => error(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
        }
    }

    fn head(&self, path: &str) -> Response<Full<Bytes>> {
        self.heads.fetch_add(1, Ordering::Relaxed);
        let number: usize = path.rsplit('/').next().unwrap()[..8].parse().unwrap();
        let mut answer = xml("");
        let headers = [
            ("x-amz-version-id", version(number)),
            ("etag", "\"e\"".to_owned()),
            ("content-length", "10240".to_owned()),
            ("last-modified", "Sat, 21 Nov 2026 00:00:00 GMT".to_owned()),
        ];
        for (name, value) in headers {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        answer
    }

    fn page_of_objects(&self, token: Option<&str>) -> String {
        let from: usize = token.map_or(0, |token| token.parse().unwrap());
        let until = self.objects.min(from + PAGE);
        let mut text = String::from("<ListBucketResult>");
        for number in from..until {
            let key = key(number);
            let _ = write!(
                text,
                "<Contents><Key>{key}</Key>{TIME}<ETag>\"e\"</ETag><Size>10240</Size></Contents>"
            );
        }
        more(
            &mut text,
            until < self.objects,
            &format!("<NextContinuationToken>{until}</NextContinuationToken>"),
        );
        text + "</ListBucketResult>"
    }

    fn page_of_versions(&self, marker: Option<&str>) -> String {
        let after = |key: &str| key.rsplit('/').next().unwrap()[..8].parse::<usize>().unwrap() + 1;
        let from = marker.map_or(0, after);
        let until = self.objects.min(from + PAGE);
        let mut text = String::from("<ListVersionsResult>");
        for number in from..until {
            let (key, version) = (key(number), version(number));
            let _ = write!(
                text,
                "<Version><Key>{key}</Key><VersionId>{version}</VersionId><IsLatest>true</IsLatest>{TIME}<Size>10240</Size></Version>"
            );
        }
        let last = until.saturating_sub(1);
        let next = format!(
            "<NextKeyMarker>{}</NextKeyMarker><NextVersionIdMarker>{}</NextVersionIdMarker>",
            key(last),
            version(last)
        );
        more(&mut text, until < self.objects, &next);
        text + "</ListVersionsResult>"
    }

    fn page_of_records(&self, prefix: &str, after: Option<&str>, token: Option<&str>) -> String {
        let after = after.map(|it| it.trim_start_matches("deliveries/"));
        let first = match (token, after) {
            (Some(token), _) => token.parse().unwrap(),
            (None, Some(after)) => {
                self.records.partition_point(|id| &id[..after.len()] < after.as_bytes())
            }
            (None, None) => {
                let prefix = prefix.trim_end_matches(".json").as_bytes();
                self.records.partition_point(|id| &id[..prefix.len()] < prefix)
            }
        };
        let mut text = String::from("<ListBucketResult>");
        let page = self.records.iter().skip(first).take(PAGE);
        let page = page.map(|id| format!("{}.json", std::str::from_utf8(id).unwrap()));
        for key in page.take_while(|key| key.starts_with(prefix)) {
            let _ = write!(
                text,
                "<Contents><Key>deliveries/{key}</Key>{TIME}<Size>700</Size></Contents>"
            );
        }
        let next = first + PAGE;
        let token = format!("<NextContinuationToken>{next}</NextContinuationToken>");
        more(&mut text, prefix.is_empty() && next < self.records.len(), &token);
        text + "</ListBucketResult>"
    }
}

fn more(text: &mut String, truncated: bool, next: &str) {
    let _ =
        write!(text, "<IsTruncated>{truncated}</IsTruncated>{}", if truncated { next } else { "" });
}

fn xml(text: &str) -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from(text.to_owned())))
}

fn error(status: StatusCode, code: &str) -> Response<Full<Bytes>> {
    let mut answer = xml(&format!("<Error><Code>{code}</Code><Message>no</Message></Error>"));
    *answer.status_mut() = status;
    answer
}

async fn serve(listed: Arc<Listed>, granted: Granted) -> SocketAddr {
    let granted = Arc::new(granted);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (listed, granted) = (listed.clone(), granted.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (listed, granted) = (listed.clone(), granted.clone());
                async move {
                    let answer = listed.answer(&granted, &request);
                    let _body = request.into_body().collect().await;
                    Ok::<_, Infallible>(answer)
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// What a comparison took, in MiB at most and in seconds.
struct Took {
    peak_mib: u64,
    wall: Duration,
}

/// `consign publish --backfill`, whose report must be what was listed.
fn compare(listed: &Arc<Listed>, arguments: &[&str]) -> Took {
    let folder = tempfile::tempdir().unwrap();
    let consign = |arguments: &[&str]| {
        let mut command = support::consign();
        command.args(arguments).current_dir(folder.path()).env("HOME", folder.path());
        command.env("XDG_CONFIG_HOME", folder.path().join("config"));
        command
    };
    succeed(&mut consign(&["init", "--template", "inbox"]));
    succeed(&mut consign(&["keys", "new", "acme"]));
    succeed(&mut consign(&["export", "policies", "--out", "policies"]));
    let without: &[&str] = if listed.versions { &[] } else { &["s3:ListBucketVersions"] };
    let granted = Granted::read(&folder.path().join("policies"), "acme", without);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let address = runtime.block_on(serve(listed.clone(), granted));
    let fixed = ["publish", "--as", "acme", "--backfill", "--json"];
    let arguments: Vec<&str> = fixed.into_iter().chain(arguments.iter().copied()).collect();
    let mut publish = consign(&arguments);
    publish.env("AWS_ENDPOINT_URL", format!("http://{address}"));
    publish.env("AWS_ACCESS_KEY_ID", "anybody").env("AWS_SECRET_ACCESS_KEY", "anything");
    let (took, told) = watched(&mut publish, folder.path());
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let missing = listed.objects.div_ceil(MISSING_ONE_IN);
    let comparison = &told[0]["comparison"];
    assert_eq!(comparison["objects"], listed.objects, "{told}");
    assert_eq!(comparison["recorded"], listed.objects - missing, "{told}");
    assert_eq!(comparison["delivered"], missing, "{told}");
    assert_eq!(listed.copies.load(Ordering::Relaxed), missing);
    assert_eq!(listed.puts.load(Ordering::Relaxed), 2 * missing);
    took
}

/// Runs it, and reads the kernel's high-water mark of its memory until it has ended.
fn watched(command: &mut Command, folder: &Path) -> (Took, String) {
    let (told, log) = (folder.join("told"), folder.join("log"));
    command.stdout(std::fs::File::create(&told).unwrap());
    command.stderr(std::fs::File::create(&log).unwrap()).stdin(Stdio::null());
    let begun = Instant::now();
    let mut child = command.spawn().unwrap();
    let mut peak_kib = 0;
    let status = loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        let status = status.unwrap_or_default();
        let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = mark.and_then(|it| it.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        peak_kib = peak_kib.max(kib.unwrap_or_default());
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(status.success(), "{}", std::fs::read_to_string(log).unwrap());
    let took = Took { peak_mib: peak_kib / 1024, wall: begun.elapsed() };
    (took, std::fs::read_to_string(told).unwrap())
}

/// The records are more than may be held at once, so that the repository is listed for each range.
#[test]
fn a_comparison_in_ranges_finds_what_is_missing_once() {
    let listed = Arc::new(Listed::new(20_000, true));
    compare(&listed, &["--records-max", "6000"]);
    // Of what is missing alone.
    assert_eq!(listed.heads.load(Ordering::Relaxed), 20);
}

/// Where versions may not be listed, each object is looked at.
#[test]
fn without_versions_each_object_is_looked_at() {
    let listed = Arc::new(Listed::new(3000, false));
    compare(&listed, &[]);
    assert_eq!(listed.heads.load(Ordering::Relaxed), 3000 + 3);
}

/// A million, for docs/benchmarks.md: `cargo test --release --workspace publish_million:: -- --ignored
/// --nocapture --test-threads 1`.
#[test]
#[ignore = "minutes of listings; run by hand"]
fn a_million_objects_are_compared_in_bounded_memory() {
    let with_versions = [(100_000, true), (1_000_000, true)];
    for (objects, versions) in
        with_versions.into_iter().chain([(20_000, false), (1_000_000, false)])
    {
        let listed = Arc::new(Listed::new(objects, versions));
        let took = compare(&listed, &[]);
        let heads = listed.heads.load(Ordering::Relaxed);
        println!(
            "{objects} objects, versions listed: {versions}: {} MiB, {:.1} s, {heads} looked at",
            took.peak_mib,
            took.wall.as_secs_f64()
        );
        assert!(took.peak_mib < 128, "{} MiB", took.peak_mib);
    }
}
