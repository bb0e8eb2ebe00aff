//! The sink is judged by the clients it is there for.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output};

use super::*;
use crate::payload;

/// Runs the client off the runtime's threads; panics with its words when it fails.
async fn run(command: Command) -> String {
    let shown = format!("{command:?}");
    let output = output(command).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

fn client(tool: &Path, home: &Path) -> Command {
    let mut command = crate::judges::command(tool);
    command.env("HOME", home).env("AWS_ACCESS_KEY_ID", "any").env("AWS_SECRET_ACCESS_KEY", "any");
    command.env("AWS_REGION", "us-east-1").current_dir(home);
    command
}

/// Up, listed, down and the same: one small file, one of several parts, a name with odd characters.
async fn check(tool: &Path, up: &[&str], list: &[&str], down: &[&str]) {
    let sink = Sink::start((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let files = [("a b+ü.bin", 10_000), ("big", 20 << 20), ("empty", 0)];
    std::fs::create_dir(home.path().join("from")).unwrap();
    for (name, bytes) in files {
        std::fs::write(home.path().join("from").join(name), payload::ramp(bytes)).unwrap();
    }
    let command = |arguments: &[&str]| {
        let mut command = client(tool, home.path());
        let endpoint = sink.endpoint();
        command.args(arguments.iter().map(|argument| argument.replace("ENDPOINT", &endpoint)));
        command
    };
    run(command(up)).await;
    assert_eq!(sink.store().objects().len(), files.len());
    assert_eq!(sink.store().unfinished_uploads(), 0);
    let listing = run(command(list)).await;
    for (name, _) in files {
        assert!(listing.contains(name), "{name} is not in {listing}");
    }
    run(command(down)).await;
    for (name, bytes) in files {
        let content = std::fs::read(home.path().join("to").join(name)).unwrap();
        assert!(content == payload::ramp(bytes), "{name} came back different");
    }
}

#[tokio::test]
async fn s5cmd_gets_back_what_it_put() {
    let tool = crate::require!("s5cmd");
    let endpoint = "--endpoint-url=ENDPOINT";
    check(
        &tool,
        &[endpoint, "cp", "--part-size=5", "from/", "s3://bucket/x/"],
        &[endpoint, "ls", "s3://bucket/x/"],
        &[endpoint, "cp", "--part-size=5", "s3://bucket/x/*", "to/"],
    )
    .await;
}

#[tokio::test]
async fn aws_gets_back_what_it_put() {
    let tool = crate::require!("aws");
    let endpoint = "--endpoint-url=ENDPOINT";
    check(
        &tool,
        &[endpoint, "s3", "cp", "--recursive", "from", "s3://bucket/x"],
        &[endpoint, "s3", "ls", "s3://bucket/x/"],
        &[endpoint, "s3", "cp", "--recursive", "s3://bucket/x", "to"],
    )
    .await;
}

#[tokio::test]
async fn rclone_gets_back_what_it_put() {
    let tool = crate::require!("rclone");
    let remote = ":s3,provider=Other,env_auth=true,region=us-east-1,endpoint=\"ENDPOINT\":bucket/x";
    check(
        &tool,
        &["copy", "--s3-upload-cutoff=8M", "from", remote],
        &["lsf", remote],
        &["copy", remote, "to"],
    )
    .await;
}

#[tokio::test]
async fn a_discarding_sink_counts_and_keeps_nothing_big() {
    let tool = crate::require!("s5cmd");
    let sink = Sink::start((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    sink.store().set_discard(true);
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("big"), payload::ramp(1 << 20)).unwrap();
    let mut up = client(&tool, home.path());
    up.args(["--endpoint-url", &sink.endpoint(), "cp", "big", "s3://bucket/big"]);
    run(up).await;
    assert_eq!(sink.store().objects(), [("bucket".to_owned(), "big".to_owned(), 1 << 20)]);
    let mut down = client(&tool, home.path());
    down.args(["--endpoint-url", &sink.endpoint(), "cat", "s3://bucket/big"]);
    assert!(!output(down).await.status.success(), "a dropped body was served");
}

/// A listing of `keys` in pages of `max` through the plain query, as raw key and prefix lists.
async fn pages(keys: &[&str], query: &str, expected: &[&str]) {
    let sink = Sink::start((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    for key in keys {
        let name = ("b".to_owned(), (*key).to_owned());
        sink.store().put(name, store::Body::default(), Vec::new(), false).unwrap();
    }
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let target = format!("/b?list-type=2&{query}{token}");
        let page = raw_get(sink.address, &target).await;
        for (open, close) in [("<Key>", "</Key>"), ("<Prefix>", "</Prefix></CommonPrefixes>")] {
            for rest in page.split(open).skip(1) {
                if let Some((text, _)) = rest.split_once(close).filter(|(t, _)| !t.contains('<')) {
                    found.push(text.to_owned());
                }
            }
        }
        let Some((_, rest)) = page.split_once("<NextContinuationToken>") else { break };
        let next = rest.split('<').next().unwrap();
        token = format!("&continuation-token={next}");
    }
    found.sort();
    assert_eq!(found, expected);
}

async fn raw_get(address: std::net::SocketAddr, target: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn listings_page_through_keys_and_groups() {
    let keys = ["a", "d/1", "d/2", "e/1", "e/2", "f"];
    pages(&keys, "max-keys=1", &keys).await;
    pages(&keys, "max-keys=1&delimiter=/", &["a", "d/", "e/", "f"]).await;
    pages(&keys, "max-keys=2&delimiter=/", &["a", "d/", "e/", "f"]).await;
    pages(&keys, "prefix=d/", &["d/1", "d/2"]).await;
}
