//! XML bodies and header values of S3 requests: multipart completions, bulk deletes, bucket
//! settings, notifications, tags, ranges, dates.
#![no_main]

use consign_local::s3::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fuzzing::document(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        fuzzing::header(text);
    }
});
