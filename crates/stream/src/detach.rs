//! Keys that leave a terminal without ending what runs in it, as docker has them.

use std::str::FromStr;

/// A sequence of keys: characters, and `ctrl-` with a letter or one of `@[\]^_`, with commas between.
///
/// The empty one never leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    /// How many of them have been pressed last.
    pressed: usize,
}

/// A text that is no sequence of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a character nor ctrl- with one of a-z @ [ \\ ] ^ _")]
pub struct InvalidDetachKeys(pub String);

impl Default for DetachKeys {
    /// ctrl-p, ctrl-q: docker's.
    fn default() -> Self {
        Self { keys: vec![0x10, 0x11], pressed: 0 }
    }
}

impl FromStr for DetachKeys {
    type Err = InvalidDetachKeys;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let keys = match text {
            "" => Ok(Vec::new()),
            text => text.split(',').map(key).collect(),
        };
        Ok(Self { keys: keys?, pressed: 0 })
    }
}

fn key(text: &str) -> Result<u8, InvalidDetachKeys> {
    let wrong = || InvalidDetachKeys(text.to_owned());
    let (control, character) = match text.strip_prefix("ctrl-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    match (control, character.as_bytes()) {
        (false, [byte]) if byte.is_ascii() => Ok(*byte),
        (true, [byte]) if matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'@' | b'['..=b'_') => {
            Ok(byte.to_ascii_uppercase() & 0x1f)
        }
        _ => Err(wrong()),
    }
}

impl DetachKeys {
    /// Passes on what was typed, and says whether the keys are complete; what follows them is not
    /// passed on.
    ///
    /// Keys that may be the beginning are held back until it is known.
    pub fn pass(&mut self, typed: &[u8], onward: &mut Vec<u8>) -> bool {
        if self.keys.is_empty() {
            onward.extend(typed);
            return false;
        }
        for &byte in typed {
            self.press(byte, onward);
            if self.pressed == self.keys.len() {
                self.pressed = 0;
                return true;
            }
        }
        false
    }

    fn press(&mut self, byte: u8, onward: &mut Vec<u8>) {
        let mut held: Vec<u8> = self.keys.iter().take(self.pressed).copied().collect();
        held.push(byte);
        // The longest end of what was typed that may still become the keys.
        let begins = (0..held.len())
            .find(|from| held.get(*from..).is_some_and(|rest| self.keys.starts_with(rest)));
        let from = begins.unwrap_or(held.len());
        self.pressed = held.len() - from;
        onward.extend(held.drain(..from));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn typed(keys: &str, chunks: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut keys: DetachKeys = keys.parse().unwrap();
        let mut onward = Vec::new();
        let left = chunks.iter().any(|chunk| keys.pass(chunk, &mut onward));
        (onward, left)
    }

    #[test]
    fn keys_leave_also_in_pieces() {
        assert_eq!(typed("ctrl-p,ctrl-q", &[b"ab\x10", b"\x11cd"]), (b"ab".to_vec(), true));
        assert_eq!(typed("ctrl-p,ctrl-q", &[b"\x10", b"x"]), (b"\x10x".to_vec(), false));
        assert_eq!(typed("ctrl-p,ctrl-q", &[b"\x10\x10\x11"]), (b"\x10".to_vec(), true));
        assert_eq!(typed("a,b,a,c", &[b"abab", b"ac"]), (b"ab".to_vec(), true));
        assert_eq!(typed("", &[b"\x10\x11"]), (b"\x10\x11".to_vec(), false));
        assert_eq!(typed("ctrl-@,ctrl-_", &[b"\0\x1f"]), (Vec::new(), true));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for wrong in ["ctrl-", "ctrl-1", "ab", "a,,b", "ctrl-p ", "é", "ctrl-pq"] {
            assert!(wrong.parse::<DetachKeys>().is_err(), "{wrong:?} is no sequence of keys");
        }
        assert_eq!("ctrl-p,ctrl-q".parse(), Ok(DetachKeys::default()));
    }

    proptest! {
        /// Nothing that was typed before the keys is lost or changed, however it is cut.
        #[test]
        fn only_the_keys_are_taken(text in "[ab]{0,12}", cut in 0usize..12) {
            let (first, second) = text.as_bytes().split_at(cut.min(text.len()));
            let (mut onward, left) = typed("a,a,b", &[first, second]);
            match text.find("aab") {
                Some(at) => {
                    prop_assert!(left);
                    prop_assert_eq!(onward, &text.as_bytes()[..at]);
                }
                None => {
                    prop_assert!(!left);
                    // The end may still be held back.
                    while onward.len() < text.len() { onward.push(text.as_bytes()[onward.len()]); }
                    prop_assert_eq!(onward, text.as_bytes());
                }
            }
        }
    }
}
