//! An exchange applied to a cloud that is not ours and enforces policies: MiniStack, an independent
//! emulator with identity, bucket and key policies of its own making. What we apply must read back
//! as applied there, and its users must be able to do what the file declares and nothing else.

use std::path::PathBuf;

use crate::support::ministack::{MiniStack, ROOT};
use crate::support::{both, succeed};

const BUCKET: &str = "acme-to-client";

const EXCHANGE: &str = r#"
version = 1
exchange = "acme-globex"
region = "eu-west-1"
[party.acme]
account = "000000000000"
principal = "user/consign/acme"
[party.globex]
account = "000000000000"
principal = "user/consign/globex"
[lane.to-client]
from = "acme"
to = ["globex"]
bucket = "acme-to-client"
"#;

#[test]
fn ministack_enforces_what_is_applied_as_declared() {
    let tools: (PathBuf, PathBuf, PathBuf) =
        consign_testkit::require!("ministack", "openssl", "aws");
    let (ministack, openssl, aws) = tools;
    let cloud = MiniStack::start(&ministack, &openssl, EXCHANGE);
    succeed(&mut cloud.consign(ROOT, &["apply", "--yes"]));
    // Read back in MiniStack's own spelling, there is nothing left to do.
    succeed(&mut cloud.consign(ROOT, &["plan", "--exit-code"]));

    let key_of = |user: &str| -> Vec<String> {
        let query = "AccessKey.[AccessKeyId,SecretAccessKey]";
        let make = ["iam", "create-access-key", "--user-name", user, "--query", query];
        let mut command = cloud.aws(&aws, ROOT, &make);
        let text = succeed(command.args(["--output", "text"]));
        text.split_whitespace().map(str::to_owned).collect()
    };
    std::fs::write(cloud.folder.path().join("f"), b"across").unwrap();
    let matrix = [("acme", [true, false, false, false]), ("globex", [false, true, true, false])];
    for (party, allowed) in matrix {
        let key = key_of(party);
        let new = format!("{party}-was-here");
        let there = "acme-was-here";
        let object = |call: &'static str, key: &str, rest: &[&str]| -> Vec<String> {
            let words = ["s3api", call, "--bucket", BUCKET, "--key", key];
            words.iter().chain(rest).map(|word| (*word).to_owned()).collect()
        };
        let calls = [
            object("put-object", &new, &["--body", "f"]),
            object("get-object", there, &["got"]),
            ["s3api", "list-objects-v2", "--bucket", BUCKET].map(str::to_owned).to_vec(),
            object("delete-object", there, &[]),
        ];
        for (call, allowed) in calls.iter().zip(allowed) {
            let arguments: Vec<&str> = call.iter().map(String::as_str).collect();
            let output = cloud.aws(&aws, [&key[0], &key[1]], &arguments).output().unwrap();
            let said = both(&output);
            assert_eq!(output.status.success(), allowed, "{party}: {call:?}\n{said}");
            assert!(allowed || said.contains("AccessDenied"), "{party}: {call:?}\n{said}");
        }
    }
    assert_eq!(std::fs::read(cloud.folder.path().join("got")).unwrap(), b"across");
    // Something is there, so access goes and everything else stays.
    let refused = cloud.consign(ROOT, &["destroy", "--yes"]).output().unwrap();
    assert!(both(&refused).contains("still holds objects"), "{}", both(&refused));
    let key = key_of("globex");
    let get = ["s3api", "get-object", "--bucket", BUCKET, "--key", "acme-was-here", "again"];
    let denied = both(&cloud.aws(&aws, [&key[0], &key[1]], &get).output().unwrap());
    assert!(denied.contains("AccessDenied"), "{denied}");
}
