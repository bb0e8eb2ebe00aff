//! All tests of this crate in one program: linking one for each file takes longer than running them.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod audit_elsewhere;
mod copies;
mod key_sources;
mod queues;
mod rekey;
mod rewrap;
mod s3ec;
mod suite;
