//! What queues say about objects: from S3, SNS and EventBridge. Every key that is read is one that S3
//! could hold, and can be put into a request.
#![no_main]

/// The module alone: its crate brings the AWS SDK along, which would be instrumented for nothing.
#[path = "../../crates/consign-publisher/src/event.rs"]
#[allow(dead_code, reason = "the fuzzer looks at some of it")]
mod event;

use event::{Notice, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(Notice::Events(events)) = parse(text) else { return };
    for event in events.into_iter().flatten() {
        assert!((1..=1024).contains(&event.key.len()));
        assert!((3..=63).contains(&event.bucket.len()));
        let id = event.version_id.unwrap_or_default();
        assert!(id.bytes().all(|byte| byte.is_ascii_graphic()));
    }
});
