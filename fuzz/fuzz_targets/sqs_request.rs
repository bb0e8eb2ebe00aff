//! Requests to SQS: the JSON of every operation, ARNs, URLs, receipt handles, redrive policies.
#![no_main]

use consign_local::sqs::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzzing::request(bytes));
