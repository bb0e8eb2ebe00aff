//! Sends and receives sealed, signed consignments.
//!
//! Make an [`Office`]: a party at work in an exchange, with its keys, its state folder and its
//! connection. Then [`send()`] takes paths and delivers them on a lane as one consignment, and
//! [`receive()`] fetches what has been delivered into a folder; [`list()`], [`show()`] and
//! [`verify()`] look. Each of these functions reads as a list of steps; the nouns of the steps are
//! the modules beside it.
//!
//! What holds, whatever happens: a consignment is complete or invisible, on both sides; only what
//! the pinned sender signed gets a final name (and a share of s3s2, where the exchange file or the
//! caller says that it is not signed: `shares.rs`); interrupted at any point, the same call goes on;
//! nothing decrypted is on disk before it is authenticated, and nothing at all is written outside
//! the destination and the state folder.
//!
//! [`inbox`] is for what a publisher delivers, object by object and not sealed.
//!
//! [`s3ec`] stands beside that: single objects for users of Amazon's S3 Encryption Client.
//!
//! What this crate is not: it reads no environment, no clock and no home folder, and knows no
//! terminal. All of that comes in through [`Office`].

mod at_rest;
mod chain;
mod destination;
mod error;
mod fetch;
pub mod inbox;
mod key_source;
mod lane_secret;
mod layout;
mod letter;
mod list;
mod meter;
mod office;
mod opened_file;
mod outgoing;
mod pack;
mod plan;
mod progress;
mod receive;
mod rekey;
mod rewrap;
pub mod s3ec;
mod sealed_file;
mod sealing_keys;
mod seals;
mod send;
mod shares;
mod shipment;
mod show;
mod spool;
mod state;
mod survey;
mod tree_hash;
mod unload;
mod unpack;
mod verify;

pub use error::{Error, ErrorKind, Result};
pub use key_source::KeySource;
pub use lane_secret::{hand_over, take_over};
pub use list::{Listed, ListedAs, list};
pub use office::{Clock, Dice, Keys, Office};
pub use progress::{Phase, Progress, Silent};
pub use receive::{Arrived, ReceiveOptions, Received, Refused, receive};
pub use rekey::{Moved, RekeyOptions, Rekeyed, by_mode, rekey};
pub use rewrap::{Revised, RewrapOptions, Rewrapped, preview_rewrap, rewrap};
pub use send::{Preview, SendOptions, Sent, abandon, preview, reported, send};
pub use shares::ArrivedShare;
pub use show::{Shown, show};
pub use survey::Skipped;
pub use verify::{Verified, verify};
