//! The library that `rage` is made of judges, through its bindings for Python (pyrage).

use std::path::PathBuf;
use std::process::Command;

use crate::common::{EDGE_LENGTHS, judge, python_with, ramp, run, succeed, write};
use consign_seal::age::{self, Identity, Passphrase, Recipient};
use zeroize::Zeroizing;

struct Rage {
    python: PathBuf,
    folder: tempfile::TempDir,
}

impl Rage {
    fn find() -> Option<Rage> {
        Some(Rage { python: python_with("pyrage")?, folder: tempfile::tempdir().unwrap() })
    }

    fn command(&self, words: &[&str]) -> Command {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/age/rage.py");
        let mut command = Command::new(&self.python);
        command.arg(script).args(words);
        command
    }

    fn seal(&self, recipients: &[Recipient], plain: &[u8]) -> Vec<u8> {
        let texts: Vec<String> = recipients.iter().map(ToString::to_string).collect();
        let mut words = vec!["seal"];
        words.extend(texts.iter().map(String::as_str));
        succeed(&mut self.command(&words), plain)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        write(&path, text.as_bytes());
        path.to_str().unwrap().to_owned()
    }

    /// Both ways for these lengths, among other recipients; a stranger opens neither.
    fn both_ways(&self, identity: &Identity, file: &str, lengths: &[usize]) {
        let others: Vec<Identity> = (0..2).map(|_| Identity::generate().unwrap()).collect();
        let recipients =
            [others[0].to_recipient(), identity.to_recipient(), others[1].to_recipient()];
        let stranger = Identity::generate().unwrap();
        let strangers = self.file("stranger", &stranger.secret_text());
        for length in lengths {
            let plain = ramp(*length);
            let ours = age::seal_all(&recipients, &plain).unwrap();
            assert!(succeed(&mut self.command(&["open", file]), &ours) == plain, "{length}");
            assert!(!run(&mut self.command(&["open", &strangers]), &ours).status.success());
            let theirs = self.seal(&recipients, &plain);
            let opened = age::open_all(std::slice::from_ref(identity), &theirs).unwrap();
            assert!(opened == plain, "{length}");
            age::open_all(std::slice::from_ref(&stranger), &theirs).unwrap_err();
        }
    }
}

#[test]
fn rage_and_we_open_each_others_files() {
    let Some(rage) = Rage::find() else { return };
    let identity = Identity::generate().unwrap();
    let file = rage.file("identity", &identity.secret_text());
    rage.both_ways(&identity, &file, &EDGE_LENGTHS);
    rage.both_ways(&identity, &file, &[20 << 20]);
}

#[test]
fn ssh_keys_go_both_ways_with_rage() {
    let (Some(rage), Some(keygen)) = (Rage::find(), judge("ssh-keygen")) else { return };
    for kind in [&["-t", "ed25519"][..], &["-t", "rsa", "-b", "3072"]] {
        let path = rage.folder.path().join(kind[1]);
        let mut command = Command::new(&keygen);
        command.args(["-q", "-N", "", "-C", "", "-f"]).arg(&path).args(kind);
        succeed(&mut command, b"");
        let text = std::fs::read_to_string(&path).unwrap();
        let identity = age::parse_identity_file(&text).unwrap().remove(0);
        rage.both_ways(&identity, path.to_str().unwrap(), &[0, 1, 65_536, 65_537]);
    }
}

#[test]
fn hundreds_of_recipients_of_rage_each_open_it() {
    let Some(rage) = Rage::find() else { return };
    let identities: Vec<Identity> = (0..300).map(|_| Identity::generate().unwrap()).collect();
    let recipients: Vec<Recipient> = identities.iter().map(Identity::to_recipient).collect();
    let theirs = rage.seal(&recipients, b"content");
    let ours = age::seal_all(&recipients, b"content").unwrap();
    for identity in &identities {
        assert_eq!(age::open_all(std::slice::from_ref(identity), &theirs).unwrap(), b"content");
    }
    let last = rage.file("last", &identities[299].secret_text());
    assert_eq!(succeed(&mut rage.command(&["open", &last]), &ours), b"content");
}

#[test]
fn passphrases_go_both_ways_with_rage() {
    let Some(rage) = Rage::find() else { return };
    let words = "correct horse battery staple";
    let file = rage.file("passphrase", words);
    let identity = |log_n| {
        let text = Zeroizing::new(words.to_owned());
        Identity::Passphrase(Passphrase::with_work_factor(text, log_n).unwrap())
    };
    let plain = ramp(70_000);
    let ours = age::seal_all(&[identity(12).to_recipient()], &plain).unwrap();
    assert!(succeed(&mut rage.command(&["reveal", &file]), &ours) == plain);
    let theirs = succeed(&mut rage.command(&["conceal", &file]), &plain);
    assert!(age::open_all(&[identity(12)], &theirs).unwrap() == plain);
}
