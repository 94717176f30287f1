//! The ids of processes and files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Clock;
use crate::invalid::{Field, Invalid};
use crate::pipeline::Pipeline;

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

/// The namespace of ids that are made of a key (RFC 9562, 5.5). It never changes, or keys would lose their
/// processes.
const KEYS: Uuid = Uuid::from_u128(0x6d69_6c65_706f_7374_2069_6465_6d70_6f74);

impl RequestId {
    /// The id of the process that [`NewProcess::idempotency_key`](crate::NewProcess::idempotency_key) begins.
    ///
    /// A version 5 UUID (RFC 9562) in the namespace `6d696c65-706f-7374-2069-64656d706f74`, of the length of the
    /// pipeline's name in bytes (4 bytes, the highest first), the name, and the key. Whoever can guess the
    /// key can work out the id.
    ///
    /// # Errors
    ///
    /// For a key that is empty, over 1 KiB, or holds control characters.
    ///
    /// # Panics
    ///
    /// Never: a pipeline's name is not 4 GiB long.
    ///
    /// ```
    /// use milepost_core::{Pipeline, RequestId};
    ///
    /// let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;
    /// let id = RequestId::of_key(&pipeline, "upload 4711")?;
    /// assert_eq!(id.to_string(), "89848d58-b04f-5390-a80d-f0735762d0ca");
    /// # Ok::<(), milepost_core::Invalid>(())
    /// ```
    pub fn of_key(pipeline: &Pipeline, key: &str) -> Result<Self, Invalid> {
        Field::IdempotencyKey.check(key)?;
        let name = pipeline.name().as_bytes();
        let length = u32::try_from(name.len()).expect("a name has at most 128 bytes");
        let named = [&length.to_be_bytes(), name, key.as_bytes()].concat();
        Ok(RequestId(Uuid::new_v5(&KEYS, &named)))
    }

    /// The id of one status call: random, since it names nothing that could be looked up.
    pub(crate) fn of_call(clock: &dyn Clock) -> Self {
        RequestId(uuid::Builder::from_random_bytes(clock.random().to_be_bytes()).into_uuid())
    }
}
