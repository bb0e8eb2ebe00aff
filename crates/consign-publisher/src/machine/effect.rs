//! What a handling asks for, and what it is told.

use consign_cloud::s3::Checksums;
use consign_model::RouteName;

use crate::failure::Failure;
use crate::found::{Delivery, Placed, Seen, There};
use crate::record::{Reason, Source, SourceId, Target};

const MIB: u64 = 1 << 20;

/// How much patience, and in what pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For how long a message is ours, each time that we say so.
    pub lease_seconds: u32,
    /// Failed requests per task and receive, before the message rests.
    pub attempts_max: u32,
    /// Receives of a message in which copying is tried.
    pub receives_max: u32,
    /// Up to this size an object is copied by one request; S3 allows 5 GiB.
    pub single_copy_bytes_max: u64,
    /// Smallest part of a copy in parts.
    pub part_bytes_min: u64,
    /// Parts under way at once.
    pub parts_at_once: u32,
    /// The store makes copies over what is there, and without tags: see what is there first, and tag
    /// what was made. What comes in between is overwritten, and two publishers may copy the same.
    pub look_first: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            lease_seconds: 120,
            attempts_max: 8,
            receives_max: 6,
            single_copy_bytes_max: 5 << 30,
            part_bytes_min: 512 * MIB,
            parts_at_once: 8,
            look_first: false,
        }
    }
}

/// A message that a queue gave us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// How often it was, this time included.
    pub receive_count: u32,
    /// Until when it is ours, milliseconds since 1970; taken before the receive was asked for.
    pub lease_until_ms: u64,
    /// For the waits.
    pub seed: u64,
}

/// What to do. Each is answered by the [`Answer`] that its text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// HEAD the object, and ask the routes where it goes. [`Answer::Seen`].
    Look(Source),
    /// HEAD the object, and ask for its tags where a route carries some. [`Answer::Source`].
    HeadSource(Source),
    /// Look for the record of this delivery. [`Answer::Record`].
    FindRecord {
        /// Of what.
        of: SourceId,
        /// To where.
        target: Target,
    },
    /// Ask the tags of what is in the place which content it is; its metadata, where copies have no
    /// tags. [`Answer::Target`].
    AskTarget(Target),
    /// CopyObject: this version, with `x-amz-copy-source-if-match`, if nothing is there. The copy
    /// says of itself that it is `of`. [`Answer::Copied`].
    Copy {
        /// What, its version pinned.
        source: Source,
        /// What it is: its ETag pins it; its content type and what the route carries go with it.
        content: There,
        /// By which route.
        route: RouteName,
        /// What the copy says that it is.
        of: SourceId,
        /// To where.
        target: Target,
    },
    /// CreateMultipartUpload; the object will say that it is `of`. [`Answer::UploadCreated`].
    CreateUpload {
        /// What the object will say that it is.
        of: SourceId,
        /// Its content type and what the route carries go with it.
        content: There,
        /// By which route.
        route: RouteName,
        /// To where.
        target: Target,
    },
    /// UploadPartCopy. [`Answer::PartCopied`].
    CopyPart {
        /// Of which upload.
        upload_id: String,
        /// From 1.
        part: u32,
        /// First and last byte.
        range: (u64, u64),
        /// What, its version pinned.
        source: Source,
        /// Its ETag.
        etag: String,
        /// To where.
        target: Target,
    },
    /// CompleteMultipartUpload, if nothing is there. [`Answer::Copied`].
    CompleteUpload {
        /// Which.
        upload_id: String,
        /// ETags of the parts, from the first.
        etags: Vec<String>,
        /// Size of them all.
        bytes: u64,
        /// To where.
        target: Target,
    },
    /// AbortMultipartUpload. Nobody waits for the answer; what is left, the bucket's lifecycle
    /// removes.
    AbortUpload {
        /// Which.
        upload_id: String,
        /// Of where.
        target: Target,
    },
    /// Leave the record of a delivery, if none is there. [`Answer::Recorded`].
    Record(Delivery),
    /// Put the message aside, with the reasons. Twice is no harm. [`Answer::PutAside`].
    PutAside(Vec<Reason>),
    /// Tell a person. Nobody waits for the answer.
    Alarm(Reason),
    /// Delete the message. [`Answer::Deleted`].
    Delete,
    /// Keep the message for so long from now. [`Answer::Extended`].
    Extend {
        /// Seconds.
        seconds: u32,
    },
    /// Let the message come again in so many seconds. Nobody waits for the answer: it comes anyway.
    Release {
        /// Seconds.
        seconds: u32,
    },
    /// Wait. [`Answer::Waited`].
    Wait {
        /// Milliseconds.
        ms: u64,
    },
}

/// What came of an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What there is to do about an object.
    Seen(Result<Seen, Failure>),
    /// HEAD of the source.
    Source(Result<There, Failure>),
    /// Whether there is a record.
    Record(Result<bool, Failure>),
    /// What is at the target. Without the right to list the bucket, S3 answers "denied" for an
    /// empty place as well.
    Target(Result<Placed, Failure>),
    /// The object was made: its version id and checksums, where known.
    Copied(Result<(Option<String>, Checksums), Failure>),
    /// The upload's id.
    UploadCreated(Result<String, Failure>),
    /// A part's ETag.
    PartCopied {
        /// Of which upload.
        upload_id: String,
        /// From 1.
        part: u32,
        /// Its ETag.
        result: Result<String, Failure>,
    },
    /// The record is there.
    Recorded(Result<(), Failure>),
    /// The message and its reasons are where they are looked for.
    PutAside(Result<(), Failure>),
    /// The message is deleted.
    Deleted(Result<(), Failure>),
    /// The message is ours for longer. A refusal means that it is not ours any more.
    Extended(Result<(), Failure>),
    /// The wait is over.
    Waited,
    /// Time went by while something long is under way: at least once in a third of the lease.
    Tick,
}

/// What a step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// To be carried out: alarms before anything else is begun (what is put aside and deleted is
    /// told no more), the rest in any order.
    pub effects: Vec<Effect>,
    /// Nothing more will be asked, whatever is still under way.
    pub done: bool,
}
