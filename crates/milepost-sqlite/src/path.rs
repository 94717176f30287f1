//! Paths: the file that is meant, and the files beside it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use milepost_core::StoreError;

use crate::config::SqliteConfig;
use crate::error::{refuse, unavailable};

/// The file that a configuration means: absolute, so that it is never taken for a URI.
pub(crate) fn resolve(config: &SqliteConfig) -> Result<PathBuf, StoreError> {
    let path = std::path::absolute(&config.path)
        .map_err(|error| unavailable("the path is empty", &error))?;
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(refuse("the path names no file"));
    };
    let directory = fs::canonicalize(directory).map_err(|error| {
        unavailable(
            &format!("the directory {} cannot be used", directory.display()),
            &error,
        )
    })?;
    let path = directory.join(name);
    match fs::symlink_metadata(&path) {
        Ok(link) if link.is_symlink() && !config.follow_symlinks => Err(refuse(
            "the path is a symbolic link: give the file itself, or set `follow_symlinks`",
        )),
        Ok(link) if link.is_symlink() => fs::canonicalize(&path)
            .map_err(|error| unavailable("the symbolic link leads nowhere", &error)),
        Ok(_) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path),
        Err(error) => Err(unavailable("the path cannot be looked at", &error)),
    }
}

/// The path of a file that SQLite, or we, put beside another.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
