//! Every file of `events/`: what is to be read, `---`, and the body of a message.

use std::path::Path;

use consign_publisher::event::{Happening, Notice, ObjectEvent, parse};

#[test]
fn messages_are_read_as_their_files_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/events");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let (expected, body) = text.split_once("---\n").unwrap();
        assert_eq!(shown(body.trim_end_matches('\n')), expected.trim_end(), "{}", path.display());
        count += 1;
    }
    assert!(count > 130, "{count} files");
}

fn shown(body: &str) -> String {
    let lines: Vec<String> = match parse(body) {
        Err(_) => vec!["malformed message".to_owned()],
        Ok(Notice::Test) => vec!["test".to_owned()],
        Ok(Notice::Events(events)) => events
            .iter()
            .map(|event| event.as_ref().map_or_else(|_| "malformed".to_owned(), line))
            .collect(),
    };
    lines.join("\n").trim_end().to_owned()
}

fn line(event: &ObjectEvent) -> String {
    let happening = match &event.happening {
        Happening::Created => "created".to_owned(),
        Happening::Removed => "removed".to_owned(),
        Happening::Other(name) => format!("other {name}"),
    };
    let version = event.version_id.as_deref().unwrap_or("-");
    // Escaped, because a key may be longer than a line.
    format!("{happening} {} {} {version}", event.bucket, event.key.escape_debug())
}

/// Every prefix of a good message, and every message with one byte changed, is read or refused:
/// nothing panics, and an error quotes nothing of what it was given.
#[test]
fn damage_never_panics_nor_leaks() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/events");
    for name in ["direct", "sns", "eventbridge", "test-event"] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap();
        let body = text.split_once("---\n").unwrap().1;
        for (at, _) in body.char_indices() {
            for damaged in [body[..at].to_owned(), format!("{}\u{1}{}", &body[..at], &body[at..])] {
                if let Err(malformed) = parse(&damaged) {
                    let sentence = malformed.to_string();
                    assert!(!sentence.contains("acme"), "{sentence}");
                }
            }
        }
    }
}

#[test]
fn a_message_longer_than_any_is_refused() {
    let long = format!("{{\"Records\":[]}}{}", " ".repeat(1 << 20));
    assert!(parse(&long).is_err());
    let many = format!("{{\"Records\":[{}1]}}", "1,".repeat(2000));
    assert!(parse(&many).is_err());
}

/// As deep as a message can be, wherever a reader might follow.
#[test]
fn depth_is_refused_wherever_it_is() {
    let deep = [("[", "]"), ("{\"a\":", "}"), ("{\"detail\":", "}"), ("{\"Records\":[", "]}")];
    for (open, close) in deep {
        for depth in [200, 100_000] {
            let (open, close) = (open.repeat(depth), close.repeat(depth));
            let nested = format!("{open}1{close}");
            for body in [
                format!("{{\"Records\":[{nested}]}}"),
                format!("{{\"source\":\"aws.s3\",\"detail-type\":\"x\",\"detail\":{nested}}}"),
                format!("{{\"Type\":\"Notification\",\"Message\":\"x\",\"y\":{nested}}}"),
                nested,
                open,
            ] {
                assert!(parse(&body).is_err(), "{body:.40}");
            }
        }
    }
}
