//! Points in time as people write them.

use jiff::{
    SignedDuration, Timestamp, ToSpan, Unit, Zoned,
    civil::{Date, DateTime, Time},
};

/// Why a text is no point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a time such as 10m, 1h30m, yesterday, today, 15:04, 2026-01-02, \
     \"2026-01-02 15:04\", @1767323045 or 2026-01-02T15:04:05Z"
)]
pub struct InvalidTime;

/// Reads a point in time, nanoseconds since 1970. What has no zone is in that of `now`.
///
/// Durations (`90s`, `10m`, `1h30m`, `2d`) are that long before `now`; `yesterday`, `today` and dates
/// are their midnights; a time of day alone is today's; `@` stands before seconds since 1970.
///
/// # Errors
/// [`InvalidTime`] when it is none of these.
pub fn read_when(text: &str, now: &Zoned) -> Result<i64, InvalidTime> {
    let time = ago(text, now)
        .or_else(|| named(text, now))
        .or_else(|| text.parse::<Timestamp>().ok())
        .or_else(|| {
            let seconds = text.strip_prefix('@')?.parse().ok()?;
            Timestamp::from_second(seconds).ok()
        })
        .or_else(|| local(text, now));
    time.and_then(|time| i64::try_from(time.as_nanosecond()).ok()).ok_or(InvalidTime)
}

fn named(text: &str, now: &Zoned) -> Option<Timestamp> {
    let day = match text {
        "now" => return Some(now.timestamp()),
        "today" => now.clone(),
        "yesterday" => now.checked_sub(1.day()).ok()?,
        _ => return None,
    };
    Some(day.start_of_day().ok()?.timestamp())
}

/// `1h30m`: numbers with units, the larger ones first or not.
fn ago(text: &str, now: &Zoned) -> Option<Timestamp> {
    if text.is_empty() {
        return None;
    }
    let (mut rest, mut total) = (text, SignedDuration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0)?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let number: i64 = number.parse().ok()?;
        let seconds = match unit {
            "ms" => {
                total = total.checked_add(SignedDuration::from_millis(number))?;
                rest = after;
                continue;
            }
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return None,
        };
        let part = SignedDuration::from_secs(number.checked_mul(seconds)?);
        total = total.checked_add(part)?;
        rest = after;
    }
    now.timestamp().checked_sub(total).ok()
}

/// A date, a time of day, or both, on the wall clock of `now`'s zone.
fn local(text: &str, now: &Zoned) -> Option<Timestamp> {
    let wall = match (text.parse::<DateTime>(), text.parse::<Date>(), text.parse::<Time>()) {
        (Ok(both), ..) => both,
        (_, Ok(date), _) => date.to_datetime(Time::midnight()),
        (.., Ok(time)) if text.contains(':') => {
            now.date().to_datetime(time.round(Unit::Nanosecond).ok()?)
        }
        _ => return None,
    };
    Some(wall.to_zoned(now.time_zone().clone()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let now: Zoned = "2026-03-04T12:30:00+02:00[+02:00]".parse().unwrap();
        let read = |text: &str| {
            let nanoseconds = i128::from(read_when(text, &now).unwrap());
            Timestamp::from_nanosecond(nanoseconds).unwrap().to_string()
        };
        let cases = [
            ("10m", "2026-03-04T10:20:00Z"),
            ("1h30m", "2026-03-04T09:00:00Z"),
            ("2d", "2026-03-02T10:30:00Z"),
            ("1500ms", "2026-03-04T10:29:58.5Z"),
            ("now", "2026-03-04T10:30:00Z"),
            ("today", "2026-03-03T22:00:00Z"),
            ("yesterday", "2026-03-02T22:00:00Z"),
            ("2026-01-02", "2026-01-01T22:00:00Z"),
            ("2026-01-02 15:04", "2026-01-02T13:04:00Z"),
            ("2026-01-02T15:04:05.5", "2026-01-02T13:04:05.5Z"),
            ("2026-01-02T15:04:05Z", "2026-01-02T15:04:05Z"),
            ("2026-01-02T15:04:05+05:00", "2026-01-02T10:04:05Z"),
            ("08:00", "2026-03-04T06:00:00Z"),
            ("@1", "1970-01-01T00:00:01Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), expected, "{text}");
        }
        for wrong in
            ["", "soon", "10", "10x", "m", "-5m", "2026-13-01", "99999999999999999999h", "@x"]
        {
            assert_eq!(read_when(wrong, &now), Err(InvalidTime), "{wrong}");
        }
    }
}
