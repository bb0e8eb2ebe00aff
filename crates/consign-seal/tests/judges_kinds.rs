//! Other people's programs judge what is sealed for post-quantum recipients, SSH keys and
//! passphrases: `age` with keys of `ssh-keygen`, and `age-encryption` (npm), by the author of the
//! format, which has the post-quantum recipients that Debian's `age` lacks.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{EDGE_LENGTHS, judge, node_package, ramp, succeed, write};
use consign_seal::age::{self, Identity, Passphrase, Recipient};
use zeroize::Zeroizing;

/// `age-encryption` under node: the arguments are what to do, with which key, and files in and out.
struct Typage {
    node: PathBuf,
    package: PathBuf,
    folder: tempfile::TempDir,
}

const SCRIPT: &str = r"
const fs = require('fs');
const [folder, what, key, from, to] = process.argv.slice(1);
import('file://' + folder + '/dist/index.js').then(async age => {
  const input = new Uint8Array(fs.readFileSync(from));
  if (what === 'recipient') {
    fs.writeFileSync(to, await age.identityToRecipient(key));
  } else if (what === 'identity') {
    fs.writeFileSync(to, await age.generateHybridIdentity());
  } else if (what === 'open' || what === 'open-passphrase') {
    const opener = new age.Decrypter();
    what === 'open' ? opener.addIdentity(key) : opener.addPassphrase(key);
    fs.writeFileSync(to, await opener.decrypt(input));
  } else {
    const sealer = new age.Encrypter();
    what === 'seal' ? sealer.addRecipient(key) : sealer.setPassphrase(key);
    if (what !== 'seal') sealer.setScryptWorkFactor(10);
    fs.writeFileSync(to, await sealer.encrypt(input));
  }
}).catch(error => { console.error(error); process.exit(1); });
";

impl Typage {
    fn find() -> Option<Typage> {
        let (node, package) = (judge("node")?, node_package("age-encryption")?);
        Some(Typage { node, package, folder: tempfile::tempdir().unwrap() })
    }

    fn run(&self, what: &str, key: &str, input: &[u8]) -> Vec<u8> {
        let (from, to) = (self.folder.path().join("in"), self.folder.path().join("out"));
        write(&from, input);
        let mut command = Command::new(&self.node);
        command.arg("-e").arg(SCRIPT).arg(&self.package).args([what, key]).args([&from, &to]);
        succeed(&mut command, b"");
        std::fs::read(&to).unwrap()
    }
}

#[test]
fn post_quantum_files_go_both_ways() {
    let Some(typage) = Typage::find() else { return };
    let theirs = String::from_utf8(typage.run("identity", "", b"")).unwrap();
    for identity in
        [Identity::generate_post_quantum().unwrap(), Identity::parse(theirs.trim()).unwrap()]
    {
        let secret = identity.secret_text();
        let recipient = identity.to_recipient().to_string();
        assert_eq!(typage.run("recipient", &secret, b""), recipient.as_bytes());
        for length in EDGE_LENGTHS {
            let plain = ramp(length);
            let sealed = age::seal_all(&[identity.to_recipient()], &plain).unwrap();
            assert!(typage.run("open", &secret, &sealed) == plain, "{length} bytes");
            let sealed = typage.run("seal", &recipient, &plain);
            let opened = age::open_all(std::slice::from_ref(&identity), &sealed).unwrap();
            assert!(opened == plain, "{length} bytes");
        }
    }
}

#[test]
fn passphrases_go_both_ways() {
    let Some(typage) = Typage::find() else { return };
    for words in ["a", "correct horse battery staple", "Käse ☂ \u{301}e"] {
        let text = Zeroizing::new(words.to_owned());
        let identity = Identity::Passphrase(Passphrase::with_work_factor(text, 11).unwrap());
        let sealed = age::seal_all(&[identity.to_recipient()], b"content").unwrap();
        assert_eq!(typage.run("open-passphrase", words, &sealed), b"content");
        let sealed = typage.run("seal-passphrase", words, b"content");
        assert_eq!(age::open_all(&[identity], &sealed).unwrap(), b"content");
    }
}

/// `age` asks for a passphrase on a terminal only, so it gets one.
const ON_A_TERMINAL: &str = r"
import os, pty, sys
words, command = sys.argv[1], sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    os.execvp(command[0], command)
answers = 0
seen = b''
while True:
    try:
        piece = os.read(terminal, 1024)
    except OSError:
        break
    if not piece:
        break
    seen += piece
    if seen.count(b'passphrase') > answers and seen.rstrip().endswith(b':'):
        answers += 1
        os.write(terminal, words.encode() + b'\n')
sys.stderr.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
";

#[test]
fn age_opens_what_we_seal_with_a_passphrase_and_the_reverse() {
    let (Some(age_program), Some(python)) = (judge("age"), judge("python3")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let on_terminal = |arguments: &[&str]| {
        let mut command = Command::new(&python);
        command.args(["-c", ON_A_TERMINAL, "correct horse"]).arg(&age_program).args(arguments);
        succeed(command.current_dir(folder.path()), b"");
    };
    let passphrase = Passphrase::new(Zeroizing::new("correct horse".to_owned())).unwrap();
    let sealed = age::seal_all(&[Recipient::Passphrase(passphrase.clone())], &ramp(70_000));
    write(&path("sealed"), &sealed.unwrap());
    on_terminal(&["-d", "-o", "opened", "sealed"]);
    assert!(std::fs::read(path("opened")).unwrap() == ramp(70_000));
    on_terminal(&["-p", "-o", "theirs", "opened"]);
    let theirs = std::fs::read(path("theirs")).unwrap();
    assert!(age::open_all(&[Identity::Passphrase(passphrase)], &theirs).unwrap() == ramp(70_000));
}

fn ssh_keygen(program: &Path, path: &Path, kind: &[&str], passphrase: &str) {
    let mut command = Command::new(program);
    command.args(["-q", "-N", passphrase, "-C", "me@example", "-f"]).arg(path).args(kind);
    succeed(&mut command, b"");
}

#[test]
fn ssh_keys_go_both_ways_with_age() {
    let (Some(age_program), Some(keygen)) = (judge("age"), judge("ssh-keygen")) else { return };
    let folder = tempfile::tempdir().unwrap();
    for kind in [&["-t", "ed25519"][..], &["-t", "rsa", "-b", "2048"], &["-t", "rsa", "-b", "4096"]]
    {
        let path = folder.path().join(kind.join(""));
        ssh_keygen(&keygen, &path, kind, "");
        let public_path = path.with_extension("pub");
        let recipients =
            age::parse_recipients(&std::fs::read_to_string(&public_path).unwrap()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let identities = age::parse_identity_file(&text).unwrap();
        assert_eq!(identities[0].to_recipient(), recipients[0]);
        for length in [0, 1, 65_536, 65_537] {
            let plain = ramp(length);
            let sealed = age::seal_all(&recipients, &plain).unwrap();
            let mut command = Command::new(&age_program);
            command.arg("-d").arg("-i").arg(&path);
            assert!(succeed(&mut command, &sealed) == plain, "{kind:?} {length}");
            let mut command = Command::new(&age_program);
            command.arg("-a").arg("-R").arg(&public_path);
            let sealed = succeed(&mut command, &plain);
            assert!(age::open_all(&identities, &sealed).unwrap() == plain, "{kind:?} {length}");
        }
    }
}

#[test]
fn protected_ssh_keys_open_with_their_passphrase() {
    let Some(keygen) = judge("ssh-keygen") else { return };
    let folder = tempfile::tempdir().unwrap();
    let words = |text: &str| Passphrase::new(Zeroizing::new(text.to_owned())).unwrap();
    for kind in ["ed25519", "rsa"] {
        let path = folder.path().join(kind);
        ssh_keygen(&keygen, &path, &["-t", kind], "open sesame");
        let file = std::fs::read(&path).unwrap();
        let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        let recipient = Recipient::parse(public.trim()).unwrap();
        let read = age::parse_identities(&file, Some(&words("open sesame"))).unwrap();
        assert_eq!(read[0].to_recipient(), recipient);
        let sealed = age::seal_all(&[recipient], b"x").unwrap();
        assert_eq!(age::open_all(&read, &sealed).unwrap(), b"x");
        let error = age::parse_identities(&file, None).unwrap_err();
        assert_eq!(error.kind(), consign_seal::ErrorKind::NeedsPassphrase);
        let error = age::parse_identities(&file, Some(&words("wrong"))).unwrap_err();
        assert_eq!(error.kind(), consign_seal::ErrorKind::WrongPassphrase);
    }
    let path = folder.path().join("old-cipher");
    ssh_keygen(&keygen, &path, &["-t", "ed25519", "-Z", "aes128-cbc"], "open sesame");
    let file = std::fs::read(&path).unwrap();
    let error = age::parse_identities(&file, Some(&words("open sesame"))).unwrap_err();
    assert_eq!(error.kind(), consign_seal::ErrorKind::UnsupportedKey);
    assert!(error.to_string().contains("ssh-keygen -p -Z"), "{error}");
}
