//! The first thing that anybody on the network can make the local cloud read: who claims to ask.
#![no_main]

use consign_local::gate::claim::Claim;
use consign_local::gate::uri;
use libfuzzer_sys::fuzz_target;

// Path and query, then the headers that matter, one a line.
fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let target = lines.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let _ = uri::decode_path(path);
    let Ok(query) = uri::decode_query(query) else { return };
    let canonical = uri::canonical_query(&query, None);
    let again = uri::decode_query(&canonical).expect("a canonical query can be read");
    assert_eq!(uri::canonical_query(&again, None), canonical);
    let names =
        ["authorization", "x-amz-date", "date", "x-amz-content-sha256", "x-amz-security-token"];
    let mut request = http::Request::builder().uri("/");
    for (name, value) in names.iter().zip(lines) {
        request = request.header(*name, value);
    }
    let Ok(request) = request.body(()) else { return };
    let _ = Claim::read(&request.into_parts().0, &query);
});
