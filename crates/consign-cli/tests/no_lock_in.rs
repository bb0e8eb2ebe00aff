//! Runs the lines of docs/no-lock-in.md as they stand there: what consign sent opens with stock
//! tools alone.

use std::path::Path;

use crate::support::{Deployment, TO_CLIENT, succeed};

/// The shell lines of the page, in order.
fn lines_of_the_page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/no-lock-in.md");
    let text = std::fs::read_to_string(page).unwrap();
    let blocks: Vec<&str> =
        text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 6, "the page shows {} blocks", blocks.len());
    blocks.concat()
}

#[test]
fn stock_tools_open_a_consignment() {
    let (aws, _age, _ssh, _b3sum, _zstd, _tar, _jq) =
        consign_testkit::require!("aws", "age", "ssh-keygen", "b3sum", "zstd", "tar", "jq");
    let deployment = Deployment::new();
    let large: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    deployment.file("scans/scan.bin", &large);
    deployment.file("scans/note ü.txt", b"a note");
    deployment.file("scans/deep/er/empty", b"");
    let sent =
        deployment.run(&["send", "scans", "--lane", "to-client", "--profile", "acme", "--json"]);
    let sent: serde_json::Value = serde_json::from_str(&sent).unwrap();
    let listed = deployment.run(&["keys", "list", "--json"]);
    let keys: serde_json::Value = serde_json::from_str(&listed).unwrap();

    std::fs::create_dir(deployment.path("by-hand")).unwrap();
    let script = format!("set -eu\ncd by-hand\n{}", lines_of_the_page());
    let bin = aws.parent().unwrap().display().to_string();
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
    let said = succeed(
        deployment
            .tool(Path::new("/bin/bash"))
            .args(["-c", &script])
            .env("PATH", path)
            .env("AWS_PROFILE", "globex")
            .env("BUCKET", TO_CLIENT)
            .env("ID", sent["id"].as_str().unwrap())
            .env("IDENTITY", deployment.path("config/consign/keys/globex.identity"))
            .env("SENDER", "acme")
            .env("SIGNER", keys[0]["signer"].as_str().unwrap()),
    );
    assert!(said.contains("Good \"consign-manifest@1\" signature for acme"), "{said}");
    assert_eq!(std::fs::read(deployment.path("by-hand/scan.bin")).unwrap(), large);
    let files = deployment.path("by-hand/files/scans");
    assert_eq!(std::fs::read(files.join("note ü.txt")).unwrap(), b"a note");
    assert_eq!(std::fs::read(files.join("deep/er/empty")).unwrap(), b"");
}
