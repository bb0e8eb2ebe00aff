//! The stock AWS CLI on an applied exchange: with each party's keys it can do exactly its part, and
//! S3's own error codes say so for the rest.

use std::path::Path;
use std::process::Command;

use crate::support::{Deployment, FROM_CLIENT, TO_CLIENT, both, succeed};

/// What each party may do in each bucket: put, get, list, delete.
const MATRIX: [(&str, &str, [bool; 4]); 4] = [
    ("acme", TO_CLIENT, [true, false, false, false]),
    ("globex", TO_CLIENT, [false, true, true, false]),
    ("acme", FROM_CLIENT, [false, true, true, false]),
    ("globex", FROM_CLIENT, [true, false, false, false]),
];

fn aws(deployment: &Deployment, tool: &Path, profile: &str, arguments: &[&str]) -> Command {
    let mut command = deployment.tool(tool);
    command.args(arguments).args(["--profile", profile]);
    command
}

fn check(command: &mut Command, allowed: bool) {
    let output = command.output().unwrap();
    let said = both(&output);
    if allowed {
        assert!(output.status.success(), "{command:?}\n{said}");
    } else {
        assert!(!output.status.success(), "{command:?} must be denied\n{said}");
        let denied = said.contains("AccessDenied") || said.contains("(403)");
        assert!(denied, "{command:?} must be denied as S3 denies:\n{said}");
    }
}

#[test]
fn the_matrix_holds_for_the_aws_cli() {
    let tool = consign_testkit::require!("aws");
    let deployment = Deployment::new();
    deployment.file("f", b"from the AWS CLI");
    for (writer, bucket) in [("acme", TO_CLIENT), ("globex", FROM_CLIENT)] {
        let to = format!("s3://{bucket}/delivered");
        succeed(&mut aws(&deployment, &tool, writer, &["s3", "cp", "f", &to]));
    }
    for (party, bucket, [put, get, list, delete]) in MATRIX {
        let (there, new) =
            (format!("s3://{bucket}/delivered"), format!("s3://{bucket}/{party}-was-here"));
        check(&mut aws(&deployment, &tool, party, &["s3", "cp", "f", &new]), put);
        check(&mut aws(&deployment, &tool, party, &["s3", "cp", &there, "got"]), get);
        check(&mut aws(&deployment, &tool, party, &["s3", "ls", &format!("s3://{bucket}/")]), list);
        check(&mut aws(&deployment, &tool, party, &["s3", "rm", &there]), delete);
    }
    assert_eq!(std::fs::read(deployment.path("got")).unwrap(), b"from the AWS CLI");
}

#[test]
fn what_the_aws_cli_puts_lies_under_the_lane_s_key_without_a_flag() {
    let tool = consign_testkit::require!("aws");
    let deployment = Deployment::new();
    // Above 8 MiB the AWS CLI uploads in parts.
    let large: Vec<u8> = (0..25_000_000_u32).map(|n| (n % 251) as u8).collect();
    deployment.file("large", &large);
    deployment.file("small", b"small");
    let alias = [
        "kms",
        "describe-key",
        "--key-id",
        "alias/consign/acme-globex/to-client",
        "--query",
        "KeyMetadata.Arn",
        "--output",
        "text",
    ];
    let key = succeed(&mut aws(&deployment, &tool, "admin-111111111111", &alias));
    for name in ["large", "small"] {
        let to = format!("s3://{TO_CLIENT}/{name}");
        succeed(&mut aws(&deployment, &tool, "acme", &["s3", "cp", name, &to]));
        let head = ["s3api", "head-object", "--bucket", TO_CLIENT, "--key", name];
        let head: serde_json::Value =
            serde_json::from_str(&succeed(&mut aws(&deployment, &tool, "globex", &head))).unwrap();
        assert_eq!(head["ServerSideEncryption"], "aws:kms");
        assert_eq!(head["SSEKMSKeyId"], key.trim());
        succeed(&mut aws(&deployment, &tool, "globex", &["s3", "cp", &to, "back"]));
        let back = std::fs::read(deployment.path("back")).unwrap();
        assert!(back == std::fs::read(deployment.path(name)).unwrap(), "{name} came back changed");
    }
}
