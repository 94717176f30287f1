//! Making a new file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use milepost_core::StoreError;

use crate::config::SqliteConfig;
use crate::connection::{connect, keep_wal_on_close};
use crate::error::{refuse, store_error, unavailable};
use crate::path::beside;
use crate::pool::Deadline;
use crate::{checkpoints, media, schema, sql};

/// Begins what is added to the name of a file while it is made.
const TEMPORARY: &str = ".new-";

/// Makes a new file under a temporary name and links it to its own, so that a crash leaves no half of
/// one, and nobody's file is overwritten. Readable and writable by its owner only.
pub(crate) fn make(
    path: &Path,
    config: &SqliteConfig,
    deadline: Deadline,
) -> Result<(), StoreError> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let temporary = loop {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = beside(path, &format!("{TEMPORARY}{}-{number}", std::process::id()));
        match make_private(&name) {
            Ok(()) => break Temporary(name),
            // Left over from an OS process that was killed and had this one's number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(unavailable(
                    "the file cannot be made in its directory",
                    &error,
                ));
            }
        }
    };
    let connection = connect(&temporary.0, config, deadline)?;
    schema::upgrade(&connection, deadline)?;
    media::note_made(&connection, config)?;
    // All of it is to be in the file that gets its name. Closing would say nothing if it were not.
    if !checkpoints::run(&connection, sql::TRUNCATE)?.is_whole {
        return Err(refuse("somebody holds on to the new file: try again"));
    }
    keep_wal_on_close(&connection, false)?;
    connection
        .close()
        .map_err(|(_, error)| store_error(error))?;
    let link = || {
        // SQLite has closed it, so opening it here drops no lock.
        fs::File::open(&temporary.0)?.sync_all()?;
        match fs::hard_link(&temporary.0, path) {
            // Somebody else was faster: theirs is as good.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    };
    link().map_err(|error| unavailable("the new file cannot be put in its place", &error))?;
    drop(temporary);
    sync_directory(path).map_err(|error| unavailable("the directory cannot be synced", &error))
}

/// Takes the temporary name away from a file whose maker was killed before it did: whoever removes the file would leave
/// all that it holds under that name.
#[cfg(unix)]
pub(crate) fn remove_temporary_name(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let file = fs::metadata(path)?;
    if file.nlink() == 1 {
        return Ok(());
    }
    for other in unfinished(path)?
        .iter()
        .filter(|other| is_temporary(other, path))
    {
        // Its maker may be alive, and about to remove it too.
        let _ = fs::symlink_metadata(other).and_then(|found| {
            let is_same = (found.dev(), found.ino()) == (file.dev(), file.ino());
            if is_same {
                fs::remove_file(other)
            } else {
                Ok(())
            }
        });
    }
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn remove_temporary_name(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Whether `other` is a name that the file at `path` may have had while it was made.
#[cfg(unix)]
fn is_temporary(other: &Path, path: &Path) -> bool {
    let begins = beside(path, TEMPORARY);
    let other = other.as_os_str().as_encoded_bytes();
    let numbers = other.strip_prefix(begins.as_os_str().as_encoded_bytes());
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    numbers.is_some_and(|numbers| {
        let parts = numbers.split(|byte| *byte == b'-').collect::<Vec<_>>();
        parts.len() == 2 && parts.into_iter().all(is_number)
    })
}

/// New files that were never finished, and what is beside them.
pub(crate) fn unfinished(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(directory), Some(name)) = (
        path.parent(),
        beside(path, TEMPORARY).file_name().map(ToOwned::to_owned),
    ) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let is_one = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(name.as_encoded_bytes());
        if is_one {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// A file that goes when this goes.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            // What cannot be removed is a few pages of an empty database.
            let _ = fs::remove_file(beside(&self.0, suffix));
        }
    }
}

#[cfg(unix)]
fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    // Whatever the umask has taken away.
    let restricted = fs::set_permissions(path, fs::Permissions::from_mode(0o600));
    restricted.inspect_err(|_| drop(Temporary(path.to_owned())))
}

#[cfg(not(unix))]
fn make_private(path: &Path) -> io::Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map(drop)
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |directory| fs::File::open(directory)?.sync_all())
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}
