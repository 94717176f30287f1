//! What the core does, in one program, which is built sooner than one for each file.

#[path = "../common/mod.rs"]
mod common;

mod cursor;
mod describe;
mod erase;
mod errors;
mod estimate;
mod explain;
mod explain_bounds;
mod face;
mod group;
mod guards;
mod handles;
mod ids;
mod keys;
mod laws;
mod lease;
mod lease_ends;
mod limits;
mod machine;
mod prepared;
mod query;
mod reap;
mod record;
mod replay;
mod reporter;
mod reporter_handles;
mod reporter_pace;
mod reporter_trouble;
mod schema;
mod size;
mod table;
mod tend;
mod tracker;
mod watch;
mod wire;
