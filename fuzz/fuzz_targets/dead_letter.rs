//! What lies in the queue for dead letters: whoever wrote it, it names nothing but objects of our own
//! repository, and what is put aside again is read as it was.
#![no_main]

/// The modules alone: their crate brings the AWS SDK along, which would be instrumented for nothing.
#[path = "../../crates/consign-publisher/src/aside.rs"]
#[allow(dead_code, reason = "the fuzzer looks at some of it")]
mod aside;
#[path = "../../crates/consign-publisher/src/event.rs"]
#[allow(dead_code, reason = "the fuzzer looks at some of it")]
mod event;
#[path = "../../crates/consign-publisher/src/record.rs"]
#[allow(dead_code, reason = "the fuzzer looks at some of it")]
mod record;
#[path = "../../crates/consign-publisher/src/routing.rs"]
#[allow(dead_code, reason = "the fuzzer looks at some of it")]
mod routing;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use aside::Aside;
use consign_model::{Date, Exchange, RepositoryName};
use libfuzzer_sys::fuzz_target;
use routing::Routing;

const EXCHANGE: &str = include_str!("../inbox.toml");

static ROUTING: LazyLock<Routing> = LazyLock::new(|| {
    let day = Date::parse("2026-11-21").unwrap();
    let route = r#"route.all = { from = "reports", to = ["in"] }"#;
    let text = format!("{EXCHANGE}{route}");
    let exchange = Arc::new(Exchange::parse(&text, "exchange.toml", day).unwrap());
    let name = RepositoryName::parse("reports").unwrap();
    Routing::new(exchange, &name, BTreeMap::new()).unwrap()
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let aside = Aside::read(text, 1);
    assert!(!aside.reasons.is_empty());
    let told = aside.told(&ROUTING);
    for source in &told.objects {
        assert_eq!(
            (source.bucket.as_str(), source.owner.as_str()),
            ("acme-reports", "111111111111")
        );
    }
    let again: Vec<Aside> = aside.to_texts().iter().map(|text| Aside::read(text, 1)).collect();
    match &again[..] {
        [one] => assert_eq!(one, &aside),
        parts => assert!(parts.iter().all(|part| part.body.is_none())),
    }
});
