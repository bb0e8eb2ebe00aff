//! `consign explain`: a sentence first, then every statement.

use crate::support::{FROM_CLIENT, TO_CLIENT, both, consign, succeed};
use serde_json::Value;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        succeed(consign().current_dir(folder.0.path()).args(["init", "--template", "two-way"]));
        folder
    }

    fn explain(&self, arguments: &[&str]) -> std::process::Output {
        consign().current_dir(self.0.path()).arg("explain").args(arguments).output().unwrap()
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = self.explain(arguments);
        assert!(output.status.success(), "{}", both(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn refuses(&self, arguments: &[&str], words: &str) {
        let output = self.explain(arguments);
        assert_eq!(output.status.code(), Some(2), "{}", both(&output));
        assert!(both(&output).contains(words), "{}", both(&output));
    }
}

#[test]
fn a_request_is_explained_as_a_sentence_and_a_tree() {
    let folder = Folder::new();
    let object = format!("s3://{TO_CLIENT}/report.pdf");
    let page = folder.says(&["--as", "globex", "s3:PutObject", &object]);
    let first = page.lines().next().unwrap();
    assert!(first.starts_with(&format!("globex may not s3:PutObject on {object}: ")), "{page}");
    assert!(page.contains("✗ Principal") || page.contains("✗ "), "{page}");
    let page = folder.says(&["--as", "acme", "s3:PutObject", &object]);
    assert!(page.starts_with(&format!("acme may s3:PutObject on {object}: ")), "{page}");
    assert!(page.contains("kms:GenerateDataKey"), "the key has a say:\n{page}");
    let page = folder.says(&["--as", "globex", "GetObject", &object, "--http"]);
    assert!(page.contains("aws:SecureTransport is \"false\""), "{page}");
    assert!(page.lines().next().unwrap().contains("may not"), "{page}");
}

#[test]
fn every_way_to_name_the_same_thing_gets_the_same_answer() {
    let folder = Folder::new();
    let url = format!("s3://{FROM_CLIENT}/x");
    let arn = format!("arn:aws:s3:::{FROM_CLIENT}/x");
    let allowed = |arguments: &[&str]| -> Value {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let answer: Value = serde_json::from_str(&folder.says(&arguments)).unwrap();
        answer["allowed"].clone()
    };
    for resource in [url.as_str(), arn.as_str()] {
        for action in ["PutObject", "s3:PutObject", "s3:putobject", "UploadPart"] {
            assert_eq!(allowed(&["--as", "globex", action, resource]), true, "{action}");
            assert_eq!(allowed(&["--as", "acme", action, resource]), false, "{action}");
        }
    }
    assert_eq!(allowed(&["--as", "acme", "GetObjectVersion", &url]), true);
    assert_eq!(allowed(&["--as", "acme", "ListObjectsV2", &format!("s3://{FROM_CLIENT}")]), true);
    assert_eq!(allowed(&["--as", "acme", "kms:Decrypt", &url]), true);
    let wrong = "s3:x-amz-server-side-encryption=AES256";
    assert_eq!(allowed(&["--as", "globex", "PutObject", &url, "--with", wrong]), false);
    for who in ["arn:aws:iam::999999999999:role/x", "*", "111111111111"] {
        assert_eq!(allowed(&["--principal", who, "GetObject", &url]), false, "{who}");
    }
}

#[test]
fn what_the_exchange_does_not_have_is_refused_with_what_it_has() {
    let folder = Folder::new();
    let url = format!("s3://{TO_CLIENT}/x");
    folder.refuses(&["PutObject", &url], "--as PARTY");
    folder.refuses(&["--as", "nobody", "PutObject", &url], "--as acme");
    folder.refuses(&["--as", "acme", "PutObject", "s3://elsewhere/x"], TO_CLIENT);
    folder.refuses(&["--as", "acme", "PutObject", "x"], "s3://BUCKET/KEY");
    folder.refuses(&["--as", "acme", "PutObjekt", &url], "PutObjekt");
    folder.refuses(&["--as", "acme", "PutObj", &url], "PutObject");
    folder.refuses(&["--as", "acme", "PutObject", &format!("s3://{TO_CLIENT}")], "object");
    folder.refuses(&["--as", "acme", "PutObject", &url, "--with", "x"], "KEY=VALUE");
    folder.refuses(&["--principal", "me", "PutObject", &url], "--principal");
}
