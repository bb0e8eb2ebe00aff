//! The messages and keys of s3s2: OpenPGP with habits of its own.
//!
//! Start with [`seal`] and [`open`]; [`PublicKey`], [`SecretKey`] and [`generate`] are the keys. What
//! lies in a share of s3s2 is an OpenPGP message that differs from what OpenPGP programs write, and
//! everything that differs is here, so that nothing else has to know it:
//!
//! - The armor says `-----BEGIN Message-----`, which no OpenPGP program reads. `PGP MESSAGE` and
//!   messages without armor are opened too; sealed is with the former, because `s3s2 decrypt`
//!   complains about any other.
//! - `s3s2 genkey` writes a single RSA key packet: no user id, no self-signature, no subkey. Whatever
//!   key file it is given, s3s2 looks at the first packet alone and encrypts to that key, even where
//!   its flags would say that it only signs.
//! - The cipher is CAST5. s3s2 asks its library for AES-256, but makes up a key that names no
//!   preferred cipher, and for such keys the library knows only the oldest. A key of 128 bits and
//!   blocks of 64: not broken, but never to be used for large files again. What is sealed here is
//!   AES-256, which `s3s2 decrypt` opens all the same.
//! - Nothing is signed: anybody who has the public key can write a message. See `docs/s3s2.md`.
//!
//! [`open`] writes into a spool of the caller's, because the format authenticates at its very end
//! (modification detection code, RFC 9580 section 5.13.1): nothing in the spool may be looked at before
//! [`open`] has returned.

mod armor;
mod key;
mod message;

pub use key::{KeyPair, PublicKey, SecretKey, generate};
pub use message::{Cipher, Opened, describe, open, seal};
