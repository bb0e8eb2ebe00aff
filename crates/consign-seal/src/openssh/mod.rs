//! Keys as OpenSSH keeps them: `.pub` lines and private key files.
//!
//! Two parts of this crate use them: [`crate::sshsig`] signs with an Ed25519 key, and
//! [`crate::age`] seals for, and opens with, Ed25519 and RSA keys that people have already. Start
//! with [`private::parse`]. Nothing here decides what a key is good for.

pub(crate) mod private;
pub(crate) mod rsa;
pub(crate) mod wire;
