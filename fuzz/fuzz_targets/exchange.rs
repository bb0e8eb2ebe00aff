//! An exchange file from another party.
#![no_main]

use consign_model::{Date, Exchange};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let today = Date::parse("2026-11-21").unwrap();
    if let Ok(exchange) = Exchange::parse(text, "exchange.toml", today) {
        assert_eq!(exchange.digest(), exchange.digest());
        for lane in exchange.lanes.values() {
            assert!(exchange.party(&lane.from).is_some() && exchange.party(&lane.owner).is_some());
            assert!(lane.to.iter().all(|to| *to != lane.from && exchange.party(to).is_some()));
        }
    }
});
