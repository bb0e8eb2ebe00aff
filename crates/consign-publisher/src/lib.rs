//! Decides how events of a repository become deliveries into inboxes, and has S3 make them.
//!
//! A queue tells that an object came to a repository bucket. [`event::parse`] reads what the queue
//! says, whoever wrapped it; [`Routing`] turns each event into an object to look at and that into
//! [`Task`]s (where to, under which key); [`Handling`] decides what to do about one message until it
//! can be deleted: look at both ends, let S3 copy, compare, leave a record, or put the message aside
//! with a reason. [`Publisher`] carries that out.
//!
//! Start with [`Handling::begin`], which talks to nobody: time, randomness and every answer
//! arrive as arguments, and `tests/sim.rs` runs the machine through schedules of crashes,
//! duplicates, disorder and several publishers on one queue. It keeps no journal, on purpose. What
//! was done is read from the inbox itself, whose objects say by a tag which version of which source they
//! are; a message that was not deleted comes again, and is handled from the start. Then read
//! `publisher/mod.rs`, the loop around it.
//!
//! What is not here: private keys ([`Signer`] is the caller's), logs, metrics and people to call
//! ([`Observer`] is, too).

pub mod batch;
pub mod event;

mod aside;
mod failure;
mod found;
mod machine;
mod notice;
mod publisher;
mod record;
mod routing;
mod wait;

pub use aside::Aside;
pub use failure::Failure;
pub use found::{Delivery, Placed, Seen, There};
pub use machine::{Answer, Effect, Handling, Limits, Received, Step};
pub use notice::{Alarm, COMPARE, Notice, Observer, RECEIVE};
pub use publisher::{
    Comparison, DeadLetter, Expectations, Outcome, Publisher, Queues, Redriven, Refused, Setup,
    Signer, Stop,
};
pub use record::{Cause, Permanent, Reason, Source, SourceId, Target, Task};
pub use routing::{Routing, Told};
