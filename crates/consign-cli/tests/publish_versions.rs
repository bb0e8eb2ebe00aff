//! Keys of a repository that are put again and deleted, compared with what was delivered: under the
//! policies that `consign apply` writes, and under those of before, by which nobody might list versions.

use crate::support::both;
use crate::support::granted::without_allowing;
use crate::support::post;
use crate::support::post::{Post, REPOSITORY, until};
use consign_cloud::iam::Holder;
use serde_json::Value;

const QUEUE: &str = "consign-acme-globex-reports";
const OURS: &str = "admin-111111111111";
const LISTS_VERSIONS: &str = "s3:ListBucketVersions";
/// Two routes: to one each version of a key has a place of its own, to the other all have the same.
const ROUTES: &str = "key = \"new/{key}\"\n\n\
    [route.all]\nfrom = \"reports\"\nto = [\"reports-in\"]\nkey = \"all/{version}/{name}\"\n";

/// Versions, deliveries that had a record, were made, are a newer version's, cannot be made.
fn counts(told: &str) -> [u64; 5] {
    // What could not be delivered is told after it.
    let told = serde_json::Deserializer::from_str(told).into_iter::<Value>().next();
    let told = told.unwrap().unwrap();
    let it = &told[0]["comparison"];
    assert!(it["failed"] == 0, "{told:#}");
    ["objects", "recorded", "delivered", "superseded", "refused"]
        .map(|name| it[name].as_u64().unwrap())
}

/// What was put, in the versions of a key from the oldest to the newest.
struct Versions {
    a: Vec<String>,
    b: String,
    gone: Vec<String>,
}

impl Post {
    /// One key thrice, one once, and one that was deleted after its second version.
    fn put_versions(&self) -> Versions {
        let a = ["a1", "a2", "a3"].map(|content| self.put("a", content.as_bytes()));
        let b = self.put("b", b"b1");
        let gone = ["g1", "g2"].map(|content| self.put("gone", content.as_bytes()));
        let administrator = self.cloud(OURS);
        let deleted = administrator.s3().delete_object(REPOSITORY, "gone", None);
        self.block_on(deleted).unwrap();
        Versions { a: a.into(), b, gone: gone.into() }
    }

    fn backfill(&self, arguments: &[&str]) -> [u64; 5] {
        let fixed = ["--backfill", "--json"];
        let arguments: Vec<&str> = fixed.into_iter().chain(arguments.iter().copied()).collect();
        counts(&self.publish(&arguments))
    }

    fn expect_delivered(&self, expected: &[(String, &str)]) {
        let delivered = self.delivered();
        let found = delivered.iter().map(|(key, content)| (key.clone(), content.clone()));
        let mut expected: Vec<(String, Vec<u8>)> = expected
            .iter()
            .map(|(key, content)| (key.clone(), content.as_bytes().into()))
            .collect();
        expected.sort();
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    /// The two documents as they were before publishers were allowed to list versions.
    fn take_versions_away(&self) {
        let cloud = self.cloud(OURS);
        let policy = self.block_on(cloud.s3().get_bucket_policy(REPOSITORY)).unwrap().unwrap();
        let before = without_versions(&policy);
        self.block_on(cloud.s3().put_bucket_policy(REPOSITORY, &before)).unwrap();
        let (user, name) = (Holder::User("acme"), "consign-acme-globex");
        let policy = self.block_on(cloud.iam().get_policy(user, name)).unwrap().unwrap();
        let before = without_versions(&policy);
        self.block_on(cloud.iam().put_policy(user, name, &before)).unwrap();
    }
}

/// An action is taken out where it is allowed; a deny that names it stays.
fn without_versions(policy: &str) -> String {
    let before = without_allowing(serde_json::from_str(policy).unwrap(), &[LISTS_VERSIONS]);
    let before = before.to_string();
    assert!(before.len() + LISTS_VERSIONS.len() < policy.len(), "{policy}");
    before
}

/// Each version where it has a place of its own, of a place that they share the newest, and nothing of
/// what was deleted; whatever is copied first.
#[test]
fn a_comparison_delivers_each_version_that_has_a_place() {
    let post = Post::new(|text| text + ROUTES);
    let put = post.put_versions();
    // Four versions with a place each, and two keys with one.
    assert_eq!(post.backfill(&[]), [4, 0, 6, 2, 0]);
    let all = |version: &String, name: &str| format!("all/{version}/{name}");
    let delivered = [
        (all(&put.a[0], "a"), "a1"),
        (all(&put.a[1], "a"), "a2"),
        (all(&put.a[2], "a"), "a3"),
        (all(&put.b, "b"), "b1"),
        ("new/a".to_owned(), "a3"),
        ("new/b".to_owned(), "b1"),
    ];
    post.expect_delivered(&delivered);
    assert_eq!(post.backfill(&[]), [4, 6, 0, 2, 0]);
    // The repository listed once for each range of records, where what is superseded is counted once.
    assert_eq!(post.backfill(&["--records-max", "2"]), [4, 6, 0, 2, 0]);
    // One record lost: its delivery is found made.
    let administrator = post.cloud("admin-222222222222");
    let lost = post.record_ids(&post.cloud("globex"))[0].record_key("");
    post.block_on(administrator.s3().delete_object(post::INBOX, &lost, None)).unwrap();
    assert_eq!(post.backfill(&[]), [4, 5, 1, 2, 0]);
    post.expect_delivered(&delivered);

    // The queue still tells of each version by itself. What shares a place with one that is there is a
    // conflict; what was deleted behind a marker is delivered, the first of it.
    let publisher = post.publisher(&["--in-flight", "1"]);
    until("an empty queue", || post.waiting(QUEUE) == 0);
    publisher.stop();
    let dead = post.publish(&["dead", "--json"]);
    let dead: Value = serde_json::from_str(&dead).unwrap();
    let reasons = dead.as_array().unwrap().iter().map(|it| &it["message"]["reasons"][0]);
    let causes: Vec<&str> = reasons.map(|it| it["cause"].as_str().unwrap()).collect();
    assert_eq!(causes, ["conflict"; 3], "{dead:#}");
    let of_gone = post.delivered();
    assert_eq!(of_gone.len(), delivered.len() + 3, "{:?}", of_gone.keys());
    for (version, content) in put.gone.iter().zip(["g1", "g2"]) {
        assert_eq!(of_gone[&all(version, "gone")], content.as_bytes());
    }
}

/// What was delivered first stays: a comparison that finds the key put again says so.
#[test]
fn a_newer_version_does_not_replace_what_was_delivered() {
    let post = Post::new(|text| text);
    post.put("a", b"a1");
    assert_eq!(post.backfill(&[]), [1, 0, 1, 0, 0]);
    post.put("a", b"a2");
    post.put("a", b"a3");
    let arguments = ["publish", "--as", "acme", "--profile", "acme", "--backfill", "--json"];
    let compared = post.deployment.consign(&arguments).output().unwrap();
    assert_eq!(compared.status.code(), Some(1), "{}", both(&compared));
    let told = String::from_utf8(compared.stdout).unwrap();
    assert_eq!(counts(&told), [3, 1, 0, 1, 1], "{told}");
    assert!(told.contains("\"cause\": \"conflict\""), "{told}");
    post.expect_delivered(&[("a".to_owned(), "a1")]);
}

/// A deployment of before: the newest version of each key is found by looking at it, the plan says what is
/// new, and after it the older ones are delivered too.
#[test]
fn a_deployment_of_before_works_and_is_brought_up_to_date() {
    let post = Post::new(|text| text + ROUTES);
    let put = post.put_versions();
    post.take_versions_away();
    assert_eq!(post.backfill(&[]), [2, 0, 4, 0, 0]);
    let all = |version: &String, name: &str| format!("all/{version}/{name}");
    let mut delivered = vec![
        (all(&put.a[2], "a"), "a3"),
        (all(&put.b, "b"), "b1"),
        ("new/a".to_owned(), "a3"),
        ("new/b".to_owned(), "b1"),
    ];
    post.expect_delivered(&delivered);

    let accounts = ["--account-profile", "111111111111=admin-111111111111"];
    let accounts = [&accounts[..], &["--account-profile", "222222222222=admin-222222222222"]];
    let accounts = accounts.concat();
    let consign = |arguments: &[&str]| {
        let mut command = post.deployment.consign(&[arguments, &accounts].concat());
        let output = command.output().unwrap();
        (output.status.code(), both(&output))
    };
    let (_, planned) = consign(&["plan"]);
    assert!(planned.contains("\n! lane `reports`: acme gains list versions\n"), "{planned}");
    assert!(planned.starts_with("2 steps"), "{planned}");
    let (code, asked) = consign(&["apply", "--yes"]);
    assert!(code != Some(0) && asked.contains("--allow-widening"), "{asked}");
    let (code, applied) = consign(&["apply", "--yes", "--allow-widening"]);
    assert_eq!(code, Some(0), "{applied}");
    let (code, planned) = consign(&["plan"]);
    assert!(code == Some(0) && planned.contains("Nothing to do"), "{planned}");

    assert_eq!(post.backfill(&[]), [4, 4, 2, 2, 0]);
    delivered.extend([(all(&put.a[0], "a"), "a1"), (all(&put.a[1], "a"), "a2")]);
    post.expect_delivered(&delivered);
}
