//! Spans of time as people write them.

use std::time::Duration;

use crate::error::CommandError;

/// `90s`, `5m`, `24h`, `7d`.
pub(crate) fn duration(flag: &str, text: &str) -> Result<Duration, CommandError> {
    let parsed = || {
        let unit = text.chars().last()?;
        let seconds: u64 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 24 * 3600,
            _ => return None,
        };
        let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
        count.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs)
    };
    parsed().ok_or_else(|| {
        CommandError::usage(format!("{flag} {text} is not a span of time"))
            .hint(format!("for example {flag} 90s, {flag} 5m, {flag} 24h or {flag} 7d"))
    })
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn spans_have_a_number_and_a_unit() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("24h", 86_400), ("7d", 604_800)] {
            assert_eq!(duration("--poll", text).unwrap().as_secs(), seconds, "{text}");
        }
        for wrong in ["", "5", "s", "0s", "-5s", "5 s", "5w", "99999999999999999999d", "5é"] {
            assert!(duration("--poll", wrong).is_err(), "{wrong}");
        }
    }
}
