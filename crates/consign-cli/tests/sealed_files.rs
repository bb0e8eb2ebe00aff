//! `consign seal` and `consign open` as a person uses them: single files, no exchange, other
//! people's tools on the other side.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::desk::Desk;
use crate::support::{Deployment, TO_CLIENT, both, succeed};
use consign_seal::age::Identity;
use consign_testkit::payload::ramp;

/// A desk with an identity in it, as `age-keygen` leaves one; and its recipient.
fn desk_of(identity: &Identity) -> (Desk, String) {
    let desk = Desk::new();
    desk.secret("me.txt", identity.secret_text().as_bytes());
    (desk, identity.to_recipient().to_string())
}

/// Around chunks, runs and batches of every number of processors up to eight.
const LENGTHS: [usize; 9] =
    [0, 1, 65_535, 65_536, 65_537, 1 << 20, (2 << 20) + 1, 8 << 20, (8 << 20) + 65_537];

#[test]
fn files_of_every_length_go_round_and_age_opens_them() {
    let age = consign_testkit::require!("age");
    for identity in [Identity::generate().unwrap(), Identity::generate_post_quantum().unwrap()] {
        let (desk, me) = desk_of(&identity);
        for length in LENGTHS {
            desk.file("plain", &ramp(length));
            desk.run(&["seal", "plain", "--to", &me, "--force"]);
            desk.run(&["open", "plain.age", "-i", "me.txt", "-o", "opened", "--force"]);
            assert!(desk.read("opened") == ramp(length), "{length} bytes");
            if matches!(identity, Identity::X25519(_)) {
                let mut stock = Command::new(&age);
                stock.args(["-d", "-i", "me.txt", "-o", "stock", "plain.age"]);
                succeed(stock.current_dir(desk.folder()));
                // Of no content, age makes no file.
                let stock = std::fs::read(desk.path("stock")).unwrap_or_default();
                assert!(stock == ramp(length), "{length} bytes");
            }
        }
        desk.run(&["seal", "plain", "--to", &me, "--armor", "-o", "text.age"]);
        assert!(desk.read("text.age").starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----\n"));
        desk.run(&["open", "text.age", "-i", "me.txt", "-o", "opened", "--force"]);
        assert!(desk.read("opened") == desk.read("plain"));
    }
}

#[test]
fn pipes_work_both_ways() {
    let (desk, me) = desk_of(&Identity::generate().unwrap());
    let shell = format!(
        "\"$CONSIGN\" seal - --to {} < me.txt | \"$CONSIGN\" open - --identity me.txt | cmp - me.txt",
        me
    );
    let mut command = Command::new("/bin/bash");
    command.args(["-euo", "pipefail", "-c", &shell]).current_dir(desk.folder());
    succeed(command.env("CONSIGN", env!("CARGO_BIN_EXE_consign")).env("HOME", desk.folder()));
}

#[test]
fn nothing_is_left_of_a_file_that_is_not_authentic() {
    let (desk, me) = desk_of(&Identity::generate().unwrap());
    desk.file("plain", &ramp(9 << 20));
    desk.run(&["seal", "plain", "--to", &me]);
    let good = desk.read("plain.age");
    let mut changed = good.clone();
    let at = changed.len() - 40;
    changed[at] ^= 1;
    let mut appended = good.clone();
    appended.extend_from_slice(b"\n");
    let cut = good[..good.len() - 100].to_vec();
    for (bytes, code, words) in [
        (changed, 3, "changed"),
        (appended, 3, "appended"),
        (cut, 3, "truncated"),
        (good[..30].to_vec(), 3, "ends within its header"),
        (b"nothing of the kind".to_vec(), 3, "no sealed format"),
        (Vec::new(), 3, "no sealed format"),
    ] {
        desk.file("bad.age", &bytes);
        let said = desk.fail(code, &["open", "bad.age", "-i", "me.txt", "-o", "opened"]);
        assert!(said.contains(words), "{said}");
        assert_eq!(desk.names(), ["bad.age", "me.txt", "plain", "plain.age"]);
        // A pipe gets authentic bytes only.
        let output = desk.consign(&["open", "bad.age", "-i", "me.txt"]).output().unwrap();
        assert!(!output.status.success());
        assert!(ramp(9 << 20).starts_with(&output.stdout));
    }
}

#[test]
fn wrong_turns_say_what_to_do() {
    let (desk, me) = desk_of(&Identity::generate().unwrap());
    let hybrid = Identity::generate_post_quantum().unwrap().to_recipient().to_string();
    let other = Identity::generate().unwrap();
    desk.file("plain", b"x");
    desk.secret("other.txt", other.secret_text().as_bytes());
    desk.secret("words", b"open sesame\n");
    desk.file("loose", b"open sesame\n");
    desk.run(&["seal", "plain", "--to", &me]);
    desk.run(&["seal", "plain", "--passphrase-file", "words", "-o", "words.age"]);
    desk.file("message.gpg", b"\x85\x01\x0c\x03\x12\x34\x56");
    let cases: &[(i32, &[&str], &str)] = &[
        (2, &["seal", "plain"], "--recipients-file"),
        (2, &["seal", "plain", "--to", &me], "--force"),
        (2, &["seal", "plain", "--to", &me, "--to", &hybrid, "-o", "x"], "post-quantum"),
        (2, &["seal", "plain", "--to", "age1nonsense"], "recipient"),
        (2, &["seal", "plain", "--to", "No body"], "recipient"),
        (2, &["seal", ".", "--to", &me], "tar c"),
        (5, &["seal", "absent", "--to", &me], "absent"),
        (2, &["seal", "plain", "--passphrase-file", "loose", "-o", "x"], "chmod 600 loose"),
        (
            2,
            &["seal", "plain", "--to", &me, "--passphrase-file", "words", "-o", "x"],
            "passphrase cannot stand beside",
        ),
        (2, &["open", "plain.age", "-i", "other.txt"], "1 × X25519"),
        (2, &["open", "plain.age"], "--identity FILE"),
        (5, &["open", "absent.age"], "absent.age"),
        (3, &["open", "message.gpg"], "the end of it is missing"),
        (2, &["open", "plain.age", "--signer", "me.txt"], "OpenPGP"),
        (2, &["open", "s3://bucket"], "s3://BUCKET/KEY"),
        (2, &["open", "plain.age", "-i", "plain"], "identity"),
    ];
    for (code, arguments, words) in cases {
        let said = desk.fail(*code, arguments);
        assert!(said.contains(words), "consign {arguments:?} says:\n{said}");
        let secret = other.secret_text();
        assert!(!said.contains(secret.as_str()) && !said.contains("sesame"), "{said}");
    }
}

#[test]
fn inspecting_says_what_it_is_and_which_key_opens_it() {
    let (desk, me) = desk_of(&Identity::generate_post_quantum().unwrap());
    desk.file("plain", b"x");
    desk.secret("words", b"open sesame\n");
    desk.run(&["seal", "plain", "--to", &me, "--to", &me, "--armor"]);
    let said = desk.run(&["open", "plain.age", "-i", "me.txt", "--inspect", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["format"], "age, armored");
    assert_eq!(said["recipients"], serde_json::json!([{ "type": "mlkem768x25519", "count": 2 }]));
    assert_eq!((&said["post_quantum"], &said["opens_with"]), (&true.into(), &"me.txt".into()));
    desk.run(&["seal", "plain", "--passphrase-file", "words", "-o", "words.age"]);
    let said = desk.run(&["open", "words.age", "--inspect"]);
    assert!(said.contains("1 × scrypt") && said.contains("opens with its passphrase"), "{said}");
    desk.run(&["open", "words.age", "--passphrase-file", "words", "-o", "opened"]);
    assert_eq!(desk.read("opened"), b"x");
}

/// Feeds answers to a program that insists on a terminal.
const ON_A_TERMINAL: &str = r"
import os, pty, sys
words, command = sys.argv[1], sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    os.execvp(command[0], command)
answers, seen = 0, b''
while True:
    try:
        piece = os.read(terminal, 1024)
    except OSError:
        break
    if not piece:
        break
    seen += piece
    asked = seen.count(b': ')
    if asked > answers and seen.endswith(b': '):
        answers = asked
        os.write(terminal, words.encode() + b'\r')
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
";

#[test]
fn a_passphrase_is_asked_for_on_the_terminal_and_not_shown() {
    let python = consign_testkit::require!("python3");
    let (desk, _) = desk_of(&Identity::generate().unwrap());
    desk.file("plain", b"content");
    let on_terminal = |arguments: &[&str]| {
        let mut command = Command::new(&python);
        command.args(["-c", ON_A_TERMINAL, "open sesame", env!("CARGO_BIN_EXE_consign")]);
        command.args(arguments).current_dir(desk.folder()).env("HOME", desk.folder());
        succeed(command.stdin(Stdio::null()))
    };
    let said = on_terminal(&["seal", "plain", "--passphrase"]);
    assert!(said.contains("again") && !said.contains("sesame"), "{said}");
    let said = on_terminal(&["open", "plain.age", "-o", "opened"]);
    assert!(!said.contains("sesame"), "{said}");
    assert_eq!(desk.read("opened"), b"content");
    // Without a terminal, the way out is named.
    let mut alone = Command::new("setsid");
    alone.args(["-w", env!("CARGO_BIN_EXE_consign"), "open", "plain.age", "-o", "again"]);
    let output = alone.current_dir(desk.folder()).stdin(Stdio::null()).output().unwrap();
    assert!(both(&output).contains("--passphrase-file"), "{}", both(&output));
}

#[test]
fn ssh_keys_are_found_where_ssh_keeps_them() {
    let (age, keygen) = consign_testkit::require!("age", "ssh-keygen");
    let (desk, _) = desk_of(&Identity::generate().unwrap());
    std::fs::create_dir(desk.path(".ssh")).unwrap();
    desk.file("plain", b"content");
    for kind in ["ed25519", "rsa"] {
        let name = format!(".ssh/id_{kind}");
        let mut command = Command::new(&keygen);
        command.args(["-q", "-t", kind, "-N", "", "-f", &name]);
        succeed(command.current_dir(desk.folder()));
        let public = format!("{name}.pub");
        desk.run(&["seal", "plain", "--recipients-file", &public, "--force"]);
        desk.run(&["open", "plain.age", "-o", "opened", "--force"]);
        assert_eq!(desk.read("opened"), b"content");
        let mut stock = Command::new(&age);
        stock.args(["-d", "-i", &name, "plain.age"]).current_dir(desk.folder());
        assert_eq!(succeed(&mut stock), "content");
        let mut stock = Command::new(&age);
        stock.args(["-R", &public, "-o", "theirs.age", "plain"]);
        succeed(stock.current_dir(desk.folder()));
        desk.run(&["open", "theirs.age", "-o", "opened", "--force"]);
        assert_eq!(desk.read("opened"), b"content");
        std::fs::remove_file(desk.path("theirs.age")).unwrap();
    }
}

#[test]
fn an_object_is_opened_where_it_lies() {
    let aws = consign_testkit::require!("aws");
    let deployment = Deployment::new();
    let plain = ramp(10_000_000);
    deployment.file("report", &plain);
    deployment.run(&["seal", "report", "--to", "globex"]);
    let address = format!("s3://{TO_CLIENT}/report.age");
    let mut copy = deployment.tool(Path::new(&aws));
    succeed(copy.args(["s3", "cp", "report.age", &address, "--profile", "acme"]));
    deployment.run(&["open", &address, "-o", "opened", "--profile", "globex"]);
    assert!(std::fs::read(deployment.path("opened")).unwrap() == plain);
    let said = deployment.run(&["open", &address, "--inspect", "--profile", "globex"]);
    assert!(said.contains("globex.identity"), "{said}");
    deployment.fail(4, &["open", &address, "-o", "x", "--profile", "acme"]);
}
