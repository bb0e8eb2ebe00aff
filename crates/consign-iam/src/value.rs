//! Numbers, instants and networks as condition values. Numbers are compared as decimals, digit by
//! digit: two account numbers or sizes that differ in the last digit differ here too, which
//! floating point would not promise.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::IpAddr;

/// A decimal number of any length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal<'a> {
    negative: bool,
    // INVARIANT: no leading zeros in `whole`, no trailing zeros in `fraction`.
    whole: Cow<'a, str>,
    fraction: Cow<'a, str>,
}

/// Beyond this an exponent is not a number anybody meant.
const EXPONENT_MAX: u32 = 400;

impl<'a> Decimal<'a> {
    /// Reads `12`, `-1.50`, `+3`, `.5`, `1e3`.
    pub fn parse(text: &'a str) -> Option<Decimal<'a>> {
        let text = text.trim();
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
            return None;
        }
        if exponent != 0 {
            return Decimal::shifted(negative, whole, fraction, exponent);
        }
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        let negative = negative && !(whole.is_empty() && fraction.is_empty());
        Some(Decimal { negative, whole: Cow::Borrowed(whole), fraction: Cow::Borrowed(fraction) })
    }

    fn shifted(negative: bool, whole: &str, fraction: &str, exponent: i32) -> Option<Decimal<'a>> {
        if exponent.unsigned_abs() > EXPONENT_MAX {
            return None;
        }
        let zeros = "0".repeat(usize::try_from(exponent.unsigned_abs()).ok()?);
        let (whole, fraction) = if exponent > 0 {
            let padded = format!("{fraction}{zeros}");
            let (up, rest) = padded.split_at(zeros.len());
            (format!("{whole}{up}"), rest.to_owned())
        } else {
            let padded = format!("{zeros}{whole}");
            let (rest, down) = padded.split_at(padded.len() - zeros.len());
            (rest.to_owned(), format!("{down}{fraction}"))
        };
        let plain = Decimal::parse_plain(negative, &whole, &fraction);
        Some(plain)
    }

    fn parse_plain(negative: bool, whole: &str, fraction: &str) -> Decimal<'a> {
        let whole = whole.trim_start_matches('0').to_owned();
        let fraction = fraction.trim_end_matches('0').to_owned();
        let negative = negative && !(whole.is_empty() && fraction.is_empty());
        Decimal { negative, whole: Cow::Owned(whole), fraction: Cow::Owned(fraction) }
    }

    pub(crate) fn into_owned(self) -> Decimal<'static> {
        Decimal {
            negative: self.negative,
            whole: Cow::Owned(self.whole.into_owned()),
            fraction: Cow::Owned(self.fraction.into_owned()),
        }
    }

    /// Digits behind the point.
    pub(crate) fn fraction_digits(&self) -> usize {
        self.fraction.len()
    }

    /// The number as SMT-LIB writes it.
    pub(crate) fn in_smt(&self) -> String {
        let whole = if self.whole.is_empty() { "0" } else { &*self.whole };
        let fraction = if self.fraction.is_empty() { "0" } else { &*self.fraction };
        let number = format!("{whole}.{fraction}");
        if self.negative { format!("(- {number})") } else { number }
    }

    /// Numbers close to this one. The last lies just beyond it, seen from zero: no number with
    /// at most `digits` digits behind the point is between.
    pub(crate) fn neighbours(&self, digits: usize) -> Vec<String> {
        let sign = if self.negative { "-" } else { "" };
        let whole = if self.whole.is_empty() { "0" } else { &*self.whole };
        let mut near = Vec::new();
        if let Ok(number) = format!("{sign}{whole}").parse::<i128>() {
            near.extend([number + 1, number - 1].map(|number| number.to_string()));
        }
        let zeros = "0".repeat((digits + 1).saturating_sub(self.fraction.len()));
        near.push(format!("{sign}{whole}.{}{zeros}1", self.fraction));
        near
    }

    fn magnitude(&self, other: &Decimal<'_>) -> Ordering {
        let whole = self.whole.len().cmp(&other.whole.len());
        whole
            .then_with(|| self.whole.cmp(&other.whole))
            .then_with(|| self.fraction.cmp(&other.fraction))
    }

    pub(crate) fn order(&self, other: &Decimal<'_>) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.magnitude(other),
            (true, true) => other.magnitude(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

/// A point in time, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(i128);

impl Instant {
    /// Reads the ISO 8601 forms that IAM names (`2030`, `2030-01`, `2030-01-31`,
    /// `2030-01-31T12:30Z`, `…:59.25+02:00`), and seconds since 1970. Without a zone it is UTC.
    pub fn parse(text: &str) -> Option<Instant> {
        let text = text.trim();
        if text.len() != 4 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Instant::from_epoch(text);
        }
        let (date, time) = match text.split_once(['T', 't', ' ']) {
            Some((date, time)) => (date, Some(time)),
            None => (text, None),
        };
        let mut parts = date.split('-');
        let year = fixed(parts.next()?, 4)?;
        let month = parts.next().map_or(Some(1), |part| fixed(part, 2))?;
        let day = parts.next().map_or(Some(1), |part| fixed(part, 2))?;
        if parts.next().is_some() || (time.is_some() && date.len() != 10) {
            return None;
        }
        let midnight = i128::from(days(year, month, day)?) * 86_400 * NANOS;
        Some(Instant(midnight + time.map_or(Some(0), nanos_of_day)?))
    }

    /// Nanoseconds since 1970.
    pub(crate) fn nanos(self) -> i128 {
        self.0
    }

    /// The instants a nanosecond before and after, where they can be written as seconds.
    pub(crate) fn neighbours(self) -> Vec<String> {
        let written = |nanos: i128| {
            // Four digits alone would be a year.
            (nanos >= 0).then(|| format!("{:011}.{:09}", nanos / NANOS, nanos % NANOS))
        };
        [self.0 + 1, self.0 - 1].into_iter().filter_map(written).collect()
    }

    fn from_epoch(text: &str) -> Option<Instant> {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
        Some(Instant(
            i128::from(seconds.parse::<i64>().ok()?) * NANOS + nanos_of_fraction(fraction)?,
        ))
    }
}

const NANOS: i128 = 1_000_000_000;

fn fixed(text: &str, digits: usize) -> Option<i64> {
    let well_formed = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    well_formed.then(|| text.parse().ok())?
}

/// Days since 1970-01-01 in the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years are counted from March, so that the leap day is the last of its year.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    Some(
        era * 146_097 + year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 + day
            - 1
            - 719_468,
    )
}

/// The time of day with its zone, as nanoseconds after midnight UTC.
fn nanos_of_day(text: &str) -> Option<i128> {
    let (clock, offset_minutes) = match text.find(['Z', 'z', '+', '-']) {
        Some(at) => (text.get(..at)?, zone_minutes(text.get(at..)?)?),
        None => (text, 0),
    };
    let (clock, fraction) = clock.split_once(['.', ',']).unwrap_or((clock, "0"));
    let mut parts = clock.split(':');
    let hour = fixed(parts.next()?, 2)?;
    let minute = fixed(parts.next()?, 2)?;
    let second = parts.next().map_or(Some(0), |part| fixed(part, 2))?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = hour * 3600 + (minute - offset_minutes) * 60 + second;
    Some(i128::from(seconds) * NANOS + nanos_of_fraction(fraction)?)
}

fn zone_minutes(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let (sign, digits) = text.split_at_checked(1)?;
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) => (fixed(hours, 2)?, fixed(minutes, 2)?),
        None if digits.len() == 2 => (fixed(digits, 2)?, 0),
        None => (fixed(digits.get(..2)?, 2)?, fixed(digits.get(2..)?, 2)?),
    };
    let minutes = hours * 60 + minutes;
    (hours <= 14 && minutes % 60 == minutes - hours * 60).then_some(if sign == "-" {
        -minutes
    } else {
        minutes
    })
}

fn nanos_of_fraction(digits: &str) -> Option<i128> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nine: String = digits.chars().chain("000000000".chars()).take(9).collect();
    nine.parse().ok()
}

/// An address range in CIDR notation, or one address. Bits beyond the prefix do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl Network {
    /// Reads `192.0.2.0/24`, `2001:db8::/32`, `192.0.2.1`.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            Some(prefix) if prefix.bytes().all(|b| b.is_ascii_digit()) => prefix.parse().ok()?,
            Some(_) => return None,
            None => most,
        };
        (prefix_bits <= most).then_some(Network { address, prefix_bits })
    }

    /// Whether the address lies in this range. IPv4 and IPv6 never meet.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = u32::from(network) ^ u32::from(address);
                differing.checked_shr(32 - u32::from(self.prefix_bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = u128::from(network) ^ u128::from(address);
                differing.checked_shr(128 - u32::from(self.prefix_bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    /// The first address and the number of leading bits that count.
    pub fn parts(&self) -> (IpAddr, u8) {
        (self.address, self.prefix_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(a: &str, b: &str) -> Option<Ordering> {
        Some(Decimal::parse(a)?.order(&Decimal::parse(b)?))
    }

    #[test]
    fn numbers_compare_as_decimals() {
        for (a, b, expected) in [
            ("1", "1.0", Ordering::Equal),
            ("-0", "0", Ordering::Equal),
            ("1.2", "1.10", Ordering::Greater),
            ("9007199254740993", "9007199254740992", Ordering::Greater),
            ("-2", "1", Ordering::Less),
            ("-2", "-10", Ordering::Greater),
            ("1e3", "1000", Ordering::Equal),
            ("15e-1", "1.5", Ordering::Equal),
            ("1.25e1", "12.5", Ordering::Equal),
            ("007", "7", Ordering::Equal),
        ] {
            assert_eq!(order(a, b), Some(expected), "{a} and {b}");
        }
        for wrong in ["", "-", ".", "1a", "0x10", "1.2.3", "1e", "1e999999", "ten", "--1"] {
            assert!(Decimal::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn instants_compare_across_notations() {
        let same = [
            "2026-11-21T00:00:00Z",
            "2026-11-21",
            "2026-11-21T01:30:00+01:30",
            "2026-11-20T19:00-05:00",
            "2026-11-21T00:00:00.000Z",
            "1795219200",
        ];
        for text in same {
            assert_eq!(Instant::parse(text), Instant::parse("2026-11-21"), "{text}");
            assert!(Instant::parse(text).is_some());
        }
        assert_eq!(Instant::parse("1970-01-01"), Some(Instant(0)));
        assert!(Instant::parse("2024-02-29") > Instant::parse("2024-02-28T23:59:59.999Z"));
        for wrong in [
            "",
            "2023-02-29",
            "2026-13-01",
            "2026-11-21T24:00Z",
            "21.11.2026",
            "T10:00",
            "yesterday",
            "2026-11T10:00Z",
        ] {
            assert_eq!(Instant::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn networks_contain_addresses_of_their_family() {
        let holds = |network: &str, address: &str| {
            Network::parse(network).unwrap().contains(address.parse().unwrap())
        };
        assert!(holds("10.0.0.5/8", "10.9.9.9"));
        assert!(holds("0.0.0.0/0", "255.255.255.255"));
        assert!(holds("::/0", "2001:db8::1"));
        assert!(!holds("0.0.0.0/0", "2001:db8::1"));
        assert!(!holds("192.0.2.1", "192.0.2.2"));
        assert!(holds("2001:db8::/33", "2001:db8:7fff::"));
        assert!(!holds("2001:db8::/33", "2001:db8:8000::"));
        for wrong in ["10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/", "10.0.0.0/+8", "*"] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }
}
