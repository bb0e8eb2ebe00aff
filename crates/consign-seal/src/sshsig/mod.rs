//! SSH signatures (SSHSIG) by Ed25519 keys: what `ssh-keygen -Y sign` writes and
//! `ssh-keygen -Y verify` checks.
//!
//! ```
//! use consign_seal::sshsig::{self, SigningKey};
//! # fn main() -> Result<(), consign_seal::Error> {
//! let key = SigningKey::generate()?;
//! let signature = sshsig::sign(&key, "file", b"as agreed")?;
//! assert_eq!(sshsig::verify(&[key.verifying_key()], "file", b"as agreed", &signature)?, 0);
//! # Ok(()) }
//! ```
//!
//! The *namespace* is what the signature is for; one made for a file cannot be passed off as one
//! for a manifest. Only Ed25519 is read or written: a pinned key of one type with one hash leaves
//! nothing to negotiate down. Sections in comments are those of OpenSSH's `PROTOCOL.sshsig`.

mod key;

use aws_lc_rs::digest;
use base64::Engine;

pub use key::{SigningKey, VerifyingKey};

use crate::openssh::wire::{self, Reader, put_string};
use crate::primitives::BASE64_PADDED;
use crate::{Error, ErrorKind};

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// §1: SHOULD be broken up every 76 characters.
const LINE_CHARACTERS: usize = 76;
const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;
/// A signature by an Ed25519 key has 300 characters; a namespace may add some. What is longer
/// is not worth decoding.
const ARMORED_MAX: usize = 16 * 1024;

/// Signs `message` for the purpose `namespace`. The result is the text of a `.sig` file.
///
/// Ed25519 is deterministic: the same key, namespace and message give the same signature.
pub fn sign(key: &SigningKey, namespace: &str, message: &[u8]) -> Result<String, Error> {
    if namespace.is_empty() {
        // §2: MUST NOT be the empty string.
        return Err(Error::usage("a signature needs a namespace"));
    }
    let public = key.verifying_key();
    let hash = Hash::Sha512;
    let signature = key.sign_raw(&signed_data(namespace.as_bytes(), b"", hash, message))?;

    // §2, "Blob format".
    let mut blob = MAGIC.to_vec();
    blob.extend_from_slice(&VERSION.to_be_bytes());
    put_string(&mut blob, &public.wire());
    put_string(&mut blob, namespace.as_bytes());
    put_string(&mut blob, b"");
    put_string(&mut blob, hash.name());
    put_string(&mut blob, &wire::typed(&signature));
    Ok(wire::armor(BEGIN, END, LINE_CHARACTERS, &blob))
}

/// Checks that `armored` is a signature over `message` for `namespace` by one of `keys`, and says
/// by which: its index.
pub fn verify(
    keys: &[VerifyingKey],
    namespace: &str,
    message: &[u8],
    armored: &str,
) -> Result<usize, Error> {
    if armored.len() > ARMORED_MAX {
        return Err(malformed("it is too long"));
    }
    let blob =
        wire::unarmor(BEGIN, END, armored).ok_or_else(|| malformed("its armor is damaged"))?;
    let claim = Claim::parse(&blob)?;
    if claim.namespace != namespace.as_bytes() {
        return Err(Error::new(
            ErrorKind::WrongNamespace,
            format!(
                "the signature was made for `{}`, not for `{namespace}`",
                String::from_utf8_lossy(claim.namespace).escape_default()
            ),
        ));
    }
    let Some(which) = keys.iter().position(|key| *key == claim.signer) else {
        return Err(Error::new(
            ErrorKind::WrongSigner,
            format!("signed by {}, which is not a key expected here", claim.signer.fingerprint()),
        ));
    };
    let signed = signed_data(claim.namespace, claim.reserved, claim.hash, message);
    if !claim.signer.verifies(&signed, claim.signature) {
        return Err(Error::new(
            ErrorKind::BadSignature,
            format!("the signature by {} is not over this content", claim.signer.fingerprint()),
        ));
    }
    Ok(which)
}

/// What a signature says about itself; believed only after checking.
struct Claim<'a> {
    signer: VerifyingKey,
    namespace: &'a [u8],
    reserved: &'a [u8],
    hash: Hash,
    signature: &'a [u8],
}

impl<'a> Claim<'a> {
    fn parse(blob: &'a [u8]) -> Result<Claim<'a>, Error> {
        let mut reader = Reader::new(blob);
        if reader.bytes(MAGIC.len()) != Some(MAGIC) {
            return Err(malformed("it does not begin as one"));
        }
        // §2: MUST reject signatures with versions greater than those they support.
        if reader.u32() != Some(VERSION) {
            return Err(malformed("it is of an unknown version"));
        }
        let short = || malformed("it is incomplete");
        let public = reader.string().ok_or_else(short)?;
        let namespace = reader.string().ok_or_else(short)?;
        // §2: to be ignored if not empty. It is part of what is signed (§3), so it is used there.
        let reserved = reader.string().ok_or_else(short)?;
        let hash = Hash::named(reader.string().ok_or_else(short)?)?;
        let signature = reader.string().ok_or_else(short)?;
        if !reader.is_empty() {
            return Err(malformed("something follows it"));
        }
        let signer = VerifyingKey::from_wire(public).map_err(|error| {
            let context = format!("signed by a key that is not expected here: {error}");
            Error::new(ErrorKind::WrongSigner, context)
        })?;
        let signature =
            wire::untyped(signature).ok_or_else(|| malformed("it is not an Ed25519 signature"))?;
        Ok(Claim { signer, namespace, reserved, hash, signature })
    }
}

/// §2: "The supported hash algorithms are sha256 and sha512."
#[derive(Clone, Copy)]
enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn named(name: &[u8]) -> Result<Hash, Error> {
        match name {
            b"sha256" => Ok(Hash::Sha256),
            b"sha512" => Ok(Hash::Sha512),
            _ => Err(malformed("it uses an unknown hash")),
        }
    }

    fn name(self) -> &'static [u8] {
        match self {
            Hash::Sha256 => b"sha256",
            Hash::Sha512 => b"sha512",
        }
    }

    fn of(self, message: &[u8]) -> digest::Digest {
        match self {
            Hash::Sha256 => digest::digest(&digest::SHA256, message),
            Hash::Sha512 => digest::digest(&digest::SHA512, message),
        }
    }
}

/// §3, "Signed Data".
fn signed_data(namespace: &[u8], reserved: &[u8], hash: Hash, message: &[u8]) -> Vec<u8> {
    let mut data = MAGIC.to_vec();
    put_string(&mut data, namespace);
    put_string(&mut data, reserved);
    put_string(&mut data, hash.name());
    put_string(&mut data, hash.of(message).as_ref());
    data
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::MalformedSignature, format!("not a readable signature: {what}"))
}

fn fingerprint(wire: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, wire);
    format!("SHA256:{}", BASE64_PADDED.encode(digest).trim_end_matches('='))
}
