//! A policy document of somebody else is parsed or refused, as every kind there is.
#![no_main]

use consign_iam::{Policy, PolicyKind};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = Policy::parse(text);
    for kind in [
        PolicyKind::Identity,
        PolicyKind::Resource,
        PolicyKind::Key,
        PolicyKind::Trust,
        PolicyKind::ServiceControl,
        PolicyKind::ResourceControl,
        PolicyKind::Endpoint,
    ] {
        if let Ok(policy) = Policy::parse_as(kind, text) {
            let _ = consign_iam::is_public(&policy);
        }
    }
});
