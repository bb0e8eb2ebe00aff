//! Days and seconds in UTC. The clock itself is the caller's.

use crate::name::shown;
use crate::{Error, ErrorKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use time::format_description::well_known::Rfc3339;
use time::{Month, OffsetDateTime};

/// A day, `YYYY-MM-DD`, in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(time::Date);

/// A second in UTC, written as RFC 3339 with `Z`: `2026-11-21T02:45:00Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(OffsetDateTime);

impl Date {
    /// Reads `YYYY-MM-DD`.
    pub fn parse(text: &str) -> Result<Date, Error> {
        let parsed = || {
            let mut parts = text.split('-');
            let year: u16 = digits(parts.next()?, 4)?.parse().ok()?;
            let month: u8 = digits(parts.next()?, 2)?.parse().ok()?;
            let day: u8 = digits(parts.next()?, 2)?.parse().ok()?;
            if parts.next().is_some() { None } else { Date::from_parts(year, month, day) }
        };
        parsed().ok_or_else(|| {
            Error::new(
                ErrorKind::BadValue,
                format!("{} is not a date of the form 2027-12-31", shown(text)),
            )
        })
    }

    /// The day of a calendar date, if there is such a day.
    #[must_use]
    pub fn from_parts(year: u16, month: u8, day: u8) -> Option<Date> {
        let month = Month::try_from(month).ok()?;
        time::Date::from_calendar_date(i32::from(year), month, day).ok().map(Date)
    }

    /// The day on which this many milliseconds have passed since 1970.
    #[must_use]
    pub fn from_unix_ms(ms: u64) -> Date {
        Timestamp::from_unix_ms(ms).date()
    }
}

fn digits(text: &str, count: usize) -> Option<&str> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit())).then_some(text)
}

impl Timestamp {
    /// The last moment that RFC 3339 can write.
    const SECONDS_MAX: i64 = 253_402_300_799;

    /// Reads exactly the form in which it is written: whole seconds, `Z`.
    pub fn parse(text: &str) -> Result<Timestamp, Error> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339).ok().map(Timestamp);
        // Compared as written, so that one moment has one spelling.
        parsed.filter(|t| t.0.year() >= 1970 && t.to_string() == text).ok_or_else(|| {
            Error::new(
                ErrorKind::BadValue,
                format!("{} is not a time of the form 2026-11-21T02:45:00Z", shown(text)),
            )
        })
    }

    /// The second in which this many milliseconds have passed since 1970; times after the year
    /// 9999 become its last second.
    #[must_use]
    pub fn from_unix_ms(ms: u64) -> Timestamp {
        let seconds = i64::try_from(ms / 1000).unwrap_or(i64::MAX).min(Timestamp::SECONDS_MAX);
        let moment = OffsetDateTime::from_unix_timestamp(seconds);
        Timestamp(moment.expect("the seconds were limited to what can be written"))
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn unix_seconds(&self) -> i64 {
        self.0.unix_timestamp()
    }

    /// The day it falls on.
    #[must_use]
    pub fn date(&self) -> Date {
        Date(self.0.date())
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.0.year(), u8::from(self.0.month()), self.0.day())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute, second) = self.0.to_hms();
        write!(f, "{}T{hour:02}:{minute:02}:{second:02}Z", self.date())
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timestamp::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_real_days() {
        assert_eq!(Date::parse("2028-02-29").expect("a leap day").to_string(), "2028-02-29");
        for bad in
            ["", "2027-02-29", "2027-13-01", "27-01-01", "2027-1-1", "2027-01-01x", "+027-01-01"]
        {
            assert!(Date::parse(bad).is_err(), "{bad:?}");
        }
        assert!(
            Date::parse("2026-12-31").expect("a day") < Date::parse("2027-01-01").expect("too")
        );
    }

    #[test]
    fn a_moment_has_one_spelling() {
        let t = Timestamp::from_unix_ms(1_795_229_100_999);
        assert_eq!(t.to_string(), "2026-11-21T02:45:00Z");
        assert_eq!(Timestamp::parse("2026-11-21T02:45:00Z").expect("as written"), t);
        for bad in [
            "2026-11-21T02:45:00+00:00",
            "2026-11-21t02:45:00z",
            "2026-11-21T02:45:00.0Z",
            "2026-11-21",
            "1969-12-31T23:59:59Z",
            "2026-02-30T00:00:00Z",
        ] {
            assert!(Timestamp::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Timestamp::from_unix_ms(u64::MAX).to_string(), "9999-12-31T23:59:59Z");
    }
}
