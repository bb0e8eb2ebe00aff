//! Worlds, judges and fixtures for consign's tests.
//!
//! Start with [`World`]: two parties with a cloud between them, and promises that are checked when
//! it is dropped; [`suite`] is what must hold in every world. [`judges`] finds other people's
//! software, [`moto`] is one of them, [`sink`] is a server that costs nothing and checks nothing, [`faults`] is a bad network
//! and [`passage`] one that is cut, [`refusals`] a service that says no,
//! software, [`moto`] and [`key_server`] are two of them, [`sink`] is a server that costs nothing and checks nothing, [`faults`] is a bad network
//! and [`passage`] one that is cut,
//! [`seaweed`] and [`ceph`] real S3 engines of other people's, [`payload`] content in which misplaced bytes and
//! leaked plaintext show. Nothing here is for production.

pub mod ceph;
pub mod faults;
pub mod judges;
pub mod key_server;
pub mod moto;
pub mod passage;
pub mod payload;
mod ports;
pub mod random;
pub mod refusals;
pub mod seaweed;
pub mod sink;
pub mod suite;
pub mod world;

pub use world::World;
