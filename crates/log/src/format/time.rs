//! Times of records: RFC 3339, nanoseconds since 1970, fast.

const SECOND: i64 = 1_000_000_000;

/// Reads times of records one after the other; those of one day cost next to nothing.
#[derive(Debug, Clone, Default)]
pub struct TimeReader {
    date: [u8; 10],
    /// Nanoseconds from 1970 to the beginning of that day; absent before the first.
    day: Option<i64>,
}

impl TimeReader {
    /// Reads an RFC 3339 time; nothing when it is none, or past the year 2262.
    #[inline]
    pub fn read(&mut self, time: &[u8]) -> Option<i64> {
        let date: &[u8; 10] = time.first_chunk()?;
        let day = match self.day {
            Some(day) if self.date == *date => day,
            _ => {
                let day = day(date)?;
                (self.date, self.day) = (*date, Some(day));
                day
            }
        };
        let rest = time.get(10..)?;
        let clock: &[u8; 9] = rest.first_chunk()?;
        if clock[0] != b'T' || clock[3] != b':' || clock[6] != b':' {
            return None;
        }
        let hours = two(clock[1], clock[2])?;
        let minutes = two(clock[4], clock[5])?;
        let seconds = two(clock[7], clock[8])?;
        // 60 is a leap second.
        if hours > 23 || minutes > 59 || seconds > 60 {
            return None;
        }
        let (fraction, zone) = fraction(rest.get(9..)?)?;
        let offset = offset(zone)?;
        let clock = (hours * 3600 + minutes * 60 + seconds - offset) * SECOND + fraction;
        day.checked_add(clock)
    }
}

/// Reads one time; see [`TimeReader::read`].
pub fn parse_time(time: &[u8]) -> Option<i64> {
    TimeReader::default().read(time)
}

#[inline]
fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
}

#[inline]
fn two(tens: u8, ones: u8) -> Option<i64> {
    Some(digit(tens)? * 10 + digit(ones)?)
}

/// Nanoseconds of a fraction, and what follows it.
#[inline]
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', digits)) = text.split_first() else { return Some((0, text)) };
    let (mut value, mut scale, mut length) = (0_i64, SECOND, 0);
    for byte in digits {
        let Some(digit) = digit(*byte) else { break };
        length += 1;
        scale /= 10;
        // Digits past the ninth are beyond what is counted.
        value += digit * scale;
    }
    if length == 0 { None } else { Some((value, digits.get(length..)?)) }
}

/// Seconds that a zone is ahead of UTC.
#[inline]
fn offset(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h, i, b':', m, n] => {
            let (hours, minutes) = (two(*h, *i)?, two(*m, *n)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = hours * 3600 + minutes * 60;
            Some(if *sign == b'+' { seconds } else { -seconds })
        }
        _ => None,
    }
}

/// Nanoseconds from 1970 to the beginning of a day of the Gregorian calendar.
fn day(date: &[u8; 10]) -> Option<i64> {
    let [a, b, c, d, b'-', m, n, b'-', x, y] = *date else { return None };
    let (year, month, day) = (two(a, b)? * 100 + two(c, d)?, two(m, n)?, two(x, y)?);
    let date = jiff::civil::Date::new(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
    );
    let midnight = date.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    midnight.timestamp().as_second().checked_mul(SECOND)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_of_every_form_are_read() {
        assert_eq!(parse_time(b"1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse_time(b"1970-01-01T00:00:01.5Z"), Some(1_500_000_000));
        assert_eq!(parse_time(b"1970-01-01T02:00:00+02:00"), Some(0));
        assert_eq!(parse_time(b"1969-12-31T22:30:00.000000001-01:30"), Some(1));
        assert_eq!(parse_time(b"2024-02-29T00:00:00Z"), Some(1_709_164_800_000_000_000));
        let wrong = [
            "",
            "2026-01-02",
            "2026-02-30T00:00:00Z",
            "2026-01-02T24:00:00Z",
            "2026-01-02T00:00:00",
            "2026-01-02T00:00:00.Z",
            "2026-01-02 00:00:00Z",
            "2026-01-02T00:00:00+1:00",
            "9999-01-01T00:00:00Z",
        ];
        for text in wrong {
            assert_eq!(parse_time(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn times_are_those_of_the_calendar(nanoseconds in 0_i64..4_000_000_000_000_000_000) {
            let timestamp = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap();
            prop_assert_eq!(parse_time(timestamp.to_string().as_bytes()), Some(nanoseconds));
        }

        #[test]
        fn nothing_makes_it_panic(time in proptest::collection::vec(any::<u8>(), 0..40)) {
            parse_time(&time);
        }
    }
}
