//! What AWS Lambda hands over: no message of a batch is forgotten, whatever is wrong with it.
#![no_main]

/// The module alone: its crate brings the AWS SDK along, which would be instrumented for nothing.
#[path = "../../crates/consign-publisher/src/batch.rs"]
mod batch;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Some(batch) = batch::parse(bytes) else { return };
    // What is not read may be what no value holds: text that is none, a number without bounds. And serde takes
    // a list for the fields of a structure in their order.
    if let Ok(value @ Value::Object(_)) = serde_json::from_slice(bytes) {
        assert_eq!(Some(batch.len()), value["Records"].as_array().map(Vec::len));
    }
    for handed in &batch {
        assert!(handed.message.as_ref().is_none_or(|message| message.receive_count >= 1));
        assert!(handed.message.as_ref().is_none_or(|message| !message.queue.contains(':')));
    }
    let again = batch.iter().map(|handed| handed.id.clone()).collect();
    let answer: Value = serde_json::from_str(&batch::answer(&again)).unwrap();
    assert_eq!(answer["batchItemFailures"].as_array().map(Vec::len), Some(again.len()));
});
