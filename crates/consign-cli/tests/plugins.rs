//! Plugins of age: a real program in another process, which `age` itself runs as well.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::{self, both, succeed};

/// `age-plugin-xor`: wraps a file key by turning its bits over, which protects nothing and shows
/// everything. With MOOD it misbehaves.
const PLUGIN: &str = r#"#!/usr/bin/env python3
import base64, os, sys

LETTERS = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'

def bech32(prefix, data):
    def sum_of(values):
        total = 1
        for value in values:
            top = total >> 25
            total = (total & 0x1ffffff) << 5 ^ value
            for bit, gen in enumerate([0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]):
                total ^= gen if top >> bit & 1 else 0
        return total
    bits = ''.join(f'{byte:08b}' for byte in data)
    bits += '0' * (-len(bits) % 5)
    values = [int(bits[at:at + 5], 2) for at in range(0, len(bits), 5)]
    spread = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    check = sum_of(spread + values + [0] * 6) ^ 1
    values += [check >> 5 * (5 - at) & 31 for at in range(6)]
    return prefix + '1' + ''.join(LETTERS[value] for value in values)

def hear():
    words = sys.stdin.readline().rstrip('\n').split(' ')[1:]
    body = ''
    while True:
        line = sys.stdin.readline().rstrip('\n')
        body += line
        if len(line) < 64:
            return words, base64.b64decode(body + '=' * (-len(body) % 4))

def say(*words, body=b''):
    text = base64.b64encode(body).decode().rstrip('=')
    lines = [text[at:at + 64] for at in range(0, len(text), 64)] or ['']
    if len(lines[-1]) == 64:
        lines.append('')
    print('-> ' + ' '.join(words), *lines, sep='\n', flush=True)

def ask(*words, body=b''):
    say(*words, body=body)
    return hear()

def turned(data):
    return bytes(byte ^ 0xff for byte in data)

mood = os.environ.get('MOOD')
if sys.argv[1] == '--generate':
    print(bech32('age1xor', b'public'), bech32('age-plugin-xor-', b'secret').upper())
    sys.exit()
recipients, keys, stanzas = 0, [], []
while True:
    words, body = hear()
    if words[0] == 'done':
        break
    recipients += words[0] in ('add-recipient', 'add-identity')
    if words[0] == 'wrap-file-key':
        keys.append(body)
    if words[0] == 'recipient-stanza':
        stanzas.append((words[2:], body))
if mood == 'ends':
    sys.exit()
if mood == 'babbles':
    print('hello', flush=True)
    sys.exit()
if mood == 'refuses':
    ask('error', 'internal', body=b'the token is \x1b[31mnot there')
elif sys.argv[1] == '--age-plugin=recipient-v1':
    ask('msg', body=b'wrapping')
    assert ask('greased-lightning', 'x')[0] == ['unsupported']
    for at in range(recipients):
        assert ask('recipient-stanza', '0', 'xor', str(at), body=turned(keys[0]))[0] == ['ok']
else:
    for words, body in stanzas:
        if words[0] == 'xor':
            assert ask('file-key', '0', body=turned(body))[0] == ['ok']
            break
say('done')
"#;

struct Bench {
    folder: tempfile::TempDir,
    recipient: String,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("age-plugin-xor");
        std::fs::write(&program, PLUGIN).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, mode).unwrap();
        let made = succeed(Command::new(&program).arg("--generate"));
        let (recipient, identity) = made.trim().split_once(' ').unwrap();
        std::fs::write(folder.path().join("id"), format!("{identity}\n")).unwrap();
        std::fs::write(folder.path().join("plain"), b"content").unwrap();
        Bench { recipient: recipient.to_owned(), folder }
    }

    fn place(&self, mut command: Command) -> Command {
        let path = std::env::var("PATH").unwrap();
        command.current_dir(self.folder.path()).env("HOME", self.folder.path());
        command.env("PATH", format!("{}:{path}", self.folder.path().display()));
        command
    }

    fn consign(&self, arguments: &[&str]) -> Command {
        let mut command = support::consign();
        command.args(arguments);
        self.place(command)
    }
}

#[test]
fn a_plugin_seals_and_opens_and_age_agrees() {
    let (age, _python) = consign_testkit::require!("age", "python3");
    let bench = Bench::new();
    succeed(&mut bench.consign(&["seal", "plain", "--to", &bench.recipient]));
    let opened = succeed(&mut bench.consign(&["open", "plain.age", "-i", "id"]));
    assert_eq!(opened, "content");
    let mut stock = Command::new(&age);
    stock.args(["-d", "-i", "id", "plain.age"]);
    assert_eq!(succeed(&mut bench.place(stock)), "content");
    let mut stock = Command::new(&age);
    stock.args(["-r", &bench.recipient, "-o", "theirs.age", "plain"]);
    succeed(&mut bench.place(stock));
    let opened = succeed(&mut bench.consign(&["open", "theirs.age", "-i", "id"]));
    assert_eq!(opened, "content");
}

#[test]
fn a_plugin_that_misbehaves_is_an_error_and_leaves_nothing() {
    let _python = consign_testkit::require!("python3");
    let bench = Bench::new();
    for (mood, words) in [
        ("ends", "ended in the middle"),
        ("babbles", "does not speak the protocol"),
        ("refuses", "the token is \\u{1b}[31mnot there"),
    ] {
        let mut command = bench.consign(&["seal", "plain", "--to", &bench.recipient]);
        let output = command.env("MOOD", mood).output().unwrap();
        assert!(!output.status.success(), "{mood}");
        assert!(both(&output).contains(words), "{mood}: {}", both(&output));
        assert!(!bench.folder.path().join("plain.age").exists());
    }
    std::fs::remove_file(bench.folder.path().join("age-plugin-xor")).unwrap();
    let output = bench.consign(&["seal", "plain", "--to", &bench.recipient]).output().unwrap();
    assert!(both(&output).contains("install age-plugin-xor"), "{}", both(&output));
}
