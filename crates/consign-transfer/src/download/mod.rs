//! Downloads: the machine decides, the driver does.

pub(crate) mod driver;
pub mod machine;
#[cfg(test)]
mod tests;

use consign_cloud::s3::CustomerKey;

use crate::layout::PartLayout;

/// The object to fetch.
#[derive(Clone, Debug)]
pub struct Object {
    /// Where.
    pub bucket: String,
    /// Under which key.
    pub key: String,
    /// Which version; none is the newest, and all ranges are then held to one entity tag.
    pub version_id: Option<String>,
    /// How it is cut. The object must have exactly `layout.object_bytes()`.
    pub layout: PartLayout,
    /// Account that must own the bucket.
    pub expected_bucket_owner: Option<String>,
    /// The SSE-C key it was put with.
    pub customer_key: Option<CustomerKey>,
}

/// What has been fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// Size.
    pub bytes: u64,
    /// Number of parts.
    pub parts: u32,
    /// Parts that an earlier run had written: the sink was not given them now.
    pub resumed_parts: Vec<u32>,
}
