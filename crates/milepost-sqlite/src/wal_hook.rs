//! How long the WAL is, as SQLite tells whoever commits.

use std::cell::Cell;
use std::ffi::c_int;

use rusqlite::{Connection, hooks};

thread_local! {
    /// How many pages the WAL had after the commit that this thread made last.
    static PAGES: Cell<Option<u64>> = const { Cell::new(None) };
}

/// How many pages the WAL has after the commit that this thread has just made, on a connection that was set to note it;
/// none if that wrote nothing.
pub(crate) fn take_pages() -> Option<u64> {
    PAGES.take()
}

/// Has the commits of this connection make no checkpoint, but note how long the WAL is.
pub(crate) fn note_pages(writer: &mut Connection) {
    Connection::wal_hook.note_pages_of(writer);
}

#[expect(clippy::unnecessary_wraps, reason = "a hook may fail")]
fn note(pages: c_int) -> rusqlite::Result<()> {
    PAGES.set(u64::try_from(pages).ok());
    Ok(())
}

/// `Connection::wal_hook`, which from rusqlite 0.41 on takes another kind of function than before. `V` tells the two
/// apart and is always inferred, for only one of them fits.
trait WalHook<V> {
    fn note_pages_of(&self, writer: &mut Connection);
}

struct Until40;
type HookUntil40 = fn(&hooks::Wal, c_int) -> rusqlite::Result<()>;

impl<H: Fn(&Connection, Option<HookUntil40>)> WalHook<Until40> for H {
    fn note_pages_of(&self, writer: &mut Connection) {
        let hook: HookUntil40 = |_, pages| note(pages);
        self(writer, Some(hook));
    }
}

struct From41;
type HookFrom41 = fn(&mut hooks::Wal, c_int) -> rusqlite::Result<()>;

impl<H: Fn(&mut Connection, Option<HookFrom41>) -> rusqlite::Result<()>> WalHook<From41> for H {
    fn note_pages_of(&self, writer: &mut Connection) {
        let hook: HookFrom41 = |_, pages| note(pages);
        // The hook takes the place of SQLite's own checkpoint, so if it cannot be set, that goes on.
        let _ = self(writer, Some(hook));
    }
}
