//! Hostile files, hostile input, and clocks that are wrong.

pub mod clocks;
pub mod corpus;
pub mod decoders;
mod edits;
mod fields;
mod lawful;
pub mod lives;
pub mod mutants;
mod mutate;
pub mod names;
mod originals;
mod pages;
mod schemas;
pub mod texts;
mod visit;
mod watched;

pub use lawful::lawful;
