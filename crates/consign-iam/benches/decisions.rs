//! Decisions per second on the documents of a two-way exchange, one core:
//! `cargo bench -p consign-iam`.

#![allow(clippy::unwrap_used, reason = "a bench fails loudly")]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use consign_iam::{Context, Policies, Policy, Principal, Request, evaluate};

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/research/policies");
    let load = |name: &str| {
        Some(Policy::parse(&std::fs::read_to_string(folder.join(name)).ok()?).unwrap())
    };
    let names = ["bucket-out.json", "key-out.json", "identity-ours.json", "identity-partner.json"];
    let documents: Option<Vec<Policy>> = names.into_iter().map(load).collect();
    let Some([bucket, key, ours, partner]) = documents.as_deref() else {
        eprintln!("SKIPPED decisions: {} is not there", folder.display());
        return;
    };
    let alone = std::slice::from_ref::<Policy>;
    let (bucket, key, ours, partner) = (alone(bucket), alone(key), alone(ours), alone(partner));
    let cases = [
        ("put, allowed", put(), ours, bucket, true),
        ("data key, allowed", data_key(), ours, key, true),
        ("get by the partner, allowed", get(PARTNER), partner, bucket, true),
        ("get by a stranger, denied", get(STRANGER), partner, bucket, false),
    ];
    for (name, request, identity, resource, allowed) in &cases {
        let policies = Policies { identity, resource, ..Policies::default() };
        assert_eq!(evaluate(request, &policies).is_allowed(), *allowed, "{name}");
        let rounds = 300_000_u32;
        let started = CoreTime::now();
        for _ in 0..rounds {
            black_box(evaluate(black_box(request), black_box(&policies)));
        }
        let per_second = f64::from(rounds) / started.elapsed().as_secs_f64();
        println!("{name:30} {:>6.2} million decisions per second", per_second / 1e6);
    }
}

/// Time that this thread had a core for itself, so that a busy machine does not count; wall time
/// where the system does not tell.
enum CoreTime {
    OnCore(Duration),
    Wall(Instant),
}

impl CoreTime {
    fn now() -> CoreTime {
        on_core().map_or_else(|| CoreTime::Wall(Instant::now()), CoreTime::OnCore)
    }

    fn elapsed(&self) -> Duration {
        match self {
            CoreTime::OnCore(started) => on_core().unwrap() - *started,
            CoreTime::Wall(started) => started.elapsed(),
        }
    }
}

fn on_core() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(told.split(' ').next()?.parse().ok()?))
}

const OURS: &str = "arn:aws:iam::111111111111:role/xfer/acme-ours";
const PARTNER: &str = "arn:aws:iam::222222222222:role/acme-transfer";
const STRANGER: &str = "arn:aws:iam::333333333333:role/other";
const OBJECT: &str =
    "arn:aws:s3:::xfer-acme-out-111111111111-eu-west-1-an/01J0000000000000000000000A/000001.age";

fn s3_context() -> Context {
    Context::from_iter([
        ("aws:SecureTransport", "true"),
        ("s3:TlsVersion", "1.3"),
        ("s3:authType", "REST-HEADER"),
        ("s3:signatureAge", "0"),
        ("s3:signatureversion", "AWS4-HMAC-SHA256"),
        ("aws:SourceIp", "192.0.2.7"),
        ("aws:CurrentTime", "2026-11-21T00:00:00Z"),
        ("aws:userid", "AROAEXAMPLE:session"),
        ("s3:ObjectCreationOperation", "true"),
        ("s3:if-none-match", "*"),
    ])
}

fn put() -> Request {
    request(OURS, "s3:PutObject", OBJECT, s3_context())
}

fn get(caller: &str) -> Request {
    request(caller, "s3:GetObject", OBJECT, s3_context())
}

fn data_key() -> Request {
    let key = "arn:aws:kms:eu-west-1:111111111111:key/0a0a0a0a-0000-4000-8000-000000000001";
    let context = Context::from_iter([
        ("aws:SecureTransport", "true"),
        ("kms:ViaService", "s3.eu-west-1.amazonaws.com"),
        (
            "kms:EncryptionContext:aws:s3:arn",
            "arn:aws:s3:::xfer-acme-out-111111111111-eu-west-1-an",
        ),
    ]);
    request(OURS, "kms:GenerateDataKey", key, context)
}

fn request(caller: &str, action: &str, resource: &str, context: Context) -> Request {
    let principal = Principal::role_session(caller, "session").unwrap();
    Request::new(principal, action, resource, "111111111111", context).unwrap()
}
