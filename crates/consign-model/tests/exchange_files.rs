//! Every file in `testdata/refused` is refused with the sentence in its first line; every file in
//! `testdata/accepted` is accepted.
//!
//! `UPDATE_EXPECTED=1 cargo test` writes the sentences anew, to be read in the diff.

use consign_model::{Date, Exchange};
use std::path::{Path, PathBuf};

fn today() -> Date {
    Date::parse("2026-11-21").expect("a day")
}

fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.clone(), std::fs::read_to_string(&path).expect("a text")))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
}

#[test]
fn refused_files_say_why_and_what_to_do() {
    let mut wrong = Vec::new();
    for (path, text) in files("refused") {
        let (first, rest) = text.split_once('\n').expect("a first line");
        let expected = first.strip_prefix("# refused: ").expect("the sentence in the first line");
        let said = match Exchange::parse(&text, "exchange.toml", today()) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(!said.contains(char::is_control), "{}: {said:?}", path.display());
        if said == expected {
            continue;
        }
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(&path, format!("# refused: {said}\n{rest}")).expect("can be written");
        }
        wrong.push(format!("{}\n  expected: {expected}\n      said: {said}", path.display()));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn accepted_files_are_accepted() {
    for (path, text) in files("accepted") {
        if let Err(error) = Exchange::parse(&text, "exchange.toml", today()) {
            panic!("{}: {error}", path.display());
        }
    }
}

#[test]
fn the_digest_ignores_comments_and_line_ends_and_nothing_else() {
    let files = files("accepted");
    let digest = |name: &str| {
        let (_, text) = files.iter().find(|(path, _)| path.ends_with(name)).expect("is there");
        Exchange::parse(text, "exchange.toml", today()).expect("is accepted").digest()
    };
    assert_eq!(digest("minimal.toml"), digest("windows-line-ends.toml"));
    assert_ne!(digest("minimal.toml"), digest("without-keys.toml"));
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let text = "#".repeat((16 << 20) + 1);
    let error = Exchange::parse(&text, "exchange.toml", today()).expect_err("is refused");
    assert!(error.to_string().contains("16 MiB"), "{error}");
}

#[test]
fn what_cannot_be_sent_yet_is_refused_by_name() {
    let (_, text) = files("accepted").into_iter().next().expect("every-field.toml");
    let exchange = Exchange::parse(&text, "exchange.toml", today()).expect("is accepted");
    let lane = "to-client".parse().expect("a name");
    let error = exchange.check_ready_to_send(&lane, today()).expect_err("it is for later");
    assert!(error.to_string().contains("`quarantine = true`"), "{error}");
    let back = "from-client".parse().expect("a name");
    exchange.check_ready_to_send(&back, today()).expect("has everything");
    exchange.check_ready_to_receive(&back).expect("has everything");
}

/// A hub with that many partners and a lane each way, as `init --template hub` writes it.
fn hub(partners: usize) -> String {
    let mut text = String::from(
        "version = 1\nexchange = \"acme\"\nregion = \"eu-west-1\"\n[party.lab]\n\
         account = \"111111111111\"\nprincipal = \"user/consign/lab\"\n",
    );
    let mut members = String::new();
    for n in 0..partners {
        text += &format!(
            "[party.p{n}]\naccount = \"{:012}\"\nprincipal = \"role/consign/p{n}\"\n",
            200_000_000_000 + n
        );
        members += &format!("\"p{n}\",");
    }
    text + &format!(
        "[group.partners]\nmembers = [{members}]\n[lane.results]\neach = \"partners\"\n\
         from = \"lab\"\n[lane.orders]\neach = \"partners\"\nto = [\"lab\"]\n"
    )
}

#[test]
fn a_lane_for_each_member_is_lanes() {
    let (_, text) = files("accepted").into_iter().nth(1).expect("hub.toml");
    let exchange = Exchange::parse(&text, "exchange.toml", today()).expect("is accepted");
    let lane = exchange.lane(&"orders-clinic-a".parse().expect("a name")).expect("a lane");
    assert_eq!(lane.from.as_str(), "clinic-a");
    assert_eq!((lane.owner.as_str(), lane.expire_days), ("lab", 5));
    assert_eq!(lane.bucket.as_str(), "acme-orders-clinic-a-111111111111-eu-west-1-an");
    let each = lane.each.as_ref().expect("of a table");
    assert_eq!((each.lane.as_str(), each.hub.as_str()), ("orders", "lab"));
    let trust = exchange.party(&each.member).and_then(|party| party.trust.as_ref());
    let trust = trust.expect("a trust");
    assert_eq!(trust.principal_arn, "arn:aws:iam::999999999999:role/broker");
    assert_eq!(trust.external_id.as_deref(), Some("acme-4711"));
    let own = exchange.party(&"clinic-b".parse().expect("a name")).expect("a party");
    let own = own.trust.as_ref().expect("a trust");
    assert_eq!(own.principal_arn, "arn:aws:iam::333333333333:root");
}

/// Linear in the number of partners: nothing compares each with each.
#[test]
fn ten_thousand_partners_are_read_in_seconds() {
    let seconds_of = |partners: usize| {
        let text = hub(partners);
        let before = std::time::Instant::now();
        let exchange = Exchange::parse(&text, "exchange.toml", today()).expect("is accepted");
        assert_eq!(exchange.lanes.len(), 2 * partners);
        before.elapsed().as_secs_f64()
    };
    let (small, large) = (seconds_of(1_000), seconds_of(10_000));
    println!("1,000 partners: {small:.3} s; 10,000 partners: {large:.3} s");
    assert!(small < 2.0 && large < 20.0, "{small} s, {large} s, in an unoptimised build");
}
