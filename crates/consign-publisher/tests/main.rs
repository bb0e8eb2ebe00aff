//! All tests of this crate in one program: linking one for each file takes longer than running them.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod asides;
mod batches;
mod events;
mod handling;
mod sim;
mod world;
