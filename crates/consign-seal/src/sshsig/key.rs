//! Ed25519 keys in the files and lines that OpenSSH uses.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{
    ED25519 as ED25519_ALGORITHM, Ed25519KeyPair, KeyPair, UnparsedPublicKey,
};
use base64::Engine;
use zeroize::Zeroizing;

use crate::openssh::private::{self, PrivateKey};
use crate::openssh::wire::{self, ED25519, put_string};
use crate::primitives::{BASE64_PADDED, random};
use crate::{Error, ErrorKind};

const PRIVATE_LINE_CHARACTERS: usize = 70;
/// PROTOCOL.key §3: padded to the block size of the cipher, which is 8 for none.
const PRIVATE_BLOCK: usize = 8;
const ONLY_ED25519: &str = "only ssh-ed25519 keys are supported for signatures";

/// A public key that signatures are checked against: `ssh-ed25519 AAAA…`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VerifyingKey {
    // INVARIANT: not a point of low order, under which anybody could make a signature.
    public: [u8; 32],
}

impl VerifyingKey {
    /// Reads a line of a `.pub` file: type, base64 and, ignored, a comment.
    pub fn parse(line: &str) -> Result<VerifyingKey, Error> {
        let line = line.trim_ascii();
        if line.contains(['\n', '\r']) {
            return Err(bad_key("a public key is one line"));
        }
        let mut words = line.split_ascii_whitespace();
        match words.next().unwrap_or_default() {
            "ssh-ed25519" => {}
            other
                if other.starts_with("ssh-")
                    || other.starts_with("ecdsa-")
                    || other.starts_with("sk-") =>
            {
                return Err(Error::new(ErrorKind::UnsupportedKey, ONLY_ED25519));
            }
            _ => return Err(bad_key("a public key begins with `ssh-ed25519`")),
        }
        let encoded = words.next().unwrap_or_default();
        let wire = BASE64_PADDED
            .decode(encoded)
            .map_err(|_| bad_key("the public key is not canonical base64"))?;
        VerifyingKey::from_wire(&wire)
    }

    pub(super) fn from_wire(wire: &[u8]) -> Result<VerifyingKey, Error> {
        let bytes = wire::untyped(wire).ok_or_else(|| bad_key("not an Ed25519 public key"))?;
        let public = <[u8; 32]>::try_from(bytes)
            .map_err(|_| bad_key("an Ed25519 public key is 32 bytes"))?;
        if has_low_order(&public) {
            return Err(bad_key(
                "this public key is a point of low order: anyone could sign for it",
            ));
        }
        Ok(VerifyingKey { public })
    }

    /// As it stands in a `.pub` file, an allowed signers file or an exchange file, without comment.
    pub fn line(&self) -> String {
        format!("ssh-ed25519 {}", BASE64_PADDED.encode(self.wire()))
    }

    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        super::fingerprint(&self.wire())
    }

    pub(super) fn wire(&self) -> Vec<u8> {
        wire::typed(&self.public)
    }

    pub(super) fn verifies(&self, data: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519_ALGORITHM, &self.public).verify(data, signature).is_ok()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.fingerprint())
    }
}

impl FromStr for VerifyingKey {
    type Err = Error;

    fn from_str(line: &str) -> Result<VerifyingKey, Error> {
        VerifyingKey::parse(line)
    }
}

/// A secret key that signs. Wiped when dropped.
pub struct SigningKey {
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
    public: VerifyingKey,
}

impl SigningKey {
    /// A new key from the randomness of the operating system.
    pub fn generate() -> Result<SigningKey, Error> {
        SigningKey::from_seed(random::<32>()?)
    }

    fn from_seed(seed: Zeroizing<[u8; 32]>) -> Result<SigningKey, Error> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice())
            .map_err(|_| Error::internal("Ed25519 key"))?;
        let public = <[u8; 32]>::try_from(pair.public_key().as_ref())
            .map_err(|_| Error::internal("Ed25519 public key"))?;
        Ok(SigningKey { seed, pair, public: VerifyingKey { public } })
    }

    /// Reads an OpenSSH private key file (`-----BEGIN OPENSSH PRIVATE KEY-----`) that holds one
    /// Ed25519 key without a passphrase. Errors never repeat the text.
    pub fn from_openssh(text: &str) -> Result<SigningKey, Error> {
        match private::parse(text, None) {
            Ok(PrivateKey::Ed25519 { seed, .. }) => SigningKey::from_seed(seed),
            Ok(PrivateKey::Rsa(_)) => Err(Error::new(ErrorKind::UnsupportedKey, ONLY_ED25519)),
            Err(error) if error.kind() == ErrorKind::NeedsPassphrase => Err(Error::new(
                ErrorKind::UnsupportedKey,
                "the private key is protected by a passphrase; `ssh-keygen -p -N '' -f COPY` takes \
                 it off a copy",
            )),
            Err(error) => Err(error),
        }
    }

    /// The text of an OpenSSH private key file. `ssh-keygen` insists that it be readable by its
    /// owner only.
    pub fn to_openssh_private(&self, comment: &str) -> Zeroizing<String> {
        // PROTOCOL.key §1 and §5: cipher and KDF "none", one key.
        let mut blob = Zeroizing::new(Vec::with_capacity(512 + comment.len()));
        blob.extend_from_slice(private::MAGIC);
        put_string(&mut blob, b"none");
        put_string(&mut blob, b"none");
        put_string(&mut blob, b"");
        blob.extend_from_slice(&1u32.to_be_bytes());
        put_string(&mut blob, &self.public.wire());
        put_string(&mut blob, &self.private_section(comment));
        Zeroizing::new(wire::armor(private::BEGIN, private::END, PRIVATE_LINE_CHARACTERS, &blob))
    }

    /// PROTOCOL.key §3; the key itself as the SSH agent protocol has it ("EDDSA keys").
    fn private_section(&self, comment: &str) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(256 + comment.len()));
        // Two equal numbers show that decryption succeeded; without encryption any will do. Taken
        // from the public key, so that one key gives one file.
        let check = self.public.public.first_chunk::<4>().copied().unwrap_or_default();
        out.extend_from_slice(&check);
        out.extend_from_slice(&check);
        put_string(&mut out, ED25519);
        put_string(&mut out, &self.public.public);
        let mut secret = Zeroizing::new([0u8; 64]);
        secret[..32].copy_from_slice(self.seed.as_slice());
        secret[32..].copy_from_slice(&self.public.public);
        put_string(&mut out, secret.as_slice());
        put_string(&mut out, comment.as_bytes());
        let mut padding = 0;
        while out.len() % PRIVATE_BLOCK != 0 {
            padding += 1;
            out.push(padding);
        }
        out
    }

    /// `ssh-ed25519 AAAA… COMMENT`, as in a `.pub` file, without a line feed. Control characters
    /// in the comment become spaces, so that it stays one line.
    pub fn public_line(&self, comment: &str) -> String {
        let comment = comment.replace(char::is_control, " ");
        format!("{} {comment}", self.public.line()).trim_ascii_end().to_owned()
    }

    /// The public half, to give to those who verify.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.public
    }

    pub(super) fn sign_raw(&self, data: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.pair.try_sign(data).map_err(|_| Error::internal("signing"))?;
        Ok(signature.as_ref().to_vec())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.fingerprint())
    }
}

/// The points whose order divides 8, by their y coordinate (RFC 8032 §5.1.2), whichever the sign
/// of x: 0, 1, -1, the two of order 8, and 0 and 1 written as p and p + 1. A signature under one
/// of them can be made without any secret.
fn has_low_order(public: &[u8; 32]) -> bool {
    let mut y = *public;
    y[31] &= 0x7f;
    let from_low = |low: u8, fill: u8, high: u8| {
        let mut bytes = [fill; 32];
        bytes[0] = low;
        bytes[31] = high;
        bytes
    };
    let order_8: [u8; 32] = [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ];
    let order_8_negative: [u8; 32] = [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ];
    [
        [0; 32],
        from_low(1, 0, 0),
        from_low(0xec, 0xff, 0x7f),
        from_low(0xed, 0xff, 0x7f),
        from_low(0xee, 0xff, 0x7f),
        order_8,
        order_8_negative,
    ]
    .contains(&y)
}

fn bad_key(what: &str) -> Error {
    Error::new(ErrorKind::BadKey, what)
}
