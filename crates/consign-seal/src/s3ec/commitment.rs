//! Keys derived from a data key, and the commitment to it (key-derivation.md, "HKDF Operation").

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf::{self, KeyType};
use zeroize::Zeroizing;

use super::does_not_open;
use super::gcm::IV_BYTES;
use super::keyring::DataKey;
use super::suite::COMMITTED_ID;
use crate::Error;

pub(super) const MESSAGE_ID_BYTES: usize = 28;
pub(super) const COMMITMENT_BYTES: usize = 28;

/// The nonce of all content under a derived key, which is used once. An early draft of the
/// specification had zeros; what all clients write, and the present text asks for, is this.
pub(super) const DERIVED_IV: [u8; IV_BYTES] = [0x01; IV_BYTES];

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive<const N: usize>(
    key: &DataKey,
    message_id: &[u8; MESSAGE_ID_BYTES],
    label: &[u8],
) -> Result<Zeroizing<[u8; N]>, Error> {
    let mut out = Zeroizing::new([0; N]);
    hkdf::Salt::new(hkdf::HKDF_SHA512, message_id)
        .extract(key.as_bytes())
        .expand(&[&COMMITTED_ID, label], Length(N))
        .and_then(|okm| okm.fill(out.as_mut_slice()))
        .map_err(|_| Error::internal("HKDF"))?;
    Ok(out)
}

pub(super) fn commitment(
    key: &DataKey,
    message_id: &[u8; MESSAGE_ID_BYTES],
) -> Result<[u8; COMMITMENT_BYTES], Error> {
    derive(key, message_id, b"COMMITKEY").map(|commitment| *commitment)
}

pub(super) fn content_key(
    key: &DataKey,
    message_id: &[u8; MESSAGE_ID_BYTES],
) -> Result<Zeroizing<[u8; 32]>, Error> {
    derive(key, message_id, b"DERIVEKEY")
}

/// In constant time (decryption.md, "Decrypting With Commitment").
pub(super) fn verify_commitment(
    key: &DataKey,
    message_id: &[u8; MESSAGE_ID_BYTES],
    stored: &[u8; COMMITMENT_BYTES],
) -> Result<(), Error> {
    verify_slices_are_equal(&commitment(key, message_id)?, stored)
        .map_err(|_| does_not_open("the data key is not the one that x-amz-d commits to"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// Data key, message id, content key, commitment: the known answers that Amazon's clients share.
    const KNOWN: [[&str; 4]; 2] = [
        [
            "80d90dc4cc7e77d8a6332efa44eba56230a7fe7b89af37d1e501ab2e07c0a163",
            "b8ea76bed24c7b85382a148cb9dcd1cfdfb765f55ded4dfa6e0c4c79",
            "6dd14f546cc006e639126e83f5d4d1b118576bb5df97f38c6fb3a1db87bbc338",
            "f89818bc0a346d3a3426b68e9509b6b2ae5fe1f904aa329fb73625db",
        ],
        [
            "501afb8227d22e75e68010414b8abdaf3064c081e8e922dafef4992036394d60",
            "61a00b4981a5aacfd136c55cb726e32d2a547dc7600a7d4675c69127",
            "e14786a714748d1d2c3a4a6816dec56ddf1881bbeabb4f39420ffb9f63700b2f",
            "5c1e73e47f6fe3a70d6d094283aceaa76d2975feb829212d88f0afc1",
        ],
    ];

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        assert_eq!(hex.len(), 2 * N);
        std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
    }

    #[test]
    fn derives_the_published_known_answers() {
        for [key, message_id, derived, committed] in KNOWN {
            let (key, message_id) =
                (DataKey::from_bytes(&bytes::<32>(key)).unwrap(), bytes(message_id));
            assert_eq!(*content_key(&key, &message_id).unwrap(), bytes(derived));
            assert_eq!(commitment(&key, &message_id).unwrap(), bytes(committed));
            verify_commitment(&key, &message_id, &bytes(committed)).unwrap();
        }
    }

    #[test]
    fn refuses_a_commitment_that_differs_in_any_bit() {
        let [key, message_id, _, committed] = KNOWN[0];
        let (key, message_id) =
            (DataKey::from_bytes(&bytes::<32>(key)).unwrap(), bytes(message_id));
        for bit in 0..8 * COMMITMENT_BYTES {
            let mut changed = bytes::<COMMITMENT_BYTES>(committed);
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(verify_commitment(&key, &message_id, &changed).is_err(), "bit {bit}");
        }
    }
}
