//! A real S3 server and a bad line to it, for the tests in this folder.

pub(crate) mod line;
pub(crate) mod weed;

use std::collections::BTreeSet;
use std::sync::Mutex;

use consign_cloud::{Cloud, Credentials, Settings, Timeouts};
use consign_transfer::{
    Buffer, Buffers, Crc64, Part, PartLayout, PartSink, PartSource, SinkError, SourceError,
};

/// A client of the server, or of the line to it.
pub(crate) async fn connect(endpoint: &str, idle_ms: u64) -> Cloud {
    let settings = Settings {
        endpoint: Some(endpoint.to_owned()),
        region: Some("us-east-1".to_owned()),
        explicit_credentials: Some(Credentials::new(weed::KEY_ID, weed::SECRET, None)),
        timeouts: Timeouts {
            idle: std::time::Duration::from_millis(idle_ms),
            ..Timeouts::default()
        },
        ..Settings::default()
    };
    Cloud::connect(&settings).await.expect("connect")
}

/// A ramp of prime period, made on the fly: a part that is misplaced shows, and no test holds the
/// whole.
pub(crate) struct Ramp {
    pub(crate) layout: PartLayout,
    pub(crate) buffers: Buffers,
}

pub(crate) fn fill(start: u64, bytes: &mut [u8]) {
    let mut value = (start % 251) as u8;
    for byte in bytes {
        *byte = value;
        value = if value == 250 { 0 } else { value + 1 };
    }
}

impl PartSource for Ramp {
    fn layout(&self) -> PartLayout {
        self.layout
    }

    fn read_part(&self, number: u32) -> Result<Part, SourceError> {
        let mut buffer = self.buffers.take(self.layout.part_len(number));
        fill(self.layout.range(number).start, &mut buffer);
        let crc64nvme = Crc64::of(&buffer);
        let mut fingerprint = [0; 32];
        fingerprint[..12].copy_from_slice(crc64nvme.to_string().as_bytes());
        Ok(Part { bytes: buffer.into_bytes(), crc64nvme, fingerprint })
    }
}

/// Checks parts against the ramp, each at most once.
pub(crate) struct Check {
    pub(crate) layout: PartLayout,
    pub(crate) seen: Mutex<BTreeSet<u32>>,
}

impl Check {
    pub(crate) fn new(layout: PartLayout) -> Check {
        Check { layout, seen: Mutex::default() }
    }
}

impl PartSink for Check {
    fn write_part(&self, number: u32, bytes: Buffer) -> Result<(), SinkError> {
        let mut expected = vec![0; bytes.len()];
        fill(self.layout.range(number).start, &mut expected);
        if expected != *bytes {
            return Err(format!("part {number} holds other bytes").into());
        }
        assert!(self.seen.lock().expect("lock").insert(number), "part {number} came twice");
        Ok(())
    }
}
