//! `CNI_ARGS`: pairs that a runtime passes on from a pod.

/// The pairs of `CNI_ARGS`, in the order given.
///
/// Keys are matched exactly. As in the reference library, a key that the plugin does not know is
/// an error unless `IgnoreUnknown=1` (or `true`) is among the pairs, wherever it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CniArgs {
    pairs: Vec<(String, String)>,
}

/// Why a value of `CNI_ARGS` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidArgs {
    /// A part is no pair.
    #[error("CNI_ARGS: `{part}` is not KEY=VALUE with exactly one `=`")]
    NoPair {
        /// The part between two semicolons.
        part: String,
    },
    /// Keys that the plugin does not know.
    #[error("CNI_ARGS: unknown keys {} (add IgnoreUnknown=1 to have them ignored)", keys.join(", "))]
    Unknown {
        /// The keys.
        keys: Vec<String>,
    },
}

impl CniArgs {
    /// Splits `K=V;K=V`; a text of nothing has no pairs.
    ///
    /// # Errors
    /// When a part does not split into exactly two.
    pub fn parse(text: &str) -> Result<Self, InvalidArgs> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let pairs = text.split(';').map(|part| match part.split_once('=') {
            Some((key, value)) if !value.contains('=') => Ok((key.to_owned(), value.to_owned())),
            _ => Err(InvalidArgs::NoPair { part: part.to_owned() }),
        });
        Ok(Self { pairs: pairs.collect::<Result<_, _>>()? })
    }

    /// The value of a key; of several, the last.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Refuses keys other than `known`, unless told to ignore them.
    ///
    /// # Errors
    /// With all keys that are unknown.
    pub fn only(&self, known: &[&str]) -> Result<(), InvalidArgs> {
        let ignore = self.get("IgnoreUnknown");
        if ignore.is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true")) {
            return Ok(());
        }
        let is_unknown = |key: &&str| !known.contains(key) && *key != "IgnoreUnknown";
        let keys = self.pairs.iter().map(|(key, _)| key.as_str()).filter(is_unknown);
        let keys: Vec<_> = keys.map(str::to_owned).collect();
        if keys.is_empty() { Ok(()) } else { Err(InvalidArgs::Unknown { keys }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter() {
        let one = CniArgs::parse("IgnoreUnknown=1;K8S_POD_NAME=a;IP=10.0.0.2").unwrap();
        let other = CniArgs::parse("K8S_POD_NAME=a;IP=10.0.0.2;IgnoreUnknown=true").unwrap();
        for args in [one, other] {
            assert_eq!(args.only(&["IP"]), Ok(()));
            assert_eq!(args.get("IP"), Some("10.0.0.2"));
            assert_eq!(args.get("ip"), None, "keys are matched exactly");
        }
    }

    #[test]
    fn unknown_keys_are_refused_unless_ignored() {
        let args = CniArgs::parse("IP=10.0.0.2;ip=x;Other=").unwrap();
        let error = args.only(&["IP"]).unwrap_err();
        assert_eq!(error, InvalidArgs::Unknown { keys: vec!["ip".into(), "Other".into()] });
        let args = CniArgs::parse("IgnoreUnknown=0;x=1").unwrap();
        assert!(args.only(&[]).is_err());
    }

    #[test]
    fn what_is_no_pair_is_named() {
        for (text, part) in [("a", "a"), ("a=1;", ""), ("a=1;b=2=3", "b=2=3")] {
            let part = part.to_owned();
            assert_eq!(CniArgs::parse(text), Err(InvalidArgs::NoPair { part }), "{text}");
        }
        assert_eq!(CniArgs::parse(""), Ok(CniArgs::default()));
    }
}
