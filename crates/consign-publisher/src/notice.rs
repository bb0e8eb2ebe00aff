//! What a publisher says of its work, to whoever keeps logs, counts and calls people.

use std::future::Future;
use std::pin::Pin;

use consign_cloud::Error;
use consign_model::InboxName;

use crate::failure::Failure;
use crate::found::Delivery;
use crate::record::{Reason, Source};

/// [`Notice::Failed::doing`] of the request for messages.
pub const RECEIVE: &str = "receive messages";
/// The same of the listings of a comparison.
pub const COMPARE: &str = "compare";

/// Something happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice<'a> {
    /// The queue answered.
    Received {
        /// With how many messages; often none.
        messages: usize,
    },
    /// Events of which nothing has to follow.
    Ignored {
        /// How many.
        events: usize,
    },
    /// An object arrived that no route takes.
    Unrouted(&'a Source),
    /// A delivery was made and its record is there.
    Delivered(&'a Delivery),
    /// An event told of a delivery that was made before.
    Already,
    /// Reasons went to where they are looked for.
    PutAside(&'a [Reason]),
    /// A request failed; what follows is the machine's to say.
    Failed {
        /// Which request.
        doing: &'static str,
        /// What it means.
        failure: Failure,
        /// What was said. Its text may name keys.
        error: &'a Error,
    },
    /// A message will come again in so many seconds.
    Released {
        /// Seconds.
        seconds: u32,
    },
    /// A message or an object is being handled.
    Begun,
    /// It is no more, whatever came of it.
    Ended,
    /// A listing of the repository was compared with the records.
    Compared(&'a crate::Comparison),
}

/// What a person should know at once.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(tag = "alarm", rename_all = "kebab-case")]
pub enum Alarm {
    /// Something is refused until somebody changes something.
    Refused(Box<Reason>),
    /// The queue, or where it is listed the repository, cannot be read.
    NoSource {
        /// Why.
        why: String,
    },
    /// Nothing was delivered for longer than expected.
    NothingDelivered {
        /// Seconds since the last delivery, or since the publisher started.
        for_seconds: u64,
        /// Seconds in which one was expected.
        expected_seconds: u64,
    },
    /// Deliveries lie in an inbox that nobody has acknowledged.
    NotFetched {
        /// Which.
        inbox: InboxName,
        /// How many.
        deliveries: u64,
        /// Age of the oldest.
        oldest_seconds: u64,
    },
}

/// Who is told.
pub trait Observer: Send + Sync {
    /// Takes note. Must not block.
    fn notice(&self, notice: &Notice<'_>);

    /// Tells a person. What is refused goes on only when this is done, so it should end within
    /// seconds.
    fn alarm<'a>(&'a self, alarm: &'a Alarm) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}
