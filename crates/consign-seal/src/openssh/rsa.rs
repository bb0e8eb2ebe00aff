//! RSA keys of OpenSSH, in the encodings that aws-lc takes.
//!
//! OpenSSH keeps n, e, d, p, q and 1/q mod p; PKCS #1 (RFC 8017 §A.1.2) also wants d mod (p-1) and
//! d mod (q-1). They are worked out here, in time that depends on lengths alone, and the whole is
//! given to aws-lc, which checks that the numbers belong together.

use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey, PublicKeyComponents,
};
use zeroize::Zeroizing;

use super::wire::{RSA, Reader, put_mpint, put_string};
use crate::{Error, ErrorKind};

/// Shorter ones have not been safe for a long time (NIST SP 800-131A); longer ones only cost.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
const EXPONENT_BYTES_MAX: usize = 4;

/// A public RSA key: n and e, big-endian, without leading zeros.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RsaPublicKey {
    // INVARIANT: a modulus of 2048 to 8192 bits, which aws-lc accepts.
    n: Vec<u8>,
    e: Vec<u8>,
}

impl RsaPublicKey {
    fn new(n: &[u8], e: &[u8]) -> Result<RsaPublicKey, Error> {
        if n.len() < *MODULUS_BYTES.start() {
            return Err(bad_key("an RSA key of less than 2048 bits is not safe"));
        }
        if n.len() > *MODULUS_BYTES.end() || e.len() > EXPONENT_BYTES_MAX {
            return Err(bad_key("an RSA key of more than 8192 bits, or with a huge exponent"));
        }
        let key = RsaPublicKey { n: n.to_vec(), e: e.to_vec() };
        key.encrypting()?;
        Ok(key)
    }

    /// Reads what stands in a `.pub` line after its type.
    pub(crate) fn from_wire(wire: &[u8]) -> Result<RsaPublicKey, Error> {
        let mut reader = Reader::new(wire);
        let parts = (|| {
            (reader.string()? == RSA).then_some(())?;
            let (e, n) = (reader.mpint()?, reader.mpint()?);
            reader.is_empty().then_some((e, n))
        })();
        let (e, n) = parts.ok_or_else(|| bad_key("not an RSA public key"))?;
        RsaPublicKey::new(n, e)
    }

    /// The encoding for SSH (RFC 4253 §6.6).
    pub(crate) fn wire(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.n.len() + 32);
        put_string(&mut out, RSA);
        put_mpint(&mut out, &self.e);
        put_mpint(&mut out, &self.n);
        out
    }

    /// RSAES-OAEP with SHA-256 for both hashes (RFC 8017 §7.1).
    pub(crate) fn encrypt(&self, plain: &[u8], label: &[u8]) -> Result<Vec<u8>, Error> {
        let key = self.encrypting()?;
        let mut out = vec![0u8; key.ciphertext_size()];
        let length = key
            .encrypt(&OAEP_SHA256_MGF1SHA256, plain, &mut out, Some(label))
            .map_err(|_| Error::internal("RSA-OAEP"))?
            .len();
        out.truncate(length);
        Ok(out)
    }

    fn encrypting(&self) -> Result<OaepPublicEncryptingKey, Error> {
        let parts = PublicKeyComponents { n: &self.n, e: &self.e };
        let key: Result<PublicEncryptingKey, _> = parts.try_into();
        key.and_then(OaepPublicEncryptingKey::new)
            .map_err(|_| bad_key("an RSA public key that makes no sense"))
    }
}

/// A private RSA key as PKCS #8. Wiped when dropped.
#[derive(Clone)]
pub(crate) struct RsaPrivateKey {
    public: RsaPublicKey,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl RsaPrivateKey {
    /// All numbers big-endian without leading zeros; `inverse` is 1/q mod p.
    pub(crate) fn from_numbers(
        n: &[u8],
        e: &[u8],
        d: &[u8],
        p: &[u8],
        q: &[u8],
        inverse: &[u8],
    ) -> Result<RsaPrivateKey, Error> {
        let public = RsaPublicKey::new(n, e)?;
        let short = [d, p, q, inverse].iter().all(|number| number.len() <= n.len());
        let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
        if !short || !odd(p) || !odd(q) || p.len() < 2 || q.len() < 2 {
            return Err(contradiction());
        }
        let (d_p, d_q) = (modulo_minus_one(d, p), modulo_minus_one(d, q));
        let numbers = [&[0u8][..], n, e, d, p, q, &d_p, &d_q, inverse];
        let pkcs8 = pkcs8(&numbers);
        let key = RsaPrivateKey { public, pkcs8 };
        key.decrypting()?;
        Ok(key)
    }

    pub(crate) fn public(&self) -> &RsaPublicKey {
        &self.public
    }

    /// `None` where the ciphertext is not one for this key and label; which of its checks failed
    /// is nobody's business (RFC 8017 §7.1.2, note on attacks).
    pub(crate) fn decrypt(
        &self,
        sealed: &[u8],
        label: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let key = self.decrypting()?;
        if sealed.len() != key.key_size_bytes() {
            return Ok(None);
        }
        let mut plain = Zeroizing::new(vec![0u8; key.min_output_size()]);
        let length = key
            .decrypt(&OAEP_SHA256_MGF1SHA256, sealed, &mut plain, Some(label))
            .map(|plain| plain.len());
        Ok(length.ok().map(|length| {
            plain.truncate(length);
            plain
        }))
    }

    fn decrypting(&self) -> Result<OaepPrivateDecryptingKey, Error> {
        PrivateDecryptingKey::from_pkcs8(&self.pkcs8).map_err(|_| contradiction()).and_then(|key| {
            OaepPrivateDecryptingKey::new(key).map_err(|_| Error::internal("RSA key"))
        })
    }
}

/// `number` mod (`prime` - 1), for an odd `prime`: bit by bit from the top, with a subtraction at
/// every step whose result is taken or not by a mask, never by a branch.
fn modulo_minus_one(number: &[u8], prime: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut modulus = Zeroizing::new(vec![0u8]);
    modulus.extend_from_slice(prime);
    if let Some(last) = modulus.last_mut() {
        *last &= 0xfe;
    }
    let mut rest = Zeroizing::new(vec![0u8; modulus.len()]);
    let mut less = Zeroizing::new(vec![0u8; modulus.len()]);
    for byte in number {
        for bit in (0..8).rev() {
            let mut carry = byte >> bit & 1;
            for digit in rest.iter_mut().rev() {
                let high = *digit >> 7;
                *digit = *digit << 1 | carry;
                carry = high;
            }
            let mut borrow = 0u16;
            for ((out, digit), minus) in less.iter_mut().zip(rest.iter()).zip(modulus.iter()).rev()
            {
                let difference = 0x100 + u16::from(*digit) - u16::from(*minus) - borrow;
                *out = (difference & 0xff) as u8;
                borrow = 1 - (difference >> 8);
            }
            // All ones where nothing was borrowed, so that the difference is the new rest.
            let take = (borrow as u8).wrapping_sub(1);
            for (digit, smaller) in rest.iter_mut().zip(less.iter()) {
                *digit = (*digit & !take) | (*smaller & take);
            }
        }
    }
    rest
}

/// RFC 5208 around RFC 8017 §A.1.2.
fn pkcs8(numbers: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    const RSA_ENCRYPTION: [u8; 15] =
        [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let room = numbers.iter().map(|number| number.len() + 8).sum::<usize>() + 64;
    let mut inner = Zeroizing::new(Vec::with_capacity(room));
    for number in numbers {
        let digits = number.iter().position(|byte| *byte != 0).and_then(|at| number.get(at..));
        let digits = digits.unwrap_or(&[0]);
        let sign = digits.first().is_some_and(|byte| byte & 0x80 != 0);
        put_header(&mut inner, 0x02, digits.len() + usize::from(sign));
        inner.extend(sign.then_some(0));
        inner.extend_from_slice(digits);
    }
    let mut key = Zeroizing::new(Vec::with_capacity(room));
    put_header(&mut key, 0x30, inner.len());
    key.extend_from_slice(&inner);
    let mut body = Zeroizing::new(Vec::with_capacity(room));
    body.extend_from_slice(&[0x02, 0x01, 0x00]);
    body.extend_from_slice(&RSA_ENCRYPTION);
    put_header(&mut body, 0x04, key.len());
    body.extend_from_slice(&key);
    let mut out = Zeroizing::new(Vec::with_capacity(room));
    put_header(&mut out, 0x30, body.len());
    out.extend_from_slice(&body);
    out
}

/// Tag and length in DER (X.690 §8.1 and §10.1).
fn put_header(out: &mut Vec<u8>, tag: u8, length: usize) {
    out.push(tag);
    let bytes = length.to_be_bytes();
    let skip = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
    let digits = bytes.get(skip..).unwrap_or_default();
    if length >= 0x80 {
        out.push(0x80 | digits.len() as u8);
    }
    out.extend_from_slice(digits);
}

fn contradiction() -> Error {
    bad_key("the private key file contradicts itself: its numbers do not make an RSA key")
}

fn bad_key(what: &str) -> Error {
    Error::new(ErrorKind::BadKey, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders_are_those_of_small_numbers() {
        for number in [0u64, 1, 9, 10, 11, 255, 256, 65_535, 1_000_003, u64::MAX] {
            for prime in [257u64, 263, 65_521, 65_537, 4_294_967_291] {
                let digits = prime.to_be_bytes();
                let skip = digits.iter().position(|byte| *byte != 0).expect("not zero");
                let rest = modulo_minus_one(&number.to_be_bytes(), &digits[skip..]);
                let value = rest.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
                assert_eq!(value, number % (prime - 1), "{number} mod {prime} - 1");
            }
        }
    }
}
