//! Names of rotated files: `<log>.<YYYYMMDD-HHMMSS>`, as a kubelet gives them, in local time.
//!
//! A kubelet sorts whole names as text. Where the clock has not moved on since the last rotation, or
//! went back, that time is used again with a number behind it: `<log>.20260102-030405_001`. The
//! underscore stands behind the point of `.gz` and behind the end of a name in any sorting of bytes,
//! and the second after it comes later still; so a kubelet that takes over keeps the order.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::{OsStrExt, OsStringExt},
    str::FromStr,
};

/// Length of `YYYYMMDD-HHMMSS`.
const SECOND: usize = 15;
/// Numbers have three digits, so that they sort as text.
const MOST: u16 = 999;

/// The time in a rotated file's name; the order of stamps is the order of the files' contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    second: [u8; SECOND],
    /// 0 is written as nothing.
    number: u16,
}

impl Stamp {
    /// The stamp of a rotation at a local time, after `newest`, the last one there is.
    pub fn after(newest: Option<Self>, now: jiff::civil::DateTime) -> Self {
        let this = Self::at(now);
        match newest {
            Some(newest) if this.second <= newest.second => newest.next(),
            _ => this,
        }
    }

    /// The stamp of a local time, without a number.
    pub(crate) fn at(time: jiff::civil::DateTime) -> Self {
        let text = time.strftime("%Y%m%d-%H%M%S").to_string();
        let second = text.as_bytes().first_chunk().copied();
        // A year past 9999 or before 0 makes another length; no clock shows one.
        Self { second: second.unwrap_or(*b"99991231-235959"), number: 0 }
    }

    fn next(self) -> Self {
        if self.number < MOST {
            return Self { number: self.number + 1, ..self };
        }
        let text = String::from_utf8_lossy(&self.second).into_owned();
        let time = jiff::civil::DateTime::strptime("%Y%m%d-%H%M%S", &text);
        let later =
            time.ok().and_then(|time| time.checked_add(jiff::SignedDuration::from_secs(1)).ok());
        later.map_or(self, Self::at)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (second, number) = text.split_first_chunk::<SECOND>()?;
        let shaped = second.iter().enumerate().all(|(place, byte)| match place {
            8 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
        let number = match number {
            [] => 0,
            [b'_', digits @ ..] if digits.len() == 3 && digits.iter().all(u8::is_ascii_digit) => {
                digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))
            }
            _ => return None,
        };
        // `_000` is no name that anybody gives, and would be the same stamp as the one without it.
        let plain = text.len() == SECOND;
        (shaped && (number > 0) != plain).then_some(Self { second: *second, number })
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(&self.second))?;
        if self.number > 0 { write!(formatter, "_{:03}", self.number) } else { Ok(()) }
    }
}

impl FromStr for Stamp {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::parse(text.as_bytes()).ok_or(())
    }
}

/// How a rotated file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// `.gz`, which a kubelet writes as well.
    Gzip,
    /// `.zst`, smaller and faster; needs the feature `zstd`, and a kubelet does not know it.
    Zstd,
}

impl Compression {
    fn extension(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}

/// How a rotated file is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// As it was written.
    Plain,
    /// Compressed.
    Archive(Compression),
}

impl Form {
    /// The name of the rotated file with this form and stamp of the log `log`.
    pub fn name(self, log: &OsStr, stamp: Stamp) -> OsString {
        let mut name = log.as_bytes().to_vec();
        name.extend(format!(".{stamp}").into_bytes());
        if let Self::Archive(compression) = self {
            name.extend(compression.extension().as_bytes());
        }
        OsString::from_vec(name)
    }
}

/// The name that a compressed file has until it is whole; a kubelet takes the same.
pub(crate) fn temporary(log: &OsStr, stamp: Stamp) -> OsString {
    let mut name = Form::Plain.name(log, stamp);
    name.push(".tmp");
    name
}

/// What a file beside a log is to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The log itself.
    Live,
    /// Rotated away.
    Rotated(Stamp, Form),
    /// Not finished when whoever wrote it ended.
    Temporary(Stamp),
}

/// What the file `name` is to the log `log`; nothing when it is none of its files.
pub(crate) fn kind_of(log: &OsStr, name: &OsStr) -> Option<Kind> {
    let rest = name.as_bytes().strip_prefix(log.as_bytes())?;
    if rest.is_empty() {
        return Some(Kind::Live);
    }
    let rest = rest.strip_prefix(b".")?;
    if let Some(stamp) = rest.strip_suffix(b".tmp") {
        return Stamp::parse(stamp).map(Kind::Temporary);
    }
    for compression in [Compression::Gzip, Compression::Zstd] {
        if let Some(stamp) = rest.strip_suffix(compression.extension().as_bytes()) {
            let form = Form::Archive(compression);
            return Stamp::parse(stamp).map(|stamp| Kind::Rotated(stamp, form));
        }
    }
    Stamp::parse(rest).map(|stamp| Kind::Rotated(stamp, Form::Plain))
}

impl Kind {
    /// The name of the temporary file of a stamp.
    pub(crate) fn temporary_name(log: &OsStr, stamp: Stamp) -> OsString {
        temporary(log, stamp)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn name(stamp: Stamp, form: Form) -> String {
        form.name(OsStr::new("0.log"), stamp).into_string().unwrap()
    }

    #[test]
    fn names_are_those_of_a_kubelet() {
        let stamp = Stamp::after(None, date(2026, 1, 2).at(3, 4, 5, 999_999_999));
        assert_eq!(name(stamp, Form::Plain), "0.log.20260102-030405");
        assert_eq!(name(stamp, Form::Archive(Compression::Gzip)), "0.log.20260102-030405.gz");
        assert_eq!(name(stamp, Form::Archive(Compression::Zstd)), "0.log.20260102-030405.zst");
        let again = Stamp::after(Some(stamp), date(2026, 1, 2).at(3, 4, 5, 0));
        assert_eq!(name(again, Form::Plain), "0.log.20260102-030405_001");
        let back = Stamp::after(Some(again), date(2025, 1, 2).at(3, 4, 5, 0));
        assert_eq!(name(back, Form::Plain), "0.log.20260102-030405_002");
    }

    #[test]
    fn what_is_no_file_of_the_log_is_not_taken_for_one() {
        let kind = |name: &str| kind_of(OsStr::new("0.log"), OsStr::new(name));
        assert_eq!(kind("0.log"), Some(Kind::Live));
        let others = [
            "10.log",
            "0.log.gz",
            "0.log.1",
            "0.log.20260102",
            "0.log.20260102-030405.bak",
            "0.log.20260102-03040x",
            "0.log.20260102-030405_1",
            "0.log.20260102-030405_000",
            "0.log.20260102-030405_001_001",
            "0.log20260102-030405",
            "1.log.20260102-030405",
            "0.log.20260102-030405.gz.tmp",
            "0.log.",
        ];
        for other in others {
            assert_eq!(kind(other), None, "{other}");
        }
    }

    fn any_form() -> impl Strategy<Value = Form> {
        prop_oneof![
            Just(Form::Plain),
            Just(Form::Archive(Compression::Gzip)),
            Just(Form::Archive(Compression::Zstd)),
        ]
    }

    proptest! {
        /// Whatever the clock does, names sort as the rotations happened, in every form.
        #[test]
        fn order_is_kept_when_the_clock_jumps(
            clock in proptest::collection::vec((0_i64..4, any_form()), 1..60),
            jumps in proptest::collection::vec(-5_000_i64..5_000, 60),
        ) {
            let mut now = date(2026, 10, 25).at(2, 59, 50, 0);
            let (mut newest, mut names) = (None, Vec::new());
            for ((step, form), jump) in clock.into_iter().zip(jumps) {
                let seconds = if step == 0 { jump } else { step - 1 };
                now = now.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
                let stamp = Stamp::after(newest, now);
                prop_assert!(newest.is_none_or(|newest| newest < stamp));
                let text = name(stamp, form);
                let kind = kind_of(OsStr::new("0.log"), OsStr::new(&text));
                prop_assert_eq!(kind, Some(Kind::Rotated(stamp, form)));
                newest = Some(stamp);
                names.push(text);
            }
            let mut sorted = names.clone();
            sorted.sort();
            prop_assert_eq!(names, sorted);
        }
    }

    #[test]
    fn a_thousand_rotations_in_one_second_stay_in_order() {
        let now = date(2026, 12, 31).at(23, 59, 59, 0);
        let mut stamp = Stamp::after(None, now);
        let mut names = vec![name(stamp, Form::Plain)];
        for _ in 0..2500 {
            stamp = Stamp::after(Some(stamp), now);
            names.push(name(stamp, Form::Plain));
        }
        assert!(names.is_sorted() && names.iter().all(|name| name.len() <= 25), "{names:?}");
        assert_eq!(names.last().unwrap(), "0.log.20270101-000001_500");
    }
}
