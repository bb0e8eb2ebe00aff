//! Every command explains itself, with an example, and the rest of the surface is there.

use crate::support::{consign, succeed};

const COMMANDS: &[&[&str]] = &[
    &["demo"],
    &["init"],
    &["keys", "new"],
    &["keys", "list"],
    &["local", "serve"],
    &["plan"],
    &["apply"],
    &["adopt"],
    &["handover"],
    &["permissions"],
    &["destroy"],
    &["prove"],
    &["audit"],
    &["doctor"],
    &["explain"],
    &["evaluate"],
    &["export", "cloudformation"],
    &["export", "terraform"],
    &["export", "policies"],
    &["send"],
    &["receive"],
    &["list"],
    &["show"],
    &["verify"],
    &["inbox", "list"],
    &["inbox", "fetch"],
    &["inbox", "ack"],
    &["inbox", "watch"],
    &["inbox", "acknowledgements"],
    &["inbox", "scan"],
    &["s3s2", "share"],
    &["s3s2", "decrypt"],
    &["s3s2", "genkey"],
    &["s3s2", "config"],
    &["seal"],
    &["open"],
    &["rekey"],
    &["rewrap"],
    &["publish"],
    &["publish", "dead"],
    &["publish", "redrive"],
    &["keys", "lane-secret"],
    &["completions"],
];

#[test]
fn every_command_shows_an_example() {
    for command in COMMANDS {
        let help = succeed(consign().args(*command).arg("--help"));
        assert!(help.contains("Example"), "consign {command:?} --help shows no example:\n{help}");
    }
}

#[test]
fn no_command_is_missing_from_the_list_above() {
    let help = succeed(consign().arg("--help"));
    let listed = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    for line in listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
        let name = line.split_whitespace().next().unwrap();
        let known = name == "help" || COMMANDS.iter().any(|command| command[0] == name);
        assert!(known, "`{name}` has no help test");
    }
}

#[test]
fn completions_and_man_pages_are_made() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(succeed(consign().args(["completions", shell])).contains("consign"));
    }
    let folder = tempfile::tempdir().unwrap();
    succeed(consign().args(["internals", "man"]).arg(folder.path()));
    let page = std::fs::read_to_string(folder.path().join("consign-send.1")).unwrap();
    assert!(page.contains("complete or invisible"), "{page}");
}
