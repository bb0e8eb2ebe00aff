//! A delivery record as a hostile publisher could sign it: what passes reads as it is written, and is
//! found under the key that it says.
#![no_main]

use consign_model::{DeliveryId, DeliveryRecord};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = DeliveryRecord::parse(bytes) {
        assert_eq!(DeliveryRecord::parse(&record.to_bytes()).unwrap(), record);
        let key = record.id().record_key("in/");
        assert_eq!(DeliveryId::of_record_key("in/", &key), Some(record.id()));
    }
});
