//! Where objects go, whatever their keys are: cases a person would write down, and everything else.

use consign_model::{Arrival, Date, Exchange, Labels, RepositoryName, VERDICT_TAG};
use proptest::prelude::*;
use std::collections::BTreeMap;

const EXCHANGE: &str = r#"
version = 1
exchange = "acme-globex"
region = "eu-west-1"
[party.acme]
account = "111111111111"
principal = "user/acme"
[party.lab]
account = "111111111111"
principal = "user/lab"
[party.globex]
account = "222222222222"
principal = "user/globex"
[repository.reports]
owner = "acme"
generator = "lab"
publisher = "acme"
key = "globex"
[inbox.one]
owner = "globex"
consumers = ["globex"]
prefix = "in/"
"#;
const TWO: &str = "[inbox.two]\nowner = \"globex\"\nconsumers = [\"globex\"]\n";

fn exchange(routes: &str) -> Exchange {
    let two = if routes.contains("\"two\"") { TWO } else { "" };
    let text = format!("{EXCHANGE}{two}{routes}");
    Exchange::parse(&text, "exchange.toml", day()).expect(routes)
}

fn day() -> Date {
    Date::parse("2026-11-21").expect("a day")
}

fn reports() -> RepositoryName {
    RepositoryName::parse("reports").expect("a name")
}

/// `INBOX KEY` for each destination, or why there is none.
fn delivered(exchange: &Exchange, key: &str, tags: &[(&str, &str)]) -> Vec<String> {
    let tags: BTreeMap<String, String> =
        tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let arrival = Arrival { key, version: Some("v.1_2-x"), tags: &tags, day: day() };
    let name = reports();
    let said = exchange.destinations(&name, &arrival).map(|it| match it {
        Ok(it) => format!("{} {}", it.inbox, it.key),
        Err(error) => error.to_string(),
    });
    said.collect()
}

#[test]
fn routes_choose_and_rewrite() {
    let all = |key: &str| {
        exchange(&format!(
            "[route.all]\nfrom = \"reports\"\nto = [\"one\", \"two\"]\nprefix = \"a/\"\nkey = \"{key}\"\n"
        ))
    };
    let check = |template: &str, key: &str, there: &str| {
        let expected = [format!("one in/{there}"), format!("two {there}")];
        assert_eq!(delivered(&all(template), key, &[]), expected, "{template} {key}");
    };
    check("{key}", "a/b/c.pdf", "a/b/c.pdf");
    check("{rest}", "a/b/c.pdf", "b/c.pdf");
    check("x/{prefix}{name}", "a/b/c.pdf", "x/a/b/c.pdf");
    check("{date}/{version}/{name}", "a/b/c.pdf", "2026-11-21/v.1_2-x/c.pdf");
    check("{key}.copy", "a/ä {key} ${x}", "a/ä {key} ${x}.copy");
    assert!(delivered(&all("{key}"), "b/a/c.pdf", &[]).is_empty(), "another prefix");
}

#[test]
fn tags_and_endings_choose_too() {
    let exchange = exchange(
        "[route.final]\nfrom = \"reports\"\nto = [\"one\"]\nsuffix = \".pdf\"\ntags = { kind = \"final\" }\n\
         [route.draft]\nfrom = \"reports\"\nto = [\"one\"]\ntags = { kind = \"draft\" }\n\
         [route.copy]\nfrom = \"reports\"\nto = [\"two\"]\n",
    );
    assert!(exchange.routes_by_tags(&reports()));
    let check = |key: &str, kind: &str, there: &[&str]| {
        assert_eq!(delivered(&exchange, key, &[("kind", kind), ("other", "x")]), there, "{kind}");
    };
    check("a.pdf", "final", &["two a.pdf", "one in/a.pdf"]);
    check("a.txt", "final", &["two a.txt"]);
    check("a.txt", "draft", &["two a.txt", "one in/a.txt"]);
    check("a.pdf", "Final", &["two a.pdf"]);
    assert_eq!(delivered(&exchange, "a.pdf", &[]), ["two a.pdf"]);
}

#[test]
fn hostile_keys_are_refused_and_not_repaired() {
    let exchange = exchange("[route.all]\nfrom = \"reports\"\nto = [\"one\"]\nkey = \"x/{key}\"\n");
    let long = "k".repeat(1024);
    for key in [
        "",
        "..",
        "../../two/x",
        "a/../../x",
        "a/..",
        "./a",
        "/etc/passwd",
        "a//b",
        "folder/",
        "a\\..\\b",
        "a\0b",
        "a\nb",
        "a\u{1b}[31mb",
        "a\u{202e}fdp.exe",
        &long,
    ] {
        let said = delivered(&exchange, key, &[]);
        assert!(said.len() == 1 && said[0].contains("cannot deliver"), "{key:?}: {said:?}");
        assert!(!said[0].contains(char::is_control), "{said:?}");
    }
    assert_eq!(delivered(&exchange, "a/...b/..c", &[]), ["one in/x/a/...b/..c"]);
}

/// Where records and acknowledgements lie, nothing is delivered: others read there.
#[test]
fn no_route_leads_among_records() {
    let all = exchange("[route.all]\nfrom = \"reports\"\nto = [\"one\", \"two\"]\n");
    for key in ["deliveries/x.json", "acknowledgements/x", "deliveries/a/b"] {
        let said = delivered(&all, key, &[]);
        assert!(said.len() == 2 && said.iter().all(|it| it.contains("records")), "{said:?}");
    }
    assert_eq!(
        delivered(&all, "a/deliveries/x", &[]),
        ["one in/a/deliveries/x", "two a/deliveries/x"]
    );
    for key in ["deliveries/{key}", "acknowledgements/{rest}", "deliveries/{date}/{key}"] {
        let text =
            format!("{EXCHANGE}[route.all]\nfrom = \"reports\"\nto = [\"one\"]\nkey = \"{key}\"\n");
        let error = Exchange::parse(&text, "exchange.toml", day()).expect_err(key).to_string();
        assert!(error.contains("begins otherwise"), "{error}");
    }
}

/// Two routes that could meet are refused; these cannot.
#[test]
fn routes_that_cannot_meet_stand_side_by_side() {
    let two = |one: &str, other: &str| {
        exchange(&format!(
            "[route.a]\nfrom = \"reports\"\nto = [\"one\"]\n{one}\n\
             [route.b]\nfrom = \"reports\"\nto = [\"one\"]\n{other}\n"
        ))
    };
    two("key = \"a/{key}\"", "key = \"b/{key}\"");
    two("prefix = \"a/\"", "prefix = \"b/\"");
    two("suffix = \".pdf\"", "suffix = \".txt\"");
    two("key = \"{key}.a\"", "key = \"{key}.b\"");
    two("tags = { k = \"1\" }\nkey = \"{rest}\"", "tags = { k = \"2\" }\nkey = \"{rest}\"");
    two("prefix = \"x/a\"\nkey = \"{prefix}{name}\"", "prefix = \"y/a\"\nkey = \"{prefix}{name}\"");
}

proptest! {
    /// Whatever a key holds: below the inbox's prefix, no part that climbs, the same twice; and two
    /// keys never meet.
    #[test]
    fn no_key_escapes_and_no_two_meet(
        key in "([a-b./\\\\ ]|\\PC){0,12}",
        other in "([a-b./\\\\ ]|\\PC){0,12}",
        template in prop::sample::select(vec!["{key}", "a/{rest}", "{prefix}{name}", "n-{prefix}x{name}"]),
    ) {
        let exchange = exchange(&format!(
            "[route.all]\nfrom = \"reports\"\nto = [\"one\"]\nkey = \"{template}\"\n"
        ));
        let name = reports();
        let tags = BTreeMap::new();
        let there = |key: &str| {
            let arrival = Arrival { key, version: None, tags: &tags, day: day() };
            let mut all = exchange.destinations(&name, &arrival);
            all.next().expect("one inbox").ok().map(|it| it.key)
        };
        if let Some(found) = there(&key) {
            let below = found.strip_prefix("in/").expect("below the inbox's prefix");
            prop_assert!(!below.is_empty() && found.len() <= 1024);
            prop_assert!(below.split('/').all(|part| !matches!(part, "" | "." | "..")));
            prop_assert_eq!(there(&key), Some(found.clone()));
            prop_assert!(key == other || there(&other) != Some(found));
        }
    }

    /// Of two routes that stand in one exchange file, none brings one object or two to one key.
    #[test]
    fn accepted_routes_never_meet(
        one in route(), another in route(),
        keys in prop::collection::vec("[ab]/?[ab]?\\.?[pt]?", 2..6),
    ) {
        let text = format!(
            "{EXCHANGE}[route.a]\nfrom = \"reports\"\nto = [\"one\"]\n{one}\n\
             [route.b]\nfrom = \"reports\"\nto = [\"one\"]\n{another}\n"
        );
        let Ok(exchange) = Exchange::parse(&text, "exchange.toml", day()) else { return Ok(()) };
        let name = reports();
        let mut known: BTreeMap<String, (String, String)> = BTreeMap::new();
        for key in &keys {
            for kind in ["1", "2"] {
                let tags = BTreeMap::from([("k".to_owned(), kind.to_owned())]);
                let arrival = Arrival { key, version: None, tags: &tags, day: day() };
                for found in exchange.destinations(&name, &arrival).flatten() {
                    let from = (key.clone(), kind.to_owned());
                    if let Some(other) = known.insert(found.key.clone(), from.clone()) {
                        // The same key with other tags is another version of one object.
                        prop_assert_eq!(other.0, from.0, "{} at {}", text, found.key);
                    }
                }
            }
        }
    }
}

fn route() -> impl Strategy<Value = String> {
    let affix = || prop::sample::select(vec!["", "a", "a/", "b/", "p", ".p", ".t"]);
    let tags = prop::sample::select(vec!["", "tags = { k = \"1\" }", "tags = { k = \"2\" }"]);
    let key = prop::sample::select(vec![
        "{key}",
        "{rest}",
        "{prefix}{name}",
        "a/{key}",
        "{key}.p",
        "{prefix}a{name}",
        "a{rest}",
    ]);
    (affix(), affix(), tags, key).prop_map(|(prefix, suffix, tags, key)| {
        format!("prefix = \"{prefix}\"\nsuffix = \"{suffix}\"\n{tags}\nkey = \"{key}\"")
    })
}

#[test]
fn what_is_named_goes_along_and_nothing_else() {
    let exchange = exchange(
        "[route.some]\nfrom = \"reports\"\nto = [\"one\"]\n\
         carry = { metadata = [\"Patient-Class\", \"absent\"], tags = [\"kind\"] }\n\
         [route.none]\nfrom = \"reports\"\nto = [\"two\"]\n",
    );
    assert!(exchange.carries_tags(&reports()) && !exchange.routes_by_tags(&reports()));
    let map = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let source = Labels {
        metadata: map(&[("patient-class", "a"), ("kind", "b"), ("consign-source", "c")]),
        tags: map(&[("kind", "d"), ("Kind", "e"), ("patient-class", "f"), (VERDICT_TAG, "g")]),
    };
    let carried = |name: &str| {
        let from = reports();
        let route = exchange.routes_from(&from).find(|it| it.name.as_str() == name);
        route.expect("a route").carry.choose(&source)
    };
    let some = Labels { metadata: map(&[("patient-class", "a")]), tags: map(&[("kind", "d")]) };
    assert_eq!(carried("some"), some);
    assert_eq!(carried("none"), Labels::default());
}
