//! What is found at both ends of a delivery, and what was made of it.

use consign_cloud::s3::Checksums;
use consign_model::{Labels, RouteName, SourceDigest};

use crate::record::{Cause, SourceId, Target, Task};

/// What HEAD says of a source, and its tags where a route carries some along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct There {
    /// Version id, in a bucket with versioning.
    pub version_id: Option<String>,
    /// Without quotes.
    pub etag: String,
    /// Size.
    pub bytes: u64,
    /// What S3 has of the whole.
    pub checksums: Checksums,
    /// MIME type.
    pub content_type: Option<String>,
    /// All of its metadata, and its tags where some route carries any. Which of them go along is the
    /// route's to say.
    pub labels: Labels,
}

/// What the tags of a target say: its content, and whatever is told with it, is not the
/// publisher's to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// Which content it says that it is; none for an object that no publisher put there.
    pub of: Option<SourceDigest>,
    /// Version id, in a bucket with versioning.
    pub version_id: Option<String>,
}

/// What there is to do about an object that arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The object; none if it is gone and where it was to go is known all the same.
    pub content: Option<There>,
    /// One for each place that it goes to.
    pub tasks: Vec<Task>,
    /// Why it does not go where a route would have it.
    pub refused: Vec<Cause>,
}

/// A delivery that was made, for the record beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What.
    pub of: SourceId,
    /// By which route.
    pub route: RouteName,
    /// Where to.
    pub target: Target,
    /// Its version there.
    pub target_version_id: Option<String>,
    /// What the source was; none when it was gone before this was known to be made.
    pub content: Option<There>,
}
