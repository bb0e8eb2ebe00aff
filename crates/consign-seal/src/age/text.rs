//! Keys as text: Bech32 (BIP 173) without its limit on length (age.md, "Conventions").

use bech32::primitives::checksum::Checksum;
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use zeroize::{Zeroize, Zeroizing};

/// The checksum of Bech32 for texts of any length.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LongBech32 {}

impl Checksum for LongBech32 {
    type MidstateRepr = <Bech32 as Checksum>::MidstateRepr;
    type CorrectionField = <Bech32 as Checksum>::CorrectionField;
    const ROOT_GENERATOR: Self::CorrectionField = Bech32::ROOT_GENERATOR;
    const ROOT_EXPONENTS: std::ops::RangeInclusive<usize> = Bech32::ROOT_EXPONENTS;
    const CODE_LENGTH: usize = usize::MAX;
    const CHECKSUM_LENGTH: usize = Bech32::CHECKSUM_LENGTH;
    const GENERATOR_SH: [u32; 5] = Bech32::GENERATOR_SH;
    const TARGET_RESIDUE: u32 = Bech32::TARGET_RESIDUE;
}

/// A public key, in lower case.
pub(super) fn encode(hrp: &str, key: &[u8]) -> String {
    bech32::encode_lower::<LongBech32>(Hrp::parse_unchecked(hrp), key)
        .expect("there is no limit to be above")
}

/// A secret key, in upper case.
pub(super) fn encode_secret(hrp: &str, key: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(
        bech32::encode_upper::<LongBech32>(Hrp::parse_unchecked(hrp), key)
            .expect("there is no limit to be above"),
    )
}

/// Exactly `N` bytes under exactly this prefix, in the case of the prefix, in the only encoding
/// that is accepted.
pub(super) fn decode<const N: usize>(
    hrp: &str,
    text: &str,
) -> Result<Zeroizing<[u8; N]>, &'static str> {
    // The characters of N bytes, then 6 of checksum. Knowing it spares us hostile megabytes.
    if text.len() != hrp.len() + 1 + (N * 8).div_ceil(5) + 6 {
        return Err("it is not of the right length");
    }
    let (found, bytes) = decode_any(text)?;
    if found != hrp {
        return Err("it does not begin as one");
    }
    let key = bytes.as_slice().try_into().map_err(|_| "it is not of the right length")?;
    Ok(Zeroizing::new(key))
}

/// The prefix, in its case, and the bytes of any such text.
pub(super) fn decode_any(text: &str) -> Result<(String, Zeroizing<Vec<u8>>), &'static str> {
    let parsed = CheckedHrpstring::new::<LongBech32>(text)
        .map_err(|_| "a character is wrong (its checksum does not match)")?;
    let bytes = Zeroizing::new(parsed.byte_iter().collect::<Vec<u8>>());
    let hrp = text.rsplit_once('1').map(|(hrp, _)| hrp).unwrap_or_default();
    let lower = !hrp.contains(|c: char| c.is_ascii_uppercase());
    // BIP 173: the padding bits must be zero. The decoder drops them, so compare with what
    // encoding gives; this is the only encoding of the key that is accepted.
    let mut again =
        if lower { encode(hrp, &bytes) } else { encode_secret(hrp, &bytes).to_string() };
    let canonical = again == text;
    again.zeroize();
    if canonical {
        Ok((hrp.to_owned(), bytes))
    } else {
        Err("it is not written in the canonical way")
    }
}
