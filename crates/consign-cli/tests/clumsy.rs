//! What a clumsy or a hostile user does: streams that nobody reads, files that are none or have no end,
//! disks that take nothing, words in the wrong place. Each must end in one sentence that names the
//! thing and what to do, with the exit code of docs/errors.md, and leave nothing half-written.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileTypeExt;
use std::process::{Command, Stdio};

use crate::support::desk::Desk;
use crate::support::{self, both};
use consign_seal::age::Identity;

/// A person with a key, a sealed file and the exchange file of a secure inbox.
fn desk() -> (Desk, String) {
    let desk = Desk::new();
    let identity = Identity::generate().unwrap();
    let me = identity.to_recipient().to_string();
    desk.secret("me.txt", identity.secret_text().as_bytes());
    desk.file("plain", b"content");
    desk.run(&["seal", "plain", "--to", &me]);
    desk.run(&["init", "--template", "inbox"]);
    (desk, me)
}

/// `consign` with what a shell does around it.
fn in_shell(desk: &Desk, script: &str) -> Command {
    let mut command = Command::new("/bin/bash");
    command.args(["-c", script]).current_dir(desk.folder());
    command.env("HOME", desk.folder()).env("CONSIGN", env!("CARGO_BIN_EXE_consign"));
    command.env_remove("AWS_ENDPOINT_URL");
    command
}

#[test]
fn streams_that_nobody_reads_are_no_defect() {
    let (desk, _) = desk();
    // What is run, where its words go, and what it ends with. 101 would be a panic.
    for (script, code) in [
        ("permissions >/dev/full", 1),
        ("permissions --json >/dev/full", 1),
        ("keys list >&-", 0),
        ("completions bash >/dev/full", 1),
        ("rewrap --json >/dev/full", 2),
        ("rewrap 2>/dev/full", 2),
        ("rewrap --json >/dev/full 2>&1", 2),
        ("rewrap >&- 2>&-", 2),
        ("open plain.age -i me.txt >/dev/full", 1),
    ] {
        let output = in_shell(&desk, &format!("\"$CONSIGN\" {script}")).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{script}: {}", both(&output));
    }
    // A reader who has seen enough: the exit code is that of the work, and nobody is told of it.
    for (script, code) in [
        ("permissions", 0),
        ("permissions --json", 0),
        ("completions bash", 0),
        ("rewrap --json", 2),
        ("publish --help", 0),
    ] {
        let script = format!("(sleep 0.3; \"$CONSIGN\" {script}; echo $? >code) | true; cat code");
        let output = in_shell(&desk, &script).output().unwrap();
        let said = both(&output);
        assert!(
            !said.contains("panicked") && !said.contains("standard output"),
            "{script}: {said}"
        );
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), code.to_string(), "{script}");
    }
}

#[test]
fn whoever_waits_for_input_that_does_not_come_can_be_stopped() {
    let (desk, me) = desk();
    support::succeed(Command::new("mkfifo").arg(desk.path("pipe")));
    let before = desk.names();
    for arguments in [
        &["open", "-", "-i", "me.txt", "-o", "opened"][..],
        &["open", "pipe", "-i", "me.txt", "-o", "opened"],
        &["seal", "-", "--to", &me, "-o", "sealed"],
        &["seal", "pipe", "--to", &me, "-o", "sealed"],
    ] {
        let mut waiting = desk.consign(arguments);
        let mut waiting = waiting.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        // Waiting would close it, and the input would have its end.
        let _held = waiting.stdin.take();
        let process = rustix::process::Pid::from_child(&waiting);
        // Stopped before it listens to signals it ends as any program does, and with another code.
        let listens = || {
            let path = format!("/proc/{}/status", waiting.id());
            let status = std::fs::read_to_string(path).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
            u64::from_str_radix(caught.trim(), 16).unwrap() & 0b10 != 0
        };
        while !listens() {
            std::thread::yield_now();
        }
        rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
        assert_eq!(waiting.wait().unwrap().code(), Some(130), "{arguments:?}");
        assert_eq!(desk.names(), before, "{arguments:?}");
    }
}

#[test]
fn variables_that_are_no_text_are_passed_over_or_named() {
    let (desk, _) = desk();
    let bytes = || OsString::from_vec(vec![b'x', 0xff]);
    let output = desk.consign(&["keys", "list"]).env("EDITOR", bytes()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", both(&output));
    let output = desk.consign(&["keys", "list"]).env("CONSIGN_KEYS", bytes()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", both(&output));
    assert!(both(&output).contains("CONSIGN_KEYS is not UTF-8"), "{}", both(&output));
}

#[test]
fn names_that_are_no_text_are_names_of_files() {
    let (desk, me) = desk();
    let name = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    std::fs::write(desk.folder().join(name(b"na\xffme")), b"content").unwrap();
    let mut seal = desk.consign(&["seal", "--to", &me]);
    support::succeed(seal.arg(name(b"na\xffme")));
    let mut open = desk.consign(&["open", "-i", "me.txt", "-o", "opened"]);
    support::succeed(open.arg(name(b"na\xffme.age")));
    assert_eq!(desk.read("opened"), b"content");
}

#[test]
fn what_is_no_file_is_not_replaced_by_one() {
    let (desk, me) = desk();
    let pipe = desk.path("pipe");
    support::succeed(Command::new("mkfifo").arg(&pipe));
    std::fs::create_dir(desk.path("folder")).unwrap();
    let before = desk.names();
    for (target, words) in [
        ("pipe", "not a regular file"),
        ("folder", "is a folder"),
        (".", "is a folder"),
        ("absent/file", "the folder absent"),
    ] {
        for what in [&["open", "plain.age", "-i", "me.txt"][..], &["seal", "plain", "--to", &me]] {
            for force in [&[][..], &["--force"]] {
                let said = desk.fail(2, &[what, &["-o", target], force].concat());
                assert!(said.contains(words), "{target}: {said}");
                assert!(!said.contains(".tmp"), "{said}");
            }
        }
    }
    assert_eq!(desk.names(), before);
    assert!(std::fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    // A link is replaced itself; what it leads to stays.
    std::os::unix::fs::symlink("plain", desk.path("link")).unwrap();
    desk.run(&["seal", "me.txt", "--to", &me, "-o", "link", "--force"]);
    assert_eq!(desk.read("plain"), b"content");
}

#[test]
fn files_without_end_are_not_read_to_their_end() {
    let (desk, _) = desk();
    let zero = "/dev/zero";
    for arguments in [
        &["seal", "plain", "--pgp", zero][..],
        &["seal", "plain", "--recipients-file", zero],
        &["open", "plain.age", "-i", zero],
        &["inbox", "list", "--exchange", zero],
        &["s3s2", "share", "--config", zero],
        &[
            "s3s2",
            "share",
            "--bucket",
            "b",
            "--org",
            "o",
            "--directory",
            ".",
            "--receiver-public-key",
            zero,
        ],
    ] {
        // Within this much memory, so that a mistake here is not one of the whole machine.
        let mut command = Command::new("/bin/bash");
        command.args([
            "-c",
            "ulimit -v 4000000; exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_consign"),
        ]);
        command.args(arguments).current_dir(desk.folder()).env("HOME", desk.folder());
        let output = command.env("AWS_REGION", "eu-west-1").output().unwrap();
        let said = both(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains("longer than"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_disk_that_takes_nothing_gets_no_name_either() {
    let (desk, me) = desk();
    desk.file("large", &vec![7; 1 << 20]);
    let before = desk.names();
    let seal = format!("seal large --to {me}");
    for script in [
        "init --template two-way --exchange new.toml",
        "keys new acme --print --keys .",
        &seal,
        "open plain.age -i me.txt -o opened",
    ] {
        let script = format!("trap '' XFSZ; ulimit -f 0; exec \"$CONSIGN\" {script}");
        let output = in_shell(&desk, &script).output().unwrap();
        let said = both(&output);
        assert_eq!(output.status.code(), Some(1), "{script}: {said}");
        assert!(said.contains("File too large"), "{script}: {said}");
        assert_eq!(desk.names(), before, "{script}");
    }
}

#[test]
fn words_in_the_wrong_place_are_refused() {
    let (desk, me) = desk();
    desk.file("recipients", me.as_bytes());
    let inbox = |rest: &[&'static str]| [&["inbox"], rest].concat();
    let object = ["rewrap", "s3://bucket/key", "--from-key"];
    for (code, arguments, words) in [
        // What would not reach the command is not passed over.
        (2, vec!["publish", "--repository", "reports", "redrive"], "redrive --repository"),
        (2, vec!["publish", "--in-flight", "5", "dead"], "--in-flight does not reach"),
        (2, vec!["publish", "--drain", "5s", "dead"], "--drain is for"),
        (2, vec!["publish", "--metrics", "127.0.0.1:0", "--backfill"], "cannot be used with"),
        (2, vec!["publish", "--expect-every", "1h", "--lambda"], "cannot be used with"),
        (2, vec!["publish", "--in-flight", "0"], "1..=4096"),
        (2, vec!["publish", "dead", "--max", "0"], "1..="),
        (2, vec!["publish", "--as", "globex", "--backfill"], "its publishers are: acme"),
        (2, vec!["publish", "--as", "nobody", "--backfill"], "its publishers are: acme"),
        (2, vec!["publish", "--endpoint", "nonsense"], "--endpoint does not begin with https"),
        (2, inbox(&["scan", "--scan-exec", "true"]), "has no quarantine"),
        (2, inbox(&["list", "--inbox", "else"]), "its inboxes are: reports-in"),
        (2, inbox(&["fetch", "--profile", "else"]), "no profile `else`"),
        (2, vec!["rewrap", "s3://bucket/key"], "--from-key"),
        (2, vec!["rewrap"], "--lane LANE"),
        (2, [&object[..], &["aes:", "--to-key", "kms:x"]].concat(), "names no key"),
        (2, vec!["rewrap", "key", "--from-key", "kms:x", "--to-key", "kms:x"], "s3://BUCKET/KEY"),
        (2, vec!["open", "s3://bucket"], "a key is missing"),
        (2, vec!["open", "s3://bucket/key", "--profile", "else"], "no profile `else`"),
        (2, vec!["open", "plain.age", "--kms", "x"], "are for objects"),
        (2, vec!["seal", "plain", "--kms", "x", "-o", "s3:///key"], "no bucket is called so"),
        (5, vec!["seal", "absent", "--recipients-file", "recipients"], "absent"),
        (5, vec!["open", "absent"], "absent"),
        (2, vec!["s3s2", "config", "--file", "none.json"], "nothing was said"),
    ] {
        let said = desk.fail(code, &arguments);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

#[test]
fn without_credentials_it_is_a_matter_of_rights() {
    let (desk, _) = desk();
    for arguments in
        [&["inbox", "list"][..], &["inbox", "fetch", "--into", "in"], &["open", "s3://bucket/key"]]
    {
        let mut command = desk.consign(arguments);
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_REGION", "eu-west-1");
        let output = command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9").output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {}", both(&output));
        assert!(both(&output).contains("--profile"), "{}", both(&output));
    }
    assert!(!desk.path("in").exists());
}
