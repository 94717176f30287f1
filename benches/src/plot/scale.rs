//! Where a value lies on an axis, and which values are written beside it.

/// From here on, from smallest to largest, an axis counts in powers of ten.
const WIDE: f64 = 30.0;

/// An axis over some values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    Log,
}

impl Scale {
    /// The scale on which all of these can be told apart.
    pub(super) fn of(values: &[f64]) -> Self {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(0.0, f64::max);
        if low > 0.0 && high / low >= WIDE {
            Scale::Log
        } else {
            Scale::Linear
        }
    }

    /// Where a value lies.
    pub(super) fn place(self, value: f64) -> f64 {
        match self {
            Scale::Linear => value,
            Scale::Log => value.log10(),
        }
    }

    /// The value that lies there.
    pub(super) fn value(self, place: f64) -> f64 {
        match self {
            Scale::Linear => place,
            Scale::Log => 10_f64.powf(place),
        }
    }

    /// The places to be named, at even distances; the first and the last are the ends of the axis.
    ///
    /// A linear axis begins at 0, so that heights can be compared.
    pub(super) fn ticks(self, values: &[f64]) -> Vec<f64> {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(0.0, f64::max);
        match self {
            Scale::Linear => {
                let step = round_step(high / 4.0);
                steps(0.0, (high / step).ceil().max(1.0) * step, step)
            }
            Scale::Log => {
                let (low, high) = (low.log10().floor(), high.log10().ceil());
                steps(low, high.max(low + 1.0), 1.0)
            }
        }
    }
}

/// The next step of 1, 2 or 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    if step <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(step.log10().floor());
    let leading = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|leading| leading * power >= step * 0.999);
    leading.unwrap_or(10.0) * power
}

fn steps(from: f64, to: f64, step: f64) -> Vec<f64> {
    let mut ticks = vec![from];
    // Counted in halves, so that rounding cannot add a tick or lose one.
    while ticks[ticks.len() - 1] < to - step / 2.0 {
        ticks.push(ticks[ticks.len() - 1] + step);
    }
    ticks
}

/// A number as short as it can be read: 1.5 M, 20 k, 0.35.
pub(super) fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, " G"),
        size if size >= 1e6 => (value / 1e6, " M"),
        size if size >= 1e3 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 => 2,
        _ => 4,
    };
    let text = format!("{scaled:.digits$}");
    let trimmed = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{trimmed}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_far_apart_are_on_a_logarithmic_scale_and_others_are_not() {
        assert_eq!(Scale::of(&[1.0, 29.0]), Scale::Linear);
        assert_eq!(Scale::of(&[1.0, 30.0]), Scale::Log);
        assert_eq!(Scale::of(&[0.0, 30.0]), Scale::Linear);
        assert_eq!(Scale::of(&[]), Scale::Linear);
    }

    #[test]
    fn a_linear_axis_begins_at_0_and_ends_at_or_above_the_largest() {
        assert_eq!(
            Scale::Linear.ticks(&[309.0, 385.0]),
            [0.0, 100.0, 200.0, 300.0, 400.0]
        );
        assert_eq!(Scale::Linear.ticks(&[4.0]), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(Scale::Linear.ticks(&[0.0]), [0.0, 1.0]);
    }

    #[test]
    fn a_logarithmic_axis_names_the_powers_of_ten_around_its_values() {
        let places = Scale::Log.ticks(&[12_000.0, 1_000_000.0]);
        assert_eq!(places, [4.0, 5.0, 6.0]);
        assert_eq!(Scale::Log.ticks(&[1_000.0]), [3.0, 4.0]);
        assert!((Scale::Log.value(Scale::Log.place(7.0)) - 7.0).abs() < 1e-9);
    }

    #[test]
    fn numbers_are_short() {
        let pairs = [
            (0.0, "0"),
            (0.05, "0.05"),
            (0.35, "0.35"),
            (1.5, "1.5"),
            (100.0, "100"),
            (20_000.0, "20 k"),
            (1_234_000.0, "1.23 M"),
            (10_000_000.0, "10 M"),
            (4e9, "4 G"),
        ];
        for (value, text) in pairs {
            assert_eq!(short(value), text);
        }
    }
}
