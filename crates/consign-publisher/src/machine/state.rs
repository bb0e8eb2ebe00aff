//! Where a handling stands.

use super::upload::Upload;
use crate::found::{Delivery, There};
use crate::record::{Source, SourceId, Target, Task};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// An object of which is not known yet where it goes.
    Look(Source),
    /// One of its places; with the object, if it was just looked at.
    Deliver(Task, Option<Box<Found>>),
}

impl Job {
    pub(super) fn source(&self) -> &Source {
        match self {
            Job::Look(source) => source,
            Job::Deliver(task, _) => &task.source,
        }
    }

    pub(super) fn target(&self) -> Option<&Target> {
        match self {
            Job::Look(_) => None,
            Job::Deliver(task, _) => Some(&task.target),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Looking,
    LookingAtSource,
    LookingForRecord(Found),
    AskingTarget(Found, Why),
    Copying(Found),
    Uploading(Found, Option<Upload>),
    Recording(Delivery),
    PuttingAside,
    Deleting,
    Done,
}

/// Why the target is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// S3 said that something is there.
    Taken,
    /// Perhaps something is; "denied" is also S3's word for an empty place.
    Unsure,
    /// Nobody but us looks before a copy is made.
    First,
}

/// The source as it was found. Without content: it is gone, and only its name is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) of: SourceId,
    pub(super) content: Option<There>,
}

impl Found {
    /// None for an object that is gone, of which nobody told a version.
    pub(super) fn of(source: &Source, content: Option<There>) -> Option<Found> {
        let of = match &content {
            Some(there) => SourceId::of(source, there.version_id.as_deref(), Some(&there.etag)),
            None => SourceId::of(source, source.version_id.as_deref(), None),
        };
        Some(Found { of: of?, content })
    }
}
