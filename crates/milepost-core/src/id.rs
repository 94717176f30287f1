//! The ids of processes and files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Clock;
use crate::invalid::Invalid;

macro_rules! id {
    ($name:ident, $what:literal) => {
        #[doc = $what]
        ///
        /// Any 128-bit UUID text is accepted, whatever its version bits: hyphenated, without hyphens, in
        /// braces or as a URN. It is printed in lower case with hyphens. New ids are UUIDv7 (RFC 9562)
        /// of the tracker's clock, so they sort by time.
        ///
        /// ```
        #[doc = concat!("use milepost_core::", stringify!($name), ";")]
        ///
        #[doc = concat!("let id: ", stringify!($name), " = \"F948A6AD-0343-E743-2B3F-0DF6BC732A3A\".parse()?;")]
        /// assert_eq!(id.to_string(), "f948a6ad-0343-e743-2b3f-0df6bc732a3a");
        #[doc = concat!("assert!(\"process 7\".parse::<", stringify!($name), ">().is_err());")]
        /// # Ok::<(), milepost_core::Invalid>(())
        /// ```
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            pub(crate) const NIL: $name = $name(Uuid::nil());

            pub(crate) fn new_v7(clock: &dyn Clock) -> Self {
                // Version 7 has 48 bits of milliseconds, which no time before 1970 fits.
                let millis = u64::try_from(clock.now().timestamp_millis()).unwrap_or(0);
                let mut random = [0; 10];
                random.copy_from_slice(&clock.random().to_be_bytes()[..10]);
                $name(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                Uuid::try_parse(text).map($name).map_err(|_| Invalid::NotAUuid)
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                $name(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.as_hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0.as_hyphenated())
            }
        }
    };
}

id!(
    RequestId,
    "Identifies one process, for whoever asks about it."
);
id!(
    FileId,
    "Identifies the file that a process works on; several processes may share it."
);

impl RequestId {
    /// The id of one status call: random, since it names nothing that could be looked up.
    pub(crate) fn of_call(clock: &dyn Clock) -> Self {
        RequestId(uuid::Builder::from_random_bytes(clock.random().to_be_bytes()).into_uuid())
    }
}
