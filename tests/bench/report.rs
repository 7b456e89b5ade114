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

    /// Median of the differences round by round, milliseconds.
    pub(crate) fn over(&self, floor: &Self) -> f64 {
        let pairs = self.0.iter().zip(&floor.0);
        Self(pairs.map(|(own, floor)| own - floor).collect()).median()
    }
}

/// Prints what the inner run found.
#[expect(clippy::print_stdout, reason = "a bench is there to print")]
pub(crate) fn print(text: &str) {
    println!("{}", text.trim_end());
}
