//! The field GF(2^128) of GHASH (NIST SP 800-38D §6.3), for joining hashes of parts.
//!
//! An element is a block read as a big-endian number, so that the coefficient of x^0 is the highest
//! bit. Constant time: no branch and no index depends on an element. It is used a few dozen times
//! per half mebibyte; what is hashed goes through aws-lc (see `gcm.rs`).

/// x^128 = x^7 + x^2 + x + 1, with the coefficient of x^0 highest.
const REDUCTION: u128 = 0xe1 << 120;

/// The coefficient of x^0: the neutral element.
const ONE: u128 = 1 << 127;

pub(super) fn multiply(left: u128, right: u128) -> u128 {
    let (mut product, mut shifted) = (0u128, right);
    for place in (0..128).rev() {
        product ^= shifted & mask((left >> place) & 1);
        shifted = (shifted >> 1) ^ (REDUCTION & mask(shifted & 1));
    }
    product
}

/// All ones for 1, all zeros for 0.
fn mask(bit: u128) -> u128 {
    0u128.wrapping_sub(bit)
}

/// `base` to the power of `exponent`, which is a number of blocks and no secret.
pub(super) fn power(base: u128, exponent: u64) -> u128 {
    let (mut result, mut square, mut rest) = (ONE, base, exponent);
    while rest > 0 {
        if rest & 1 == 1 {
            result = multiply(result, square);
        }
        square = multiply(square, square);
        rest >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::{ONE, multiply, power};

    // The GCM specification (McGrew and Viega), test case 2: one block of content.
    const H: u128 = 0x66e9_4bd4_ef8a_2c3b_884c_fa59_ca34_2b2e;
    const CIPHERTEXT: u128 = 0x0388_dace_60b6_a392_f328_c2b9_71b2_fe78;

    #[test]
    fn products_are_those_of_the_gcm_specification() {
        let first = multiply(CIPHERTEXT, H);
        assert_eq!(first, 0x5e2e_c746_9170_6288_2c85_b068_5353_deb7);
        assert_eq!(multiply(first ^ 128, H), 0xf38c_bb1a_d692_23dc_c345_7ae5_b6b0_f885);
    }

    #[test]
    fn powers_are_repeated_products() {
        assert_eq!(power(H, 0), ONE);
        assert_eq!(multiply(ONE, H), H);
        let mut product = ONE;
        for exponent in 1..70 {
            product = multiply(product, H);
            assert_eq!(power(H, exponent), product, "{exponent}");
        }
        assert_eq!(multiply(power(H, 1 << 35), power(H, 77)), power(H, (1 << 35) + 77));
    }
}
