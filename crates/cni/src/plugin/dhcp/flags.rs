//! The command line of the daemon, which is the reference's.

use std::{path::PathBuf, time::Duration};

const SOCKET: &str = "/run/cni/dhcp.sock";
const TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(62);

pub(super) const USAGE: &str = "\
usage: dhcp daemon [flags]
  -broadcast             have the server answer to all
  -hostprefix DIR        put DIR before the paths of the socket and of network namespaces
  -pidfile FILE          write the process's number there
  -resendmax DURATION    the longest pause between two tries (default 1m2s)
  -socketpath PATH       where to listen (default /run/cni/dhcp.sock)
  -timeout DURATION      how long a server may take to answer (default 10s)
";

/// What the daemon was started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) is_broadcast: bool,
    pub(super) host_prefix: String,
    pub(super) pid_file: Option<PathBuf>,
    pub(super) longest_pause: Duration,
    pub(super) socket: String,
    pub(super) timeout: Duration,
}

impl Flags {
    /// Reads what follows `daemon`, as Go reads it: one dash or two, a value after `=` or as the
    /// next word. `Ok(None)` when help is asked for.
    pub(super) fn parse(words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut flags = Self {
            is_broadcast: false,
            host_prefix: String::new(),
            pid_file: None,
            longest_pause: LONGEST_PAUSE,
            socket: SOCKET.to_owned(),
            timeout: TIMEOUT,
        };
        let mut words = words;
        while let Some(word) = words.next() {
            let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
            let Some(flag) = flag else { return Err(format!("`{word}` is no flag")) };
            let (name, given) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            match name {
                "h" | "help" => return Ok(None),
                "broadcast" => flags.is_broadcast = truth(given.as_deref())?,
                "hostprefix" | "pidfile" | "resendmax" | "socketpath" | "timeout" => {
                    let value = given.or_else(|| words.next());
                    let value = value.ok_or_else(|| format!("flag `-{name}` needs a value"))?;
                    flags.set(name, value)?;
                }
                _ => return Err(format!("there is no flag `-{name}`")),
            }
        }
        Ok(Some(flags))
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        let time = |value: &str| {
            let problem = "must be a duration above 0, as `500ms`, `10s` or `1m2s`";
            duration(value).ok_or_else(|| format!("flag `-{name}` is `{value}`, but {problem}"))
        };
        match name {
            "hostprefix" => self.host_prefix = value,
            "pidfile" if !value.starts_with('/') => {
                return Err(format!("flag `-pidfile` is `{value}`, but must begin with `/`"));
            }
            "pidfile" => self.pid_file = Some(value.into()),
            "resendmax" => self.longest_pause = time(&value)?,
            "timeout" => self.timeout = time(&value)?,
            _ if value.is_empty() => {}
            _ => self.socket = value,
        }
        Ok(())
    }
}

fn truth(value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("true" | "1" | "t") => Ok(true),
        Some("false" | "0" | "f") => Ok(false),
        Some(other) => Err(format!("flag `-broadcast` is `{other}`, but must be true or false")),
    }
}

/// A duration as Go writes it; `None` when it is none, or 0.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(end)?;
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        sum += Duration::try_from_secs_f64(number * seconds).ok()?;
        rest = after;
    }
    (!sum.is_zero()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<Flags>, String> {
        Flags::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_are_read_as_the_reference_reads_them() {
        let usual = parse("").unwrap().unwrap();
        assert_eq!((usual.timeout, usual.socket.as_str()), (TIMEOUT, SOCKET));
        let given =
            parse("-broadcast --timeout=1m2.5s -socketpath /a -pidfile /b").unwrap().unwrap();
        assert!(given.is_broadcast);
        assert_eq!(given.timeout, Duration::from_millis(62_500));
        assert_eq!((given.socket.as_str(), given.pid_file), ("/a", Some("/b".into())));
        assert!(!parse("-broadcast=false").unwrap().unwrap().is_broadcast);
        assert_eq!(parse("--help"), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("x", "`x` is no flag"),
            ("-x", "there is no flag `-x`"),
            ("-timeout", "flag `-timeout` needs a value"),
            ("-timeout 5", "flag `-timeout` is `5`"),
            ("-timeout 0s", "flag `-timeout` is `0s`"),
            ("-pidfile a", "flag `-pidfile` is `a`"),
            ("-broadcast=maybe", "flag `-broadcast` is `maybe`"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(expected), "{said}");
        }
    }
}
