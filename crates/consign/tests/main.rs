//! All tests of this crate in one program: linking one for each file takes longer than running them.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod at_rest;
mod common;
mod hostile;
mod interrupted;
mod kms_lane;
mod round_trip;
mod seals;
mod shares;
