//! An object's key, chosen by whoever may write to a repository, on its way through a route.
#![no_main]

use consign_model::{Arrival, Date, Exchange, RepositoryName};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;

const EXCHANGE: &str = include_str!("../inbox.toml");

fuzz_target!(|input: (&str, &str)| {
    let (template, key) = input;
    let day = Date::parse("2026-11-21").unwrap();
    let template = template.replace(['\\', '"'], "").replace(char::is_control, "");
    let route =
        format!("route.all = {{ from = \"reports\", to = [\"in\"], key = \"{template}\" }}\n");
    let text = format!("{EXCHANGE}{route}");
    let Ok(exchange) = Exchange::parse(&text, "exchange.toml", day) else { return };
    let (name, tags) = (RepositoryName::parse("reports").unwrap(), BTreeMap::new());
    let arrival = Arrival { key, version: Some("v1"), tags: &tags, day };
    for found in exchange.destinations(&name, &arrival).flatten() {
        let below = found.key.strip_prefix("in/").unwrap();
        assert!(found.key.len() <= 1024);
        assert!(below.split('/').all(|part| !matches!(part, "" | "." | "..")));
        assert!(!below.contains(['\\']) && !below.contains(char::is_control));
    }
});
