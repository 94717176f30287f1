//! A path is a path: nothing in a name means anything, and no link leads a store astray.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fastrand::Rng;
use milepost::{
    NewProcess, Pipeline, SqliteConfig, StatusStore, StoreError, StoreErrorKind, Tracker,
};

use super::mutants::Opener;
use super::watched::watched;
use crate::law::{Broken, Done, Law, Shard, ensure};

/// The law of names.
pub static NAMES: Law = Law {
    name: "names",
    says: "a database is made and found at the very path that is given, or it is refused and nothing is made",
    unit: "names and links",
    shard: 500,
    asked: 2_000,
    run: |shard| try_all(shard, super::mutants::open),
};

/// What names are made of that some program has taken for more than a name.
const PIECES: [&[u8]; 34] = [
    b"file:",
    b":memory:",
    b"?mode=memory",
    b"?mode=ro&immutable=1",
    b"&vfs=none",
    b"#x",
    b"%00",
    b"%41",
    b"%2e%2e",
    b"..",
    b".",
    b" ",
    b"-",
    b"--",
    b"~",
    b"*",
    b"'",
    b"\"",
    b"`id`",
    b"$(id)",
    b";",
    b"|",
    b"\\",
    b"\n",
    b"\r",
    b"\t",
    b"\x7f",
    b"\xff\xfe",
    b"\xc0\x80",
    "größe".as_bytes(),
    "\u{202e}".as_bytes(),
    b"-wal",
    b"-journal",
    b".db",
];

/// Tries names, and every seventh time a link.
pub fn try_all(shard: &Shard<'_>, opener: Opener) -> Result<Done, Broken> {
    let mut done = 0;
    while shard.goes_on(done) {
        let mut random = shard.random(done);
        let directory = shard.scratch.join(done.to_string());
        fs::create_dir(&directory)?;
        if done % 7 == 6 {
            link(&directory, opener, &mut random)?;
        } else {
            let name = name(&mut random);
            named(&directory, &name, opener).map_err(|how| {
                Broken::new(format!(
                    "{:?}: {how}",
                    name.as_bytes().escape_ascii().to_string()
                ))
            })?;
        }
        fs::remove_dir_all(&directory)?;
        done += 1;
    }
    Ok(Done::Tried(done))
}

fn name(random: &mut Rng) -> OsString {
    let mut name = Vec::new();
    for _ in 0..random.usize(1..=4) {
        name.extend(PIECES[random.usize(..PIECES.len())]);
    }
    match random.u8(..12) {
        0 => name.push(0),
        // About as long as a file's name may be, and as the names beside it may be.
        1 => name.resize(random.usize(225..270), b'n'),
        2 => name.resize(5_000, b'n'),
        _ => {}
    }
    OsString::from_vec(name)
}

/// Opens it twice; answers the error of the first time if there was one.
fn begin(path: &Path, opener: Opener) -> Result<Option<StoreErrorKind>, Broken> {
    let config = SqliteConfig::new(path);
    watched(move || {
        let open = |config: &SqliteConfig| -> Result<Arc<dyn StatusStore>, StoreError> {
            opener(config.clone())
        };
        let store = match open(&config) {
            Ok(store) => store,
            Err(error) => return Ok(Some(error.kind())),
        };
        let tracker = Tracker::new(store);
        let pipeline = Pipeline::new("thumbnails", ["scale"])?;
        let id = tracker.begin(NewProcess::new(&pipeline))?.request_id();
        drop(tracker);
        Tracker::new(open(&config)?).get(id)?;
        Ok(None)
    })
}

fn entries(directory: &Path) -> Result<Vec<OsString>, Broken> {
    let entries = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name()));
    Ok(entries.collect::<Result<_, std::io::Error>>()?)
}

fn named(directory: &Path, name: &OsStr, opener: Opener) -> Result<(), Broken> {
    let path = directory.join(name);
    let refused = begin(&path, opener)?;
    let made = entries(directory)?;
    // What these name is a directory.
    let is_directory = matches!(name.as_bytes(), b"." | b"..");
    match refused {
        None => ensure(made == [name] && !is_directory, || {
            format!("{made:?} was made")
        }),
        Some(kind) => {
            let may_be = is_directory || name.as_bytes().contains(&0) || name.len() > 225;
            ensure(may_be && kind == StoreErrorKind::Unavailable, || {
                format!("refused as {kind:?}")
            })?;
            ensure(made.is_empty(), || {
                format!("refused, and {made:?} was made")
            })
        }
    }
}

/// A link in the place of the database, of its directory or of what SQLite puts beside it.
fn link(directory: &Path, opener: Opener, random: &mut Rng) -> Result<(), Broken> {
    let at = |name: &str| directory.join(name);
    let (real, path) = (at("real"), at("status.db"));
    fs::create_dir(&real)?;
    let victim = real.join("victim");
    let content = match random.u8(..3) {
        // A store's own file, another's, and nothing.
        0 => {
            begin(&victim, opener)?;
            fs::read(&victim)?
        }
        1 => b"Dear diary, ".repeat(random.usize(1..1000)),
        _ => Vec::new(),
    };
    fs::write(&victim, &content)?;
    let untouched = |what: &str| {
        let same = fs::read(&victim)? == content && entries(&real)?.len() == 1;
        ensure(same, || format!("{what} was followed"))
    };
    let must_be_refused = |path: &Path, what: &str| {
        let refused = begin(path, opener)?;
        ensure(refused == Some(StoreErrorKind::Unavailable), || {
            format!("{what}: {refused:?}")
        })?;
        untouched(what)
    };
    match random.u8(..6) {
        0 => {
            symlink(&victim, &path)?;
            must_be_refused(&path, "a link to a file")
        }
        1 => {
            symlink(real.join("nothing"), &path)?;
            must_be_refused(&path, "a link to nothing")
        }
        2 => {
            symlink(&path, &path)?;
            must_be_refused(&path, "a link to itself")
        }
        3 => {
            symlink(&victim, at("link"))?;
            symlink(at("link"), &path)?;
            must_be_refused(&path, "a link to a link")
        }
        4 => {
            // Where the directory leads is the business of whoever gives it.
            symlink(&real, at("way"))?;
            let refused = begin(&at("way").join("new.db"), opener)?;
            ensure(refused.is_none() && real.join("new.db").is_file(), || {
                format!("in a directory behind a link: {refused:?}")
            })
        }
        _ => {
            begin(&path, opener)?;
            let suffix = ["-wal", "-shm", "-journal"][random.usize(..3)];
            symlink(
                &victim,
                PathBuf::from(format!("{}{suffix}", path.display())),
            )?;
            let refused = begin(&path, opener)?;
            let kinds = [
                None,
                Some(StoreErrorKind::Unavailable),
                Some(StoreErrorKind::Corrupt),
            ];
            ensure(kinds.contains(&refused), || {
                format!("{suffix}: {refused:?}")
            })?;
            untouched(suffix)
        }
    }
}
