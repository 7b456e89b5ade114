//! Values on the command line.

use std::time::Duration;

/// Forms of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// Forms of output of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Form {
    /// For people
    #[default]
    Table,
    /// For people with wide terminals
    Wide,
    /// For programs: everything that is known
    Json,
    /// The same as YAML
    Yaml,
    /// Names only, one per line
    Name,
}

/// Forms of output of single things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Document {
    /// For people: what matters first
    #[default]
    Text,
    /// For programs: everything that is known
    Json,
    /// The same as YAML
    Yaml,
}

/// Reads `90`, `90s`, `1.5m`, `2h`, `250ms`: a number with a unit, seconds without one.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("expected a time such as 500ms, 30s, 5m or 1h".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| "expected a time such as 30s or 5m".to_owned())?;
    Duration::try_from_secs_f64(number * scale).map_err(|_| "the time is too long".to_owned())
}

/// A time in whole seconds, rounded up.
pub(crate) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Reads a size such as 4096, 100k or 10Mi, in bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    crilet_core::read_size(text)
        .ok_or_else(|| "expected a size such as 4096, 100k or 10Mi".to_owned())
}

/// Reads a point in time, nanoseconds since 1970.
pub(crate) fn when(text: &str) -> Result<i64, String> {
    crilet_log::read_when(text, &jiff::Zoned::now()).map_err(|error| error.to_string())
}

/// Now, nanoseconds since 1970.
pub(crate) fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// Bytes with the largest fitting unit: `512`, `9.8Ki`, `10Mi`, `1.5Gi`.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = [(30, "Gi"), (20, "Mi"), (10, "Ki")];
    let Some((shift, unit)) = units.into_iter().find(|(shift, _)| bytes >> shift > 0) else {
        return bytes.to_string();
    };
    // Tenths, rounded down: nothing is shown as larger than it is.
    let tenths = (u128::from(bytes) * 10) >> shift;
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole}{unit}"),
        (whole, _) if whole >= 100 => format!("{whole}{unit}"),
        (whole, tenth) => format!("{whole}.{tenth}{unit}"),
    }
}

/// An age in its one or two largest units: `45s`, `12m`, `3h20m`, `9d`.
pub(crate) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m"),
        (0, 1..10, _) => format!("{hours}h{}m", minutes % 60),
        (0, _, _) => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for wrong in ["", "s", "-1s", "1d", "1 s", "1e9h9", "99999999999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_short() {
        let sizes = [0, 1023, 1024, 10_000, 10 << 20, (10 << 20) + 700_000, 150_000_000, 3 << 29];
        let shown = ["0", "1023", "1Ki", "9.7Ki", "10Mi", "10.6Mi", "143Mi", "1.5Gi"];
        assert_eq!(sizes.map(bytes), shown);
    }

    #[test]
    fn ages_are_short() {
        let shown = |seconds| age(Duration::from_secs(seconds));
        assert_eq!([0, 59, 60, 3599].map(shown), ["0s", "59s", "1m", "59m"]);
        assert_eq!([3600, 12_000, 36_000, 90_000].map(shown), ["1h0m", "3h20m", "10h", "1d"]);
    }
}
