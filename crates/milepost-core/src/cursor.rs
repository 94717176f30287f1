//! Cursors: where a list goes on, printable and checked.

use std::fmt;
use std::str::FromStr;

use chrono::DateTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::filter::{Filter, Term};
use crate::id::RequestId;
use crate::invalid::Invalid;
use crate::listing::{Order, Place};

/// Where a list goes on: opaque, printable, and bound to its query's filter and order.
///
/// Print it into a URL or a page, parse it back, and hand it to [`Query::after`](crate::Query::after)
/// of the same query. It holds the time and the id of one process, so treat it like an id.
///
/// ```
/// use milepost_core::Cursor;
///
/// assert!("page 2".parse::<Cursor>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    place: Place,
    seal: Uuid,
}

/// The namespace of seals (RFC 9562, 5.5): any fixed UUID does.
const SEALS: Uuid = Uuid::from_u128(0x6d69_6c65_706f_7374_2063_7572_736f_7273);
/// The first character of every cursor, so that its form can change.
const VERSION: &str = "1";
/// `VERSION`, 16 digits of time, 32 of id, 32 of seal.
const LENGTH: usize = 81;

impl Cursor {
    pub(crate) fn new(place: Place, filter: &Filter, order: Order) -> Self {
        Cursor {
            place,
            seal: seal(place, filter, order),
        }
    }

    /// The place, if this cursor came from the same filter and order.
    pub(crate) fn open(&self, filter: &Filter, order: Order) -> Result<Place, Invalid> {
        if self.seal == seal(self.place, filter, order) {
            Ok(self.place)
        } else {
            Err(Invalid::ForeignCursor)
        }
    }
}

/// A digest of all that a cursor is bound to. What a caller hides by expiry is not part of it: time
/// passes between two pages.
fn seal(place: Place, filter: &Filter, order: Order) -> Uuid {
    let encode =
        |term: &Term| postcard::to_stdvec(term).expect("a vector takes all that is written");
    let mut terms = filter.terms.iter().map(encode).collect::<Vec<_>>();
    terms.sort_unstable();
    let bound =
        postcard::to_stdvec(&(place, order, terms)).expect("a vector takes all that is written");
    Uuid::new_v5(&SEALS, &bound)
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.place.created_at.timestamp_micros().cast_unsigned();
        let id = Uuid::from(self.place.request_id);
        write!(
            f,
            "{VERSION}{micros:016x}{}{}",
            id.simple(),
            self.seal.simple()
        )
    }
}

impl FromStr for Cursor {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digits = text.strip_prefix(VERSION).filter(|_| text.len() == LENGTH);
        let digits = digits.filter(|digits| {
            digits
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        });
        let parse = |digits: &str| {
            let micros = u64::from_str_radix(&digits[..16], 16).ok()?.cast_signed();
            let created_at = DateTime::from_timestamp_micros(micros)?;
            let request_id = RequestId::from(Uuid::try_parse(&digits[16..48]).ok()?);
            let seal = Uuid::try_parse(&digits[48..]).ok()?;
            Some(Cursor {
                place: Place {
                    created_at,
                    request_id,
                },
                seal,
            })
        };
        digits.and_then(parse).ok_or(Invalid::MalformedCursor)
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
