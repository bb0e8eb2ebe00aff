//! What lies in the queue for dead letters is read, whoever wrote it, and names nothing but objects of
//! our own repository.

use std::collections::BTreeMap;
use std::sync::Arc;

use consign_model::{Date, Exchange, Timestamp};
use consign_publisher::{Aside, Cause, Reason, Routing, Source, event};

fn routing() -> Routing {
    let file =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../consign-model/testdata/accepted/inbox.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let day = Date::parse("2026-11-21").unwrap();
    let exchange = Arc::new(Exchange::parse(&text, "inbox.toml", day).unwrap());
    let name = exchange.repositories.keys().next().unwrap().clone();
    Routing::new(exchange, &name, BTreeMap::new()).unwrap()
}

fn body(routing: &Routing, key: &str) -> String {
    serde_json::json!({"Records": [{
        "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": routing.repository().bucket.as_str()},
               "object": {"key": key, "versionId": "v"}},
    }]})
    .to_string()
}

#[test]
fn what_was_put_aside_is_told_again() {
    let routing = routing();
    let body = body(&routing, "k");
    let source = routing.source("k", Some("v"));
    let reason = Reason { source: Some(source.clone()), target: None, cause: Cause::SourceGone };
    let at = Timestamp::parse("2026-11-21T02:45:00Z").unwrap();
    let aside = Aside::new(at, vec![reason.clone()], Some(&body));
    let [text] = &aside.to_texts()[..] else { panic!("one message") };
    let read = Aside::read(text, 3);
    assert_eq!(read, aside);
    assert_eq!(read.told(&routing).objects.first(), Some(&source));
    assert!(read.has_cause_of(&["source-gone".to_owned()].into()));
    assert!(!read.has_cause_of(&["conflict".to_owned()].into()));
}

/// Whatever a message says, what is put aside fits into a queue, and no object in it is forgotten.
#[test]
fn what_is_too_long_for_a_message_is_named_by_its_reasons() {
    let routing = routing();
    let reason = |key: &str| Reason {
        source: Some(routing.source(key, Some("v"))),
        target: None,
        cause: Cause::SourceGone,
    };
    let many: Vec<Reason> =
        (0..1000).map(|n| reason(&format!("{n:04}{}", "\u{1}".repeat(1020)))).collect();
    let at = Timestamp::parse("2026-11-21T02:45:00Z").unwrap();
    // Escaped twice, each of these is four bytes of JSON.
    let bodies = [" ".repeat(1 << 20), "\"".repeat(200_000), body(&routing, "k")];
    for (reasons, body) in
        [(&many[..1], &bodies[0]), (&many[..1], &bodies[1]), (&many[..], &bodies[2])]
    {
        let texts = Aside::new(at, reasons.to_vec(), Some(body)).to_texts();
        let read: Vec<Aside> = texts.iter().map(|text| Aside::read(text, 1)).collect();
        assert!(texts.iter().all(|text| text.len() <= 256 << 10));
        assert!(read.iter().all(|aside| aside.body.is_none() && aside.at == Some(at)));
        let told: Vec<Source> = read.iter().flat_map(|it| it.told(&routing).objects).collect();
        let wanted: Vec<Source> = reasons.iter().filter_map(|it| it.source.clone()).collect();
        assert_eq!(told, wanted);
    }
}

/// SQS moves a message there as it is.
#[test]
fn a_message_without_a_reason_was_given_up() {
    let routing = routing();
    let aside = Aside::read(&body(&routing, "k"), 20);
    assert_eq!(aside.reasons, [Reason::of_message(Cause::GivenUp { receives: 20 })]);
    assert_eq!(aside.told(&routing).objects, [routing.source("k", Some("v"))]);
}

#[test]
fn a_stranger_s_text_names_only_objects_of_ours() {
    let routing = routing();
    let elsewhere = Source {
        bucket: "somebody-elses".to_owned(),
        owner: "999999999999".to_owned(),
        key: "k".to_owned(),
        version_id: None,
    };
    let reason = Reason { source: Some(elsewhere), target: None, cause: Cause::Foreign };
    let at = Timestamp::parse("2026-11-21T02:45:00Z").unwrap();
    let told = Aside::read(&Aside::new(at, vec![reason], None).to_texts()[0], 1).told(&routing);
    assert_eq!(told.objects, [routing.source("k", None)]);
    let deep = "[".repeat(100_000);
    let no_reasons = Aside::new(at, Vec::new(), None).to_texts().concat();
    for text in ["", "{}", "null", "\u{0}", &deep, r#"{"format":"consign-aside/1"}"#, &no_reasons] {
        let told = Aside::read(text, 1).told(&routing);
        assert_eq!((told.objects.len(), told.refused.len()), (0, 1), "{text:.20}");
    }
}

/// The events of one message: ours once each, others with a reason, deletions not at all.
#[test]
fn a_message_tells_each_object_once() {
    let routing = routing();
    let twice = body(&routing, "k").replace("[{", "[{\"x\":0},{");
    let told = routing.told(event::parse(&twice));
    assert_eq!((told.objects.len(), told.refused.len()), (1, 1), "{told:?}");
    let removed = body(&routing, "k").replace("ObjectCreated:Put", "ObjectRemoved:Delete");
    let told = routing.told(event::parse(&removed));
    assert_eq!((told.objects.len(), told.refused.len(), told.ignored), (0, 0, 1), "{told:?}");
}
