//! Decides how events of a repository become deliveries into inboxes.
//!
//! A queue tells that an object came to a repository bucket. [`event::parse`] reads what the queue
//! says, whoever wrapped it; the caller's routes turn each event into [`Task`]s (which object, where
//! to, under which key); [`Handling`] decides what to do about one message until it can be deleted:
//! look at both ends, let S3 copy, compare, leave a record, or put the message aside with a reason.
//!
//! Start with [`Handling::begin`]. Nothing here talks to anybody: time, randomness and every answer
//! arrive as arguments, and `tests/sim.rs` runs the machine through schedules of crashes,
//! duplicates, disorder and several publishers on one queue. It keeps no journal, on purpose. What
//! was done is read from the inbox itself, whose objects say which version of which source they
//! are; a message that was not deleted comes again, and is handled from the start.
//!
//! What is not here: the loop that carries effects out, and where routes come from.

pub mod event;
mod failure;
mod machine;
mod record;
mod wait;

pub use failure::{Failure, Permanent};
pub use machine::{Answer, Effect, Handling, Limits, Received, Step};
pub use record::{Cause, Delivery, Reason, Source, SourceId, Target, Task, There};
