//! Medians and ratios.

use std::time::Duration;

/// Times of one contender in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1000.0);
    }

    fn sorted(&self) -> Vec<f64> {
        let mut times = self.0.clone();
        times.sort_by(f64::total_cmp);
        times
    }

    pub(crate) fn median(&self) -> f64 {
        let times = self.sorted();
        times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// `median (min-max)`, milliseconds.
    pub(crate) fn summary(&self) -> String {
        let times = self.sorted();
        let (first, last) = (times.first(), times.last());
        format!(
            "{:7.1} ({:.1}-{:.1}) ms",
            self.median(),
            first.unwrap_or(&f64::NAN),
            last.unwrap_or(&f64::NAN)
        )
    }

    /// Median of the differences round by round, with the bounds in which it lies with 95 % of
    /// confidence, milliseconds: `+4.2 ms (+2.9 to +5.6)`.
    ///
    /// Rounds of one contender differ by more than the contenders do; without the bounds a figure
    /// could not be told from noise.
    pub(crate) fn over(&self, floor: &Self) -> String {
        let pairs = self.0.iter().zip(&floor.0);
        let differences = Self(pairs.map(|(own, floor)| own - floor).collect());
        let sorted = differences.sorted();
        let (low, high) = median_bounds(sorted.len());
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        format!("{:+.1} ms ({:+.1} to {:+.1})", differences.median(), at(low), at(high))
    }
}

/// Which of so many sorted values bound their median with 95 % of confidence: the order statistics
/// `n/2 ± 0.98 √n`, the normal approximation of the sign test.
fn median_bounds(count: usize) -> (usize, usize) {
    let off = (0..=count).find(|off| off * off * 10_000 >= count * 9_604).unwrap_or(count);
    ((count / 2).saturating_sub(off), (count / 2 + off).min(count.saturating_sub(1)))
}

/// Prints what the inner run found.
#[expect(clippy::print_stdout, reason = "a bench is there to print")]
pub(crate) fn print(text: &str) {
    println!("{}", text.trim_end());
}
