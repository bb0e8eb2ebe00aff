//! What AWS Lambda hands over: no message of a batch is forgotten, whatever is wrong with it.
#![no_main]

/// The module alone: its crate brings the AWS SDK along, which would be instrumented for nothing.
#[path = "../../crates/consign-publisher/src/batch.rs"]
mod batch;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(batch) = batch::parse(bytes) else { return };
    let value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    assert_eq!(Some(batch.len()), value["Records"].as_array().map(Vec::len));
    for handed in &batch {
        assert!(handed.message.as_ref().is_none_or(|message| message.receive_count >= 1));
        assert!(handed.message.as_ref().is_none_or(|message| !message.queue.contains(':')));
    }
    let again = batch.iter().map(|handed| handed.id.clone()).collect();
    let answer: serde_json::Value = serde_json::from_str(&batch::answer(&again)).unwrap();
    assert_eq!(answer["batchItemFailures"].as_array().map(Vec::len), Some(again.len()));
});
