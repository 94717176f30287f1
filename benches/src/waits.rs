//! How long callers waited.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The waits of many calls, to three digits.
#[derive(Debug, Clone)]
pub struct Waits {
    nanos: Histogram<u64>,
}

impl Default for Waits {
    fn default() -> Self {
        Waits {
            nanos: Histogram::new(3).expect("three digits are allowed"),
        }
    }
}

impl Waits {
    /// Counts a call.
    pub fn add(&mut self, wait: Duration) {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        // It resizes itself: a saturating record would not.
        let counted = self.nanos.record(nanos);
        debug_assert!(counted.is_ok(), "a histogram that resizes itself holds all");
    }

    /// Counts all calls of another.
    pub fn join(&mut self, others: &Waits) {
        // Both grow by themselves, so that there is nothing that one cannot hold.
        let joined = self.nanos.add(&others.nanos);
        debug_assert!(joined.is_ok(), "a histogram that resizes itself holds all");
    }

    /// What so many of a hundred calls did not exceed, in milliseconds.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> f64 {
        millis(self.nanos.value_at_percentile(percent))
    }

    /// The longest, in milliseconds.
    #[must_use]
    pub fn worst(&self) -> f64 {
        millis(self.nanos.max())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_calls_that_were_joined() {
        let (mut some, mut others) = (Waits::default(), Waits::default());
        for millis in 1..=50 {
            some.add(Duration::from_millis(millis));
            others.add(Duration::from_millis(millis + 50));
        }
        some.join(&others);
        for (percent, expected) in [(50.0, 50.0), (99.0, 99.0)] {
            let found = some.percentile(percent);
            assert!((found - expected).abs() < expected / 100.0, "{found}");
        }
        assert!((some.worst() - 100.0).abs() < 1.0);
    }
}
