//! All tests of this crate in one program: linking one for each file takes longer than running them.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod at_rest;
mod audit_doctor;
mod aws_cli;
mod by_hand;
mod clumsy;
mod demo;
mod deploying;
mod documents;
mod evaluate;
mod explain;
mod export;
mod foreign_cloud;
mod help;
mod inbox;
mod inbox_consumer;
mod key_sources;
mod kill9;
mod kms_lane;
mod no_lock_in;
mod openpgp_lane;
mod plugins;
mod prove;
mod publish;
mod publish_elsewhere;
mod publish_kill9;
mod publish_large;
mod publish_million;
mod publish_partition;
mod publish_refused;
mod publish_unusual;
mod publish_versions;
mod rewrap;
mod rsa_lane;
mod s3s2;
mod s3s2_lane;
mod s3s2_share_kill;
mod sealed_files;
mod sealed_formats;
mod support;
