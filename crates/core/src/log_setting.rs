//! Limits of containers' logs, as annotations, flags and configurations spell them.

use std::time::Duration;

/// Names of the settings: behind `crilet.dev/log-` in annotations, behind `--` on the command line.
pub const LOG_SETTINGS: [&str; 4] = ["max-size", "max-files", "max-age", "compression"];

/// One setting of a container's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSetting {
    /// Size at which the live file is rotated, bytes; absent for never.
    MaxSize(Option<u64>),
    /// Files that are kept, the live one among them; at least 2.
    MaxFiles(u32),
    /// How old lines may get; absent for any age.
    MaxAge(Option<Duration>),
    /// How rotated files are compressed; absent for not at all.
    Compression(Option<LogCompression>),
}

/// A way to compress rotated files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogCompression {
    /// What a kubelet makes.
    Gzip,
    /// Only where crilet was built with it.
    Zstd,
}

impl LogSetting {
    /// Reads the setting of this name; nothing when there is none.
    ///
    /// # Errors
    /// What was expected, when the value is none of that setting.
    pub fn read(name: &str, value: &str) -> Option<Result<Self, &'static str>> {
        let none = value == "none";
        Some(match name {
            "max-size" => {
                let size = read_size(value).filter(|size| *size > 0).map(Some);
                let size = if none { Some(None) } else { size };
                size.map(Self::MaxSize).ok_or("a size such as 10Mi, or none")
            }
            "max-files" => {
                let files = value.parse().ok().filter(|files| *files >= 2);
                files.map(Self::MaxFiles).ok_or("a number of at least 2")
            }
            "max-age" => {
                let age = read_age(value).filter(|age| !age.is_zero()).map(Some);
                let age = if none { Some(None) } else { age };
                age.map(Self::MaxAge).ok_or("a time such as 36h or 14d, or none")
            }
            "compression" => match value {
                "gzip" => Ok(Self::Compression(Some(LogCompression::Gzip))),
                "zstd" => Ok(Self::Compression(Some(LogCompression::Zstd))),
                "none" => Ok(Self::Compression(None)),
                _ => Err("gzip, zstd or none"),
            },
            _ => return None,
        })
    }
}

/// Reads a size in bytes: `4096`, `100k`, `10Mi`, `1.5G`; `10MB` and `10MiB` as well.
pub fn read_size(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.trim_start().trim_end_matches(['B', 'b']);
    let scale: u64 = match unit {
        "" => 1,
        "k" | "K" => 1000,
        "M" | "m" => 1_000_000,
        "G" | "g" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    let digits = u32::try_from(fraction.len()).ok().filter(|digits| *digits <= 6)?;
    let part = fraction.parse::<u64>().ok()?.checked_mul(scale)? / 10_u64.pow(digits);
    whole.checked_add(part)
}

/// Reads an age: `90s`, `30m`, `36h`, `14d`, `2w`.
pub fn read_age(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_read() {
        let sizes = [
            ("0", 0),
            ("4096", 4096),
            ("10Mi", 10 << 20),
            ("10MiB", 10 << 20),
            ("1.5k", 1500),
            ("2GB", 2_000_000_000),
        ];
        for (text, size) in sizes {
            assert_eq!(read_size(text), Some(size), "{text}");
        }
        for wrong in ["", "Mi", "-1", "10X", "1.2.3M", "99999999999T"] {
            assert_eq!(read_size(wrong), None, "{wrong}");
        }
        assert_eq!(read_age("14d"), Some(Duration::from_secs(14 * 86_400)));
        assert_eq!([read_age("5"), read_age("h"), read_age("1y")], [None; 3]);
    }

    #[test]
    fn every_name_is_a_setting() {
        for name in LOG_SETTINGS {
            assert!(matches!(LogSetting::read(name, "?"), Some(Err(_))), "{name}");
        }
        assert_eq!(LogSetting::read("max-siez", "1Mi"), None);
        assert_eq!(LogSetting::read("max-size", "none"), Some(Ok(LogSetting::MaxSize(None))));
        assert!(matches!(LogSetting::read("max-size", "0"), Some(Err(_))));
        assert!(matches!(LogSetting::read("max-files", "1"), Some(Err(_))));
    }
}
