//! Telling our files from what is not ours, before SQLite touches anything.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use milepost_core::{StoreError, StoreErrorKind};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::{corrupt, store_error};
use crate::path::beside;
use crate::schema;

/// Tells ours from what is not by the header in the main file, before any lock or WAL is touched.
///
/// `immutable` makes SQLite read the file as it lies there. Reading it through `std::fs` would drop the
/// locks that other connections of this OS process hold.
pub(crate) fn check(path: &Path) -> Result<(), StoreError> {
    let mut tries = 0;
    loop {
        match read_header(path) {
            Ok(marks) => return check_marks(&marks),
            // Another OS process may be writing the first page at this very moment.
            Err(_) if tries < 3 => std::thread::sleep(Duration::from_millis(2 << tries)),
            Err(error) => return header_error(path, error),
        }
        tries += 1;
    }
}

/// What tells whose file it is, and of which version.
pub(crate) struct Marks {
    pub(crate) application_id: i32,
    pub(crate) schema_version: i32,
}

impl Marks {
    pub(crate) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        Ok(Marks {
            application_id: pragma("application_id")?,
            schema_version: pragma("user_version")?,
        })
    }
}

fn read_header(path: &Path) -> rusqlite::Result<Marks> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Marks::read(&Connection::open_with_flags(immutable_uri(path), flags)?)
}

/// `file:` with every byte but letters, digits and slashes escaped, so that no name means anything else.
fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'/' {
            uri.push(char::from(byte));
        } else {
            write!(uri, "%{byte:02X}").expect("a String takes all that is written to it");
        }
    }
    uri.push_str("?mode=ro&immutable=1");
    uri
}

fn header_error(path: &Path, error: rusqlite::Error) -> Result<(), StoreError> {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Err(StoreError::new(
            StoreErrorKind::Incompatible,
            "the file is no SQLite database, or an encrypted one: give another path",
        )),
        // Shorter than its header says: the rest may still be in the WAL, or to be undone by the journal,
        // and SQLite puts it together.
        Some(ErrorCode::DatabaseCorrupt)
            if beside(path, "-wal").exists() || beside(path, "-journal").exists() =>
        {
            Ok(())
        }
        Some(ErrorCode::DatabaseCorrupt) => {
            Err(corrupt("the file is truncated or its header is damaged"))
        }
        _ => Err(store_error(error)),
    }
}

pub(crate) fn check_marks(marks: &Marks) -> Result<(), StoreError> {
    let &Marks {
        application_id,
        schema_version,
    } = marks;
    let why = if application_id != schema::APPLICATION_ID {
        "the file is a database of another program: give another path".to_owned()
    } else if schema_version > schema::SCHEMA_VERSION {
        format!(
            "the file has schema version {schema_version}, and this milepost knows up to {}: use a newer one",
            schema::SCHEMA_VERSION
        )
    } else if schema_version < 1 {
        return Err(corrupt(
            "the file has milepost's mark but no schema version",
        ));
    } else {
        return Ok(());
    };
    Err(StoreError::new(StoreErrorKind::Incompatible, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_means_anything_but_itself() {
        let uri = immutable_uri(Path::new("/a b/é?mode=rw#%41.db"));
        assert_eq!(
            uri,
            "file:/a%20b/%C3%A9%3Fmode%3Drw%23%2541%2Edb?mode=ro&immutable=1"
        );
    }
}
