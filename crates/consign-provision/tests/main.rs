//! All tests of this crate in one program: linking one for each file takes longer than running them.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod audit;
mod doctor;
mod documents;
mod export;
mod inbox;
mod local;
mod mutants;
mod permissions;
mod planning;
mod principals;
mod proof;
mod research;
mod solver;
mod support;
