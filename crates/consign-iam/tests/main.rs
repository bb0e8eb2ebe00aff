//! All tests of this crate in one program: linking one for each file takes longer than running them.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;
mod explanations;
mod matrix;
mod properties;
mod prove;
mod prove_random;
mod public;
mod refusals;
mod s3_calls;
mod solver;
