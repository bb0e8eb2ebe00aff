//! A partner who keeps his GnuPG key: what `consign` sends on an OpenPGP lane he opens with `gpg`, by
//! the lines of docs/no-lock-in.md, or receives with `consign` and the key that `gpg` exported.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::{Deployment, TO_CLIENT, succeed};

/// `gpg` with a home of its own.
fn gpg(tool: &Path, home: &Path) -> Command {
    let mut command = consign_testkit::judges::command(tool);
    command.env("GNUPGHOME", home).args(["--batch", "--no-tty", "--quiet"]);
    command
}

#[test]
fn gnupg_opens_what_an_openpgp_lane_holds() {
    let (gpg_tool, aws, _ssh, _b3sum, _zstd, _jq) =
        consign_testkit::require!("gpg", "aws", "ssh-keygen", "b3sum", "zstd", "jq");
    let home = tempfile::Builder::new().prefix("gpg-").tempdir_in("/tmp").unwrap();
    let home = home.path();
    let make =
        ["--passphrase", "", "--quick-generate-key", "globex", "rsa3072", "default", "never"];
    succeed(gpg(&gpg_tool, home).args(make));
    // A subkey to encrypt to, as most people's keys have one.
    let listed = succeed(gpg(&gpg_tool, home).args(["--with-colons", "--list-keys", "globex"]));
    let fingerprint = listed.lines().find_map(|line| line.strip_prefix("fpr:")).unwrap();
    let fingerprint = fingerprint.trim_matches(':').to_owned();
    if !listed.lines().any(|line| line.starts_with("sub:")) {
        let add = ["--passphrase", "", "--quick-add-key", &fingerprint, "rsa3072", "encr", "never"];
        succeed(gpg(&gpg_tool, home).args(add));
    }

    let deployment = Deployment::with(|text| {
        text.replacen("\nto = [\"globex\"]", "\nseal = \"openpgp\"\nto = [\"globex\"]", 1)
    });
    let send = ["send", "scans", "--lane", "to-client", "--profile", "acme", "--json"];
    let large: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    deployment.file("scans/scan.bin", &large);
    deployment.file("scans/note ü.txt", b"a note");
    assert!(deployment.fail(2, &send).contains("openpgp:FINGERPRINT"));
    let file = deployment.path("exchange.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, globex) = text.split_at(text.find("[party.globex]").unwrap());
    let pinned = format!("recipients = [\"openpgp:{fingerprint}\", ");
    let text = format!("{before}{}", globex.replacen("recipients = [", &pinned, 1));
    std::fs::write(&file, text).unwrap();
    assert!(deployment.fail(2, &send).contains("is not here"));

    let keys = deployment.path("config/consign/keys");
    let export = |name: &str, arguments: &[&str]| {
        let out = keys.join(name);
        succeed(gpg(&gpg_tool, home).arg("--output").arg(&out).args(arguments));
        std::fs::set_permissions(&out, PermissionsExt::from_mode(0o600)).unwrap();
    };
    export("globex.openpgp", &["--armor", "--export", "globex"]);
    let sent: serde_json::Value = serde_json::from_str(&deployment.run(&send)).unwrap();
    let id = sent["id"].as_str().unwrap();

    let listed = deployment.run(&["keys", "list", "--json"]);
    let signers: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/no-lock-in.md");
    let page = std::fs::read_to_string(page).unwrap();
    let block = page.split("```sh openpgp\n").nth(1).unwrap().split("```").next().unwrap();
    std::fs::create_dir(deployment.path("by-hand")).unwrap();
    let path = format!("{}:{}", aws.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let said = succeed(
        deployment
            .tool(Path::new("/bin/bash"))
            .args(["-c", &format!("set -eu\ncd by-hand\n{block}")])
            .env("PATH", path)
            .env("GNUPGHOME", home)
            .env("AWS_PROFILE", "globex")
            .env("BUCKET", TO_CLIENT)
            .env("ID", id)
            .env("SENDER", "acme")
            .env("SIGNER", signers[0]["signer"].as_str().unwrap()),
    );
    assert!(said.contains("Good \"consign-manifest@1\" signature for acme"), "{said}");
    assert_eq!(std::fs::read(deployment.path("by-hand/files/scans/scan.bin")).unwrap(), large);

    let receive = ["receive", "--lane", "to-client", "--into", "inbox", "--profile", "globex"];
    assert!(deployment.fail(2, &receive).contains("gpg --export-secret-keys"));
    export("globex.openpgp-secret", &["--export-secret-keys", "globex"]);
    deployment.run(&receive);
    let inbox = deployment.path("inbox").join(id).join("scans");
    assert_eq!(std::fs::read(inbox.join("scan.bin")).unwrap(), large);
    assert_eq!(std::fs::read(inbox.join("note ü.txt")).unwrap(), b"a note");
    // An agent that gpg started would keep its folder busy; where there is none, that is fine.
    let _ended = Command::new("gpgconf").env("GNUPGHOME", home).args(["--kill", "all"]).status();
}
