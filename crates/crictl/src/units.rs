//! Ages, sizes and times as crictl shows them.

use jiff::{Timestamp, tz::TimeZone};

/// An age in words, as docker's units have it: `3 minutes`, `About an hour`. Nanoseconds.
pub fn age(nanoseconds: i64) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    let minutes = seconds / 60;
    // Half an hour is rounded up.
    let hours = (nanoseconds / 1_000_000_000 + 1800) / 3600;
    match (seconds, minutes, hours) {
        (..1, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, ..60, _) => format!("{minutes} minutes"),
        (_, _, 1) => "About an hour".to_owned(),
        (_, _, ..48) => format!("{hours} hours"),
        (_, _, ..336) => format!("{} days", hours / 24),
        (_, _, ..1440) => format!("{} weeks", hours / 24 / 7),
        (_, _, ..17_520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// A size with this many digits and the largest fitting power of 1000: `1.5MB`.
pub fn size(bytes: u64, digits: usize) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    #[expect(clippy::cast_precision_loss, reason = "a handful of digits is shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{}{}", general(value, digits), UNITS.get(unit).unwrap_or(&""))
}

/// A number as C's `%.*g` writes it.
pub fn general(value: f64, digits: usize) -> String {
    let digits = digits.max(1);
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let most = i32::try_from(digits).unwrap_or(i32::MAX);
    if (-4..most).contains(&exponent) {
        let after = usize::try_from(most - 1 - exponent).unwrap_or_default();
        return trimmed(&format!("{value:.after$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
}

/// A number as Go's `%v` writes it: the fewest digits, with an exponent below 1e-4 and from 1e6 on.
pub fn shortest(value: f64) -> String {
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if !value.is_finite() || (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

fn trimmed(number: &str) -> &str {
    if !number.contains('.') {
        return number;
    }
    number.trim_end_matches('0').trim_end_matches('.')
}

/// A time as Go's `RFC3339Nano` has it, in this zone: without zeros at the end of the fraction.
pub fn rfc3339(nanoseconds: i64, zone: &TimeZone) -> String {
    let zoned = timestamp(nanoseconds).to_zoned(zone.clone());
    let offset = match zoned.offset().seconds() {
        0 => "Z".to_owned(),
        _ => zoned.strftime("%:z").to_string(),
    };
    format!("{}{}{offset}", zoned.strftime("%Y-%m-%dT%H:%M:%S"), fraction(&zoned))
}

/// A time as Go prints it, in this zone: `2026-01-02 15:04:05.5 +0100 CET`.
pub fn printed(nanoseconds: i64, zone: &TimeZone) -> String {
    let zoned = timestamp(nanoseconds).to_zoned(zone.clone());
    let date = zoned.strftime("%Y-%m-%d %H:%M:%S");
    format!("{date}{} {}", fraction(&zoned), zoned.strftime("%z %Z"))
}

fn timestamp(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or_default()
}

fn fraction(time: &jiff::Zoned) -> String {
    let digits = format!("{:09}", time.subsec_nanosecond());
    match digits.trim_end_matches('0') {
        "" => String::new(),
        digits => format!(".{digits}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_in_words() {
        let shown = |seconds: i64| age(seconds * 1_000_000_000);
        let cases = [
            (-5, "Less than a second"),
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (180, "3 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (5400, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (13 * 86_400, "13 days"),
            (14 * 86_400, "2 weeks"),
            (60 * 86_400, "2 months"),
            (730 * 86_400, "2 years"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(shown(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn sizes_have_their_digits() {
        assert_eq!(size(0, 3), "0B");
        assert_eq!(size(999, 3), "999B");
        assert_eq!(size(746_881, 3), "747kB");
        assert_eq!(size(2_166_802, 4), "2.167MB");
        assert_eq!(size(4_000_000_000, 4), "4GB");
        assert_eq!(size(999_900, 3), "1e+03kB");
        let cases = [(1e6, "1e+06"), (123_456.5, "123456.5"), (0.000_01, "1e-05"), (0.0, "0")];
        for (value, expected) in cases {
            assert_eq!(shortest(value), expected);
        }
    }

    #[test]
    fn times_are_as_go_writes_them() {
        let utc = TimeZone::UTC;
        assert_eq!(rfc3339(1_500_000_000, &utc), "1970-01-01T00:00:01.5Z");
        assert_eq!(printed(0, &utc), "1970-01-01 00:00:00 +0000 UTC");
        let east = TimeZone::fixed(jiff::tz::offset(5));
        assert_eq!(rfc3339(1, &east), "1970-01-01T05:00:00.000000001+05:00");
    }
}
