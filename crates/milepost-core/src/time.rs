//! Times as the library keeps them: UTC, to the microsecond, in years 1 to 9999.

use std::time::Duration;

use chrono::{DateTime, Timelike as _, Utc};

use crate::invalid::Invalid;

/// Cuts a time to the microsecond, towards the past.
///
/// A leap second, which `chrono` keeps as over a second of nanoseconds, becomes the second after.
pub(crate) fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    let nanos = time.timestamp_subsec_nanos();
    if nanos < 1_000_000_000 {
        // The day stands as it is: working it out anew would cost more than the rest of an op's checks.
        let cut = time.naive_utc().with_nanosecond(nanos - nanos % 1_000);
        return cut.map_or(time, |cut| cut.and_utc());
    }
    // Cutting cannot leave the range of `DateTime`, so the time itself is never the answer.
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}

/// The first moment of year 1, and the last of year 9999.
const FIRST: DateTime<Utc> = at(-62_135_596_800, 0);
const LAST: DateTime<Utc> = at(253_402_300_799, 999_999_000);

const fn at(seconds: i64, nanos: u32) -> DateTime<Utc> {
    match DateTime::from_timestamp(seconds, nanos) {
        Some(time) => time,
        None => panic!("that time is in range"),
    }
}

pub(crate) fn is_kept(time: DateTime<Utc>) -> bool {
    (FIRST..=LAST).contains(&time)
}

pub(crate) fn check(time: DateTime<Utc>, what: &'static str) -> Result<DateTime<Utc>, Invalid> {
    let time = to_micros(time);
    if is_kept(time) {
        Ok(time)
    } else {
        Err(Invalid::TimeOutOfRange { what })
    }
}

/// The time that lies `duration` after `time`, if it can be kept.
pub(crate) fn after(
    time: DateTime<Utc>,
    duration: Duration,
    what: &'static str,
) -> Result<DateTime<Utc>, Invalid> {
    let out_of_range = Invalid::TimeOutOfRange { what };
    let delta = chrono::TimeDelta::from_std(duration).map_err(|_| out_of_range.clone())?;
    check(time.checked_add_signed(delta).ok_or(out_of_range)?, what)
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike as _, TimeDelta};

    use super::*;
    use crate::limits::{FIRST_YEAR, LAST_YEAR};

    #[test]
    fn what_is_kept_begins_and_ends_with_its_years() {
        let micro = TimeDelta::microseconds(1);
        assert_eq!(
            (FIRST.year(), (FIRST - micro).year()),
            (FIRST_YEAR, FIRST_YEAR - 1)
        );
        assert_eq!(
            (LAST.year(), (LAST + micro).year()),
            (LAST_YEAR, LAST_YEAR + 1)
        );
    }
}
