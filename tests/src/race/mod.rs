//! What the laws of [`rivals`](crate::laws::race) need: histories of calls on processes, and the search for an order
//! that explains them. `crates/milepost-memory/tests/schedules.rs` uses the search and the register too.

pub mod client;
pub mod faulty;
pub mod forks;
pub mod history;
pub mod linear;
pub mod register;
