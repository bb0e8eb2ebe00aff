//! All tests of this crate in one program: linking one for each file takes longer than running them.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod age_damage;
mod age_headers;
mod age_kinds;
mod age_vectors;
mod common;
mod every_byte;
mod judges;
mod judges_kinds;
mod judges_rage;
mod openpgp_damage;
mod openpgp_gpg;
mod openpgp_passphrase;
mod openpgp_sequoia;
mod openpgp_validity;
mod properties;
mod s3ec_conformance;
mod s3ec_content;
mod s3ec_keys;
mod s3ec_metadata;
mod s3s2;
mod sshsig;
