//! A partner who opens objects of Amazon's S3 Encryption Client with an RSA key: `openssl` makes it, the
//! exchange file has its public half, and no secret is handed over.

use std::os::unix::fs::PermissionsExt;

use crate::support::{Deployment, succeed};

#[test]
fn a_lane_is_sealed_to_an_rsa_key_that_openssl_made() {
    let openssl = consign_testkit::require!("openssl");
    let deployment = Deployment::with(|text| {
        let fields = "\nseal = \"s3ec\"\nkeyring = \"rsa\"\nto = [\"globex\"]";
        text.replacen("\nto = [\"globex\"]", fields, 1)
    });
    deployment.file("scans/scan.bin", &vec![7; 3 << 20]);
    deployment.file("scans/note.txt", b"a note");
    let send = ["send", "scans", "--lane", "to-client", "--profile", "acme"];
    assert!(deployment.fail(2, &send).contains("openssl pkey -in KEY -pubout"));

    let key = deployment.path("config/consign/keys/globex.rsa-secret");
    let run = |arguments: &[&str]| {
        let output = consign_testkit::judges::command(&openssl).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let (key_text, public) = (key.to_str().unwrap(), deployment.path("public.pem"));
    let bits = "rsa_keygen_bits:3072";
    run(&["genpkey", "-algorithm", "RSA", "-pkeyopt", bits, "-out", key_text]);
    run(&["pkey", "-in", key_text, "-pubout", "-out", public.to_str().unwrap()]);
    // Between the lines of a PEM file stands the base64 of the DER.
    let pem = std::fs::read_to_string(public).unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let file = deployment.path("exchange.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, globex) = text.split_at(text.find("[party.globex]").unwrap());
    let with_key = format!("recipients = [\"rsa:{base64}\", ");
    std::fs::write(&file, before.to_owned() + &globex.replacen("recipients = [", &with_key, 1))
        .unwrap();
    deployment.run(&send);

    let receive = ["receive", "--lane", "to-client", "--into", "inbox", "--profile", "globex"];
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    assert!(deployment.fail(2, &receive).contains("chmod 600"));
    std::fs::rename(&key, deployment.path("aside")).unwrap();
    assert!(deployment.fail(2, &receive).contains("globex.rsa-secret"));
    std::fs::rename(deployment.path("aside"), &key).unwrap();
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    succeed(&mut deployment.consign(&receive));
    let received = std::fs::read_dir(deployment.path("inbox")).unwrap().next().unwrap().unwrap();
    let scans = received.path().join("scans");
    assert!(std::fs::read(scans.join("scan.bin")).unwrap() == vec![7; 3 << 20]);
    assert_eq!(std::fs::read(scans.join("note.txt")).unwrap(), b"a note");
}
