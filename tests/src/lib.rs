//! Laws of milepost that span crates and OS processes: see `tests/`. The programs in `src/bin` are the
//! OS processes.
