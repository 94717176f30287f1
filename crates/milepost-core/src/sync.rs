//! What group commit waits with: std's, or under `--cfg milepost_shuttle` what a scheduler puts in its place, which
//! tries many orders of what threads do. See `tests/group_schedules.rs`.

#[cfg(not(milepost_shuttle))]
pub(crate) use real::*;
#[cfg(milepost_shuttle)]
pub(crate) use scheduled::*;

#[cfg(not(milepost_shuttle))]
mod real {
    pub(crate) use std::sync::Mutex;
    pub(crate) use std::thread::{Thread, current, park, park_timeout, yield_now};
    use std::time::Instant;

    pub(crate) use crate::background::lock;

    pub(crate) fn now() -> Instant {
        Instant::now()
    }
}

#[cfg(milepost_shuttle)]
mod scheduled {
    use std::sync::{OnceLock, PoisonError};
    use std::time::{Duration, Instant};

    use shuttle::rand::{Rng, thread_rng};
    pub(crate) use shuttle::sync::Mutex;
    use shuttle::sync::MutexGuard;
    pub(crate) use shuttle::thread::{Thread, current, park, yield_now};

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is no time where the scheduler decides: at any look it may be far too late.
    pub(crate) fn now() -> Instant {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        let began = *BEGAN.get_or_init(Instant::now);
        if thread_rng().gen_bool(0.2) {
            began + Duration::from_hours(1_000)
        } else {
            began
        }
    }

    /// Time may pass whatever others do.
    pub(crate) fn park_timeout(_: Duration) {
        yield_now();
    }
}
