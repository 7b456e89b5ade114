//! Kubernetes' quantities: `500m`, `1.5Gi`, `1e3` (apimachinery, `pkg/api/resource`).

/// A number that is not negative, kept exactly as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quantity {
    numerator: u128,
    denominator: u128,
}

/// Why a text is no quantity that could be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It does not read as one.
    Syntax,
    /// It is less than nothing.
    Negative,
    /// It is larger than the largest that Kubernetes knows, 2^63 - 1.
    TooLarge,
}

/// Digits beyond these cannot matter to a number of at most 2^63.
const MAX_DIGITS: usize = 19;

impl Quantity {
    /// Reads a quantity.
    ///
    /// # Errors
    /// [`Unfit`] for what is none, and for negative ones.
    pub(super) fn parse(text: &str) -> Result<Self, Unfit> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = rest.find(|sign: char| !sign.is_ascii_digit() && sign != '.');
        let (number, suffix) = rest.split_at(end.unwrap_or(rest.len()));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(Unfit::Syntax);
        }
        let (up, down) = scale(suffix).ok_or(Unfit::Syntax)?;
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        if whole.len() > MAX_DIGITS || fraction.len() > MAX_DIGITS {
            return Err(if whole.len() > MAX_DIGITS { Unfit::TooLarge } else { Unfit::Syntax });
        }
        let digits = format!("0{whole}{fraction}");
        let numerator: u128 = digits.parse().map_err(|_| Unfit::Syntax)?;
        let places = u32::try_from(fraction.len()).map_err(|_| Unfit::Syntax)?;
        let denominator = 10_u128.pow(places).checked_mul(down).ok_or(Unfit::Syntax)?;
        let numerator = numerator.checked_mul(up).ok_or(Unfit::TooLarge)?;
        if negative && numerator > 0 {
            return Err(Unfit::Negative);
        }
        let quantity = Self { numerator, denominator };
        quantity.scaled(1).map(|_| quantity).ok_or(Unfit::TooLarge)
    }

    /// The value times `factor`, rounded up, as Kubernetes rounds; nothing beyond 2^63 - 1.
    pub(super) fn scaled(self, factor: u64) -> Option<u64> {
        let numerator = self.numerator.checked_mul(u128::from(factor))?;
        let value = numerator.div_ceil(self.denominator);
        u64::try_from(value).ok().filter(|value| i64::try_from(*value).is_ok())
    }
}

/// By how much a suffix multiplies and divides.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    let power = |base: u128, exponent: u32| base.pow(exponent);
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, power(1000, 3)),
        "u" => (1, power(1000, 2)),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (power(1000, 2), 1),
        "G" => (power(1000, 3), 1),
        "T" => (power(1000, 4), 1),
        "P" => (power(1000, 5), 1),
        "E" => (power(1000, 6), 1),
        "Ki" => (1024, 1),
        "Mi" => (power(1024, 2), 1),
        "Gi" => (power(1024, 3), 1),
        "Ti" => (power(1024, 4), 1),
        "Pi" => (power(1024, 5), 1),
        "Ei" => (power(1024, 6), 1),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            match u32::try_from(exponent) {
                Ok(up @ 0..=18) => (power(10, up), 1),
                Err(_) if exponent >= -18 => (1, power(10, exponent.unsigned_abs())),
                _ => return None,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn milli(text: &str) -> Option<u64> {
        Quantity::parse(text).ok()?.scaled(1000)
    }

    #[test]
    fn all_forms_are_read() {
        for (text, expected) in [
            ("1", Some(1000)),
            ("0.5", Some(500)),
            (".5", Some(500)),
            ("1.", Some(1000)),
            ("250m", Some(250)),
            ("0.1m", Some(1)),
            ("1e3", Some(1_000_000)),
            ("1E", None),
            ("5e-1", Some(500)),
            ("1Ki", Some(1_024_000)),
            ("1.5Gi", Some(1_610_612_736_000)),
            ("100n", Some(1)),
            ("+2", Some(2000)),
            ("0", Some(0)),
            ("-0", Some(0)),
        ] {
            assert_eq!(milli(text), expected, "{text}");
        }
        assert_eq!(Quantity::parse("2G").unwrap().scaled(1), Some(2_000_000_000));
    }

    #[test]
    fn what_is_none_is_told_apart() {
        for text in ["", ".", "1.2.3", "1 Gi", "1gb", "1GiB", "Gi", "1e", "1e99", "--1", "0x10"] {
            assert_eq!(Quantity::parse(text), Err(Unfit::Syntax), "{text}");
        }
        assert_eq!(Quantity::parse("-1"), Err(Unfit::Negative));
        assert_eq!(Quantity::parse("9Ei"), Err(Unfit::TooLarge));
        assert_eq!(Quantity::parse("99999999999999999999"), Err(Unfit::TooLarge));
    }

    proptest! {
        #[test]
        fn a_larger_number_is_no_smaller_quantity(low in 0_u32.., more in 0_u32..1000) {
            let high = low.saturating_add(more);
            for suffix in ["", "m", "Ki", "M", "e2", "e-2"] {
                let of = |n: u32| Quantity::parse(&format!("{n}{suffix}")).unwrap().scaled(1);
                prop_assert!(of(low) <= of(high));
            }
        }

        #[test]
        fn nothing_makes_it_panic(text in "[-+0-9.eEKMGTPimnuk]{0,12}") {
            let _ignored = Quantity::parse(&text).map(|quantity| quantity.scaled(1000));
        }
    }
}
