//! Other people's programs judge: what is sealed or signed here they open or verify, and the
//! reverse. Each test skips visibly where its judge is missing.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output};

use crate::common::{EDGE_LENGTHS, judge, ramp, run, succeed, write};
use consign_seal::ErrorKind;
use consign_seal::age::{self, ArmorWriter, Identity, OpenReader, SealWriter};
use consign_seal::sshsig::{self, SigningKey, VerifyingKey};

const NAMESPACE: &str = "consign-manifest@1";

#[test]
fn age_opens_what_we_seal() {
    let Some(age_program) = judge("age") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let identity_file = folder.path().join("identity");
    let (ours, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    write(&identity_file, ours.secret_text().as_bytes());
    for length in EDGE_LENGTHS {
        let plain = ramp(length);
        let recipients = [other.to_recipient(), ours.to_recipient()];
        let sealed = age::seal_all(&recipients, &plain).unwrap();
        let mut streamed = SealWriter::new(Vec::new(), &recipients).unwrap();
        streamed.write_all(&plain).unwrap();
        let streamed = streamed.finish().unwrap();
        let mut armored = ArmorWriter::new(Vec::new()).unwrap();
        armored.write_all(&sealed).unwrap();
        let armored = armored.finish().unwrap();
        for form in [sealed, streamed, armored] {
            let mut command = Command::new(&age_program);
            command.arg("-d").arg("-i").arg(&identity_file);
            assert!(succeed(&mut command, &form) == plain, "{length} bytes");
        }
    }
}

#[test]
fn we_open_what_age_seals() {
    let Some(age_program) = judge("age") else { return };
    let (ours, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    for length in EDGE_LENGTHS {
        let plain = ramp(length);
        for armor in [false, true] {
            let mut command = Command::new(&age_program);
            command.args(["-r", &other.to_recipient().to_string()]);
            command.args(["-r", &ours.to_recipient().to_string()]);
            command.args(armor.then_some("-a"));
            let sealed = succeed(&mut command, &plain);
            let identities = [Identity::generate().unwrap(), ours.clone()];
            assert!(age::open_all(&identities, &sealed).unwrap() == plain, "{length} bytes");
            let mut streamed = Vec::new();
            let mut reader = OpenReader::new(sealed.as_slice(), &identities).unwrap();
            reader.read_to_end(&mut streamed).unwrap();
            assert!(streamed == plain, "{length} bytes");
            let stranger = [Identity::generate().unwrap()];
            let refused = age::open_all(&stranger, &sealed).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::NotForYou);
        }
    }
}

#[test]
fn we_read_keys_of_age_keygen() {
    let Some(keygen) = judge("age-keygen") else { return };
    let file = String::from_utf8(succeed(&mut Command::new(&keygen), b"")).unwrap();
    let identities = age::parse_identity_file(&file).unwrap();
    let public = file.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    assert_eq!(identities[0].to_recipient().to_string(), public);
    assert!(file.contains(identities[0].secret_text().as_str()));

    let ours = Identity::generate().unwrap();
    let mut command = Command::new(&keygen);
    let said = succeed(command.arg("-y"), ours.secret_text().as_bytes());
    assert_eq!(String::from_utf8(said).unwrap().trim(), ours.to_recipient().to_string());
}

#[test]
fn we_recognise_what_age_seals_for_an_ssh_key() {
    let (Some(age_program), Some(_)) = (judge("age"), judge("ssh-keygen")) else { return };
    let key = SigningKey::generate().unwrap();
    let ours = Identity::generate().unwrap();
    let mut command = Command::new(&age_program);
    command.args(["-r", &key.public_line("")]);
    let for_ssh_alone = succeed(&mut command, b"x");
    command.args(["-r", &ours.to_recipient().to_string()]);
    let for_both = succeed(&mut command, b"x");
    // A stanza of a type unknown here is skipped, not refused.
    assert_eq!(age::open_all(std::slice::from_ref(&ours), &for_both).unwrap(), b"x");
    let error = age::open_all(&[ours], &for_ssh_alone).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotForYou);
    assert!(error.to_string().contains("1 × ssh-ed25519"), "{error}");
}

/// `ssh-keygen -Y verify` with an allowed signers file for `key`.
fn ssh_verify(
    program: &Path,
    key: &VerifyingKey,
    namespace: &str,
    message: &[u8],
    sig: &str,
) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let (signers, signature) = (folder.path().join("signers"), folder.path().join("sig"));
    write(&signers, format!("acme namespaces=\"{NAMESPACE}\" {key}\n").as_bytes());
    write(&signature, sig.as_bytes());
    let mut command = Command::new(program);
    command.args(["-Y", "verify", "-I", "acme", "-n", namespace]);
    command.arg("-f").arg(&signers).arg("-s").arg(&signature);
    run(&mut command, message)
}

#[test]
fn ssh_keygen_verifies_what_we_sign() {
    let Some(program) = judge("ssh-keygen") else { return };
    let key = SigningKey::generate().unwrap();
    for length in [0, 1, 300, 100_000] {
        let message = ramp(length);
        let signature = sshsig::sign(&key, NAMESPACE, &message).unwrap();
        let good = ssh_verify(&program, &key.verifying_key(), NAMESPACE, &message, &signature);
        assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
        // The judge is awake: it refuses the same for other content and for another key.
        let other = ssh_verify(&program, &key.verifying_key(), NAMESPACE, b"other", &signature);
        assert!(!other.status.success());
        let stranger = SigningKey::generate().unwrap().verifying_key();
        let refused = ssh_verify(&program, &stranger, NAMESPACE, &message, &signature);
        assert!(!refused.status.success());
    }
}

#[test]
fn ssh_keygen_signs_with_our_key_file_and_we_verify() {
    let Some(program) = judge("ssh-keygen") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("signing-key");
    // Comments of every length modulo the padding.
    for comment in ["", "a", "ab", "abc", "acme@example", "abcdef", "abcdefg", "Käse ☂"] {
        let key = SigningKey::generate().unwrap();
        write(&path, key.to_openssh_private(comment).as_bytes());
        let again = SigningKey::from_openssh(&key.to_openssh_private(comment)).unwrap();
        assert_eq!(again.verifying_key(), key.verifying_key());

        let mut command = Command::new(&program);
        let printed = succeed(command.arg("-y").arg("-f").arg(&path), b"");
        let printed = String::from_utf8(printed).unwrap();
        assert_eq!(printed.trim_end(), key.public_line(comment));
        let mut command = Command::new(&program);
        let listed = succeed(command.arg("-l").arg("-f").arg(&path), b"");
        let listed = String::from_utf8(listed).unwrap();
        assert!(listed.contains(&key.verifying_key().fingerprint()), "{listed}");

        for hash in ["sha256", "sha512"] {
            let mut command = Command::new(&program);
            command.args(["-Y", "sign", "-n", NAMESPACE, "-O", &format!("hashalg={hash}")]);
            let signature = succeed(command.arg("-f").arg(&path), b"the message");
            let signature = String::from_utf8(signature).unwrap();
            let keys = [SigningKey::generate().unwrap().verifying_key(), key.verifying_key()];
            assert_eq!(sshsig::verify(&keys, NAMESPACE, b"the message", &signature).unwrap(), 1);
            let error = sshsig::verify(&keys, NAMESPACE, b"another", &signature).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadSignature);
            let error = sshsig::verify(&keys, "file", b"the message", &signature).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WrongNamespace);
            let error = sshsig::verify(&keys[..1], NAMESPACE, b"the message", &signature);
            assert_eq!(error.unwrap_err().kind(), ErrorKind::WrongSigner);
        }
    }
}

#[test]
fn we_read_key_files_of_ssh_keygen() {
    let Some(program) = judge("ssh-keygen") else { return };
    let folder = tempfile::tempdir().unwrap();
    let generate = |name: &str, kind: &str, passphrase: &str| {
        let path = folder.path().join(name);
        let mut command = Command::new(&program);
        command.args(["-q", "-t", kind, "-N", passphrase, "-C", "of the test"]);
        succeed(command.arg("-f").arg(&path), b"");
        let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        (std::fs::read_to_string(&path).unwrap(), public)
    };
    let (private, public) = generate("plain", "ed25519", "");
    let key = SigningKey::from_openssh(&private).unwrap();
    assert_eq!(key.verifying_key(), VerifyingKey::parse(&public).unwrap());
    assert_eq!(key.public_line("of the test"), public.trim_end());
    let signature = sshsig::sign(&key, NAMESPACE, b"m").unwrap();
    assert!(
        ssh_verify(&program, &key.verifying_key(), NAMESPACE, b"m", &signature).status.success()
    );

    let (locked, _) = generate("locked", "ed25519", "a passphrase");
    let error = SigningKey::from_openssh(&locked).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedKey);
    assert!(error.to_string().contains("ssh-keygen -p"), "{error}");

    let (other, public) = generate("other", "ecdsa", "");
    assert_eq!(SigningKey::from_openssh(&other).unwrap_err().kind(), ErrorKind::UnsupportedKey);
    assert_eq!(VerifyingKey::parse(&public).unwrap_err().kind(), ErrorKind::UnsupportedKey);
    // A signature by a key of another type is by a signer we do not expect.
    let mut command = Command::new(&program);
    command.args(["-Y", "sign", "-n", NAMESPACE]).arg("-f").arg(folder.path().join("other"));
    let signature = String::from_utf8(succeed(&mut command, b"m")).unwrap();
    let error = sshsig::verify(&[key.verifying_key()], NAMESPACE, b"m", &signature).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongSigner);
}
