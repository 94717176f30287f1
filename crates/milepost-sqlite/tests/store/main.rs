//! The SQLite store as hosts call it. In one program, which is built sooner than many; those beside it want a program of
//! their own, for their forks or for the time that they take.

#[path = "../common/mod.rs"]
mod common;

mod columns;
#[cfg(unix)]
mod doubt;
mod erasure;
#[cfg(unix)]
mod faults;
mod foreign;
mod hostile;
mod leases;
mod lists;
#[cfg(unix)]
mod making;
#[cfg(unix)]
mod opening;
mod pages;
mod purge;
mod sharing;
mod upgrade;
mod verify;
