//! The laws: one function each, named by what it holds stores to.

pub(crate) mod batches;
pub(crate) mod bounds;
pub(crate) mod clock;
mod drafts;
pub(crate) mod durable;
pub(crate) mod expiry;
pub(crate) mod filters;
pub(crate) mod generated;
pub(crate) mod ghosts;
pub(crate) mod guards;
pub(crate) mod lists;
pub(crate) mod machine;
pub(crate) mod ranges;
pub(crate) mod reads;
pub(crate) mod replays;
mod spelled;
mod strategy;
pub(crate) mod table;
pub(crate) mod threads;
pub(crate) mod wipes;
pub(crate) mod work;
