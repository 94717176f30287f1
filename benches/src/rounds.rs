//! Measuring in turns: a slow moment of the machine falls on both sides.

use std::error::Error;
use std::time::{Duration, Instant};

/// What anything here answers.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What two sides came to.
#[derive(Debug, Clone, Copy)]
pub struct Compared {
    /// The median of milepost's rounds.
    pub ours: f64,
    /// The median of the hand-written code's.
    pub theirs: f64,
    /// The median of what the one was by the other, round by round.
    pub ratio: f64,
}

/// Runs both sides in turns: one round that does not count, then as many as asked for.
pub fn in_turns(
    rounds: usize,
    mut ours: impl FnMut() -> Outcome<f64>,
    mut theirs: impl FnMut() -> Outcome<f64>,
) -> Outcome<Compared> {
    ours()?;
    theirs()?;
    let mut figures = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..rounds {
        // Who comes second finds what the first left behind: in the page cache, and on the disk's agenda.
        let (our, their) = if round.is_multiple_of(2) {
            let our = ours()?;
            (our, theirs()?)
        } else {
            let their = theirs()?;
            (ours()?, their)
        };
        figures[0].push(our);
        figures[1].push(their);
        figures[2].push(our / their);
    }
    let [ours, theirs, ratio] = figures.map(|mut figures| median(&mut figures));
    Ok(Compared {
        ours,
        theirs,
        ratio,
    })
}

/// The middle one; of an even number the lower of the two.
pub fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures
        .get(figures.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}

/// How often a second something can be done, asked for a while; `stride` times between looks at the clock.
pub fn rate(lasting: Duration, stride: u32, mut work: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    let began = Instant::now();
    let mut done = 0_u32;
    loop {
        for _ in 0..stride {
            work()?;
        }
        done += stride;
        let took = began.elapsed();
        if took >= lasting {
            return Ok(f64::from(done) / took.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        assert!((median(&mut [5.0, 1.0, 3.0]) - 3.0).abs() < f64::EPSILON);
        assert!((median(&mut [4.0, 1.0, 3.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median(&mut []).is_nan());
    }

    #[test]
    fn rounds_are_compared_one_by_one_after_one_that_does_not_count() {
        let mut ours = [100.0, 1.0, 4.0, 9.0].into_iter();
        let mut theirs = [100.0, 2.0, 4.0, 3.0].into_iter();
        let next = |figures: &mut dyn Iterator<Item = f64>| Ok(figures.next().ok_or("no more")?);
        let compared = in_turns(3, || next(&mut ours), || next(&mut theirs)).unwrap();
        assert!((compared.ours - 4.0).abs() < f64::EPSILON);
        assert!((compared.theirs - 3.0).abs() < f64::EPSILON);
        assert!((compared.ratio - 1.0).abs() < f64::EPSILON);
    }
}
