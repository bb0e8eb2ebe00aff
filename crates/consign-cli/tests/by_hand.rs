//! The commands one by one, as a person types them.

use crate::support::Deployment;

#[test]
fn two_parties_exchange_files_by_hand() {
    let deployment = Deployment::new();
    assert!(deployment.run(&["plan"]).contains("Nothing to do"));
    assert!(deployment.run(&["prove", "--live"]).contains("0 not as declared"));

    let small = deployment.file("scans/a b.txt", b"small");
    let large: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    deployment.file("scans/large.bin", &large);
    deployment.file("scans/empty", b"");
    let folder = small.parent().unwrap().to_str().unwrap().to_owned();

    let sent: serde_json::Value = serde_json::from_str(&deployment.run(&[
        "send",
        &folder,
        "--lane",
        "to-client",
        "--profile",
        "acme",
        "--json",
    ]))
    .unwrap();
    let id = sent["id"].as_str().unwrap();
    assert_eq!(sent["files"], 3);

    let listed = deployment.run(&["list", "--lane", "to-client", "--profile", "globex"]);
    assert!(listed.contains(id) && listed.contains("waiting"), "{listed}");
    let shown = deployment.run(&["show", id, "--lane", "to-client", "--profile", "globex"]);
    assert!(shown.contains("scans/a b.txt"), "{shown}");
    deployment.run(&["verify", id, "--lane", "to-client", "--profile", "globex"]);
    deployment.run(&["receive", "--lane", "to-client", "--into", "inbox", "--profile", "globex"]);
    let inbox = deployment.path("inbox").join(id).join("scans");
    assert_eq!(std::fs::read(inbox.join("a b.txt")).unwrap(), b"small");
    assert_eq!(std::fs::read(inbox.join("large.bin")).unwrap(), large);
    assert_eq!(std::fs::read(inbox.join("empty")).unwrap(), b"");
    let again = deployment.run(&[
        "receive",
        "--lane",
        "to-client",
        "--into",
        "inbox",
        "--profile",
        "globex",
    ]);
    assert!(again.contains("Nothing new"), "{again}");
}

#[test]
fn every_wrong_turn_says_what_to_do() {
    let deployment = Deployment::new();
    let file = deployment.file("f", b"x");
    let f = file.to_str().unwrap();
    let cases: &[(i32, &[&str], &str)] = &[
        (2, &["send", f, "--lane", "to-clent"], "its lanes are: from-client, to-client"),
        (4, &["send", f, "--lane", "to-client", "--profile", "globex"], "AccessDenied"),
        (2, &["send", "no-such-file", "--lane", "to-client", "--profile", "acme"], "no-such-file"),
        (
            4,
            &["list", "--lane", "to-client", "--profile", "acme", "--as", "globex"],
            "AccessDenied",
        ),
        (2, &["show", "nonsense", "--lane", "to-client", "--profile", "globex"], "nonsense"),
        (
            5,
            &["show", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "--lane", "to-client", "--profile", "globex"],
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        ),
        (2, &["keys", "new", "acme"], "never replaced"),
        (2, &["keys", "new", "initech"], "declares no party `initech`"),
        (2, &["init"], "--exchange FILE"),
        (2, &["plan", "--exchange", "absent.toml"], "consign init"),
        (2, &["send", f], "--lane"),
    ];
    for (code, arguments, words) in cases {
        let errors = deployment.fail(*code, arguments);
        assert!(errors.contains(words), "consign {arguments:?} says:\n{errors}");
        assert!(!errors.contains("panicked"), "{errors}");
    }
}
