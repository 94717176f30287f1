//! Times as the library keeps them: UTC, to the microsecond, in years 1 to 9999.

use std::time::Duration;

use chrono::{DateTime, Datelike, Timelike, Utc};

use crate::invalid::Invalid;
use crate::limits::{FIRST_YEAR, LAST_YEAR};

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

pub(crate) fn is_kept(time: DateTime<Utc>) -> bool {
    (FIRST_YEAR..=LAST_YEAR).contains(&time.naive_utc().year())
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
