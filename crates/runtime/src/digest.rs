//! Content addresses: SHA-256 sums as OCI writes them.

use std::{
    fmt,
    io::{self, Read, Write},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const ALGORITHM: &str = "sha256";

/// A SHA-256 content address such as `sha256:9f86d081…`, in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    hex: String,
}

/// Why a text is no content address that crilet understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a digest of the form sha256:<64 hexadecimal digits>")]
pub struct InvalidDigest {
    text: String,
}

impl Digest {
    /// The address of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_sum(&Sha256::digest(bytes))
    }

    /// The 64 hexadecimal digits; safe as a file name.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.hex
    }

    fn from_sum(sum: &[u8]) -> Self {
        let digit = |value: u8| char::from_digit(u32::from(value), 16);
        let hex = sum.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).filter_map(digit).collect();
        Self { hex }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{ALGORITHM}:{}", self.hex)
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match text.split_once(':') {
            Some((ALGORITHM, hex)) if hex.len() == 64 && hex.bytes().all(is_hex) => {
                Ok(Self { hex: hex.to_owned() })
            }
            _ => Err(InvalidDigest { text: text.to_owned() }),
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// Passes bytes through and sums them up: wrap a reader or a writer, then ask for the result.
#[derive(Debug)]
pub(crate) struct Summed<T> {
    inner: T,
    sum: Sha256,
    size: u64,
}

impl<T> Summed<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self { inner, sum: Sha256::new(), size: 0 }
    }

    /// Digest and number of the bytes that passed so far, and what was wrapped.
    pub(crate) fn finish(self) -> (Digest, u64, T) {
        (Digest::from_sum(&self.sum.finalize()), self.size, self.inner)
    }

    fn count(&mut self, bytes: &[u8]) {
        self.sum.update(bytes);
        self.size += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.count(buffer.get(..length).unwrap_or_default());
        Ok(length)
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.inner.write_all(buffer)?;
        self.count(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_published_example_of_sha_256() {
        assert_eq!(Digest::of(b"abc").to_string(), ABC);
        assert_eq!(ABC.parse::<Digest>().unwrap(), Digest::of(b"abc"));
    }

    #[test]
    fn reading_and_writing_sum_what_passes() {
        let mut reader = Summed::new(&b"abc"[..]);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!(reader.finish().0.to_string(), ABC);
        let mut writer = Summed::new(Vec::new());
        writer.write_all(b"abc").unwrap();
        assert_eq!(writer.finish(), (Digest::of(b"abc"), 3, b"abc".to_vec()));
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        let long = format!("sha256:../../../{}", "0".repeat(55));
        let upper = ABC.to_uppercase();
        for text in ["", "sha256:", "sha512:00", &long, &upper, ABC.trim_start_matches("sha256:")] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
