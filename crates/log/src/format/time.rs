//! Times of records: RFC 3339, nanoseconds since 1970, fast.

const SECOND: i64 = 1_000_000_000;

/// Reads times of records one after the other; those of one day cost next to nothing.
#[derive(Debug, Clone, Default)]
pub struct TimeReader {
    /// The last time's date and clock, without its fraction.
    second: [u8; 19],
    /// Nanoseconds from 1970 to that second, as if it were UTC; absent before the first.
    start: Option<i64>,
    /// The same for the beginning of its day.
    day: Option<i64>,
}

impl TimeReader {
    /// Reads an RFC 3339 time; nothing when it is none, or past the year 2262.
    #[inline]
    pub fn read(&mut self, time: &[u8]) -> Option<i64> {
        let second: &[u8; 19] = time.first_chunk()?;
        let start = match self.start {
            Some(start) if self.second == *second => start,
            _ => self.turn_to(second)?,
        };
        let (fraction, zone) = fraction(time.get(19..)?)?;
        start.checked_add(fraction - offset(zone)? * SECOND)
    }

    /// Reads date and clock of another second, and remembers them.
    fn turn_to(&mut self, second: &[u8; 19]) -> Option<i64> {
        let date: &[u8; 10] = second.first_chunk()?;
        let day = match self.day {
            Some(day) if self.second.first_chunk() == Some(date) => day,
            _ => day(date)?,
        };
        let [b'T', h, i, b':', m, n, b':', s, t] = *second.last_chunk::<9>()? else { return None };
        let (hours, minutes, seconds) = (two(h, i)?, two(m, n)?, two(s, t)?);
        // 60 is a leap second.
        if hours > 23 || minutes > 59 || seconds > 60 {
            return None;
        }
        let start = day.checked_add((hours * 3600 + minutes * 60 + seconds) * SECOND)?;
        (self.second, self.start, self.day) = (*second, Some(start), Some(day));
        Some(start)
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

/// Eight digits at once, two, four and eight of them added up side by side in one word.
#[inline]
fn eight(digits: &[u8; 8]) -> Option<i64> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(*digits);
    let values = word.wrapping_sub(EACH * 0x30);
    // What is above '9' carries into the highest bit of its byte, what is below '0' borrows from it.
    if (word.wrapping_add(EACH * 0x46) | values) & (EACH * 0x80) != 0 {
        return None;
    }
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    let all = fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff;
    i64::try_from(all).ok()
}

/// Nanoseconds of a fraction, and what follows it.
#[inline]
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', digits)) = text.split_first() else { return Some((0, text)) };
    // Nine digits and a letter, nearly always.
    if let Some((most, [last, zone @ ..])) = digits.split_first_chunk()
        && let (Some(most), Some(last)) = (eight(most), digit(*last))
        && zone.first().is_some_and(|byte| !byte.is_ascii_digit())
    {
        return Some((most * 10 + last, zone));
    }
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
            "2026-01-02T00:00:00.12345678/Z",
            "2026-01-02T00:00:00.1234567:9Z",
            "2026-01-02T00:00:00.123456789",
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
        fn a_reader_that_has_read_others_reads_the_same(
            times in proptest::collection::vec(0_i64..400_000, 1..20),
        ) {
            let mut reader = TimeReader::default();
            for milliseconds in times {
                let time = jiff::Timestamp::from_millisecond(milliseconds * 217).unwrap();
                let nanoseconds = milliseconds * 217 * 1_000_000;
                prop_assert_eq!(reader.read(time.to_string().as_bytes()), Some(nanoseconds));
                prop_assert_eq!(reader.read(b"1970-01-01T00:00:61Z"), None);
            }
        }

        #[test]
        fn eight_digits_are_read_as_one_number(digits in any::<[u8; 8]>(), value in 0_i64..100_000_000) {
            let expected = digits.iter().try_fold(0, |sum, byte| Some(sum * 10 + digit(*byte)?));
            prop_assert_eq!(eight(&digits), expected);
            let text = format!("{value:08}");
            prop_assert_eq!(eight(text.as_bytes().first_chunk().unwrap()), Some(value));
        }

        #[test]
        fn nothing_makes_it_panic(time in proptest::collection::vec(any::<u8>(), 0..40)) {
            parse_time(&time);
        }
    }
}
