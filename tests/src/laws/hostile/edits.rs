//! The ways in which a database file is mutated: as bytes, and as SQLite itself would write it.

use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::mutate::mutate;
use super::originals::Original;
use super::{pages, schemas};
use crate::law::{Broken, ensure};

/// What is to be opened.
#[derive(Debug)]
pub(super) struct Mutant {
    /// What was done to it: the family, and the particulars.
    pub(super) how: String,
    main: Main,
    wal: Vec<u8>,
    journal: Vec<u8>,
    /// It is not milepost's any more, and must not be opened.
    pub(super) foreign: bool,
}

#[derive(Debug)]
enum Main {
    File(Vec<u8>),
    Directory,
    Nothing,
}

impl Mutant {
    /// A file of these bytes, with nothing beside it.
    pub(super) fn of(main: Vec<u8>) -> Self {
        Mutant {
            how: "bytes".to_owned(),
            main: Main::File(main),
            wal: Vec::new(),
            journal: Vec::new(),
            foreign: false,
        }
    }

    /// Puts it there.
    pub(super) fn lay(&self, path: &Path) -> Result<(), Broken> {
        match &self.main {
            Main::File(bytes) => fs::write(path, bytes)?,
            Main::Directory => fs::create_dir(path)?,
            Main::Nothing => {}
        }
        for (suffix, bytes) in self.beside() {
            if !bytes.is_empty() {
                fs::write(beside(path, suffix), bytes)?;
            }
        }
        Ok(())
    }

    fn beside(&self) -> [(&'static str, &[u8]); 2] {
        [("-wal", &self.wal), ("-journal", &self.journal)]
    }

    /// Whether all of it is still there as it was laid, and nothing else but shared memory, which holds nothing of
    /// its own.
    pub(super) fn is_untouched(&self, path: &Path) -> Result<(), Broken> {
        let main = match &self.main {
            Main::File(bytes) => fs::read(path).is_ok_and(|now| now == *bytes),
            Main::Directory => path.is_dir(),
            Main::Nothing => !path.exists(),
        };
        ensure(main, || "it was refused, and changed".to_owned())?;
        for (suffix, bytes) in self.beside() {
            let now = fs::read(beside(path, suffix)).unwrap_or_default();
            ensure(now == bytes, || {
                format!("it was refused, and its {suffix} changed")
            })?;
        }
        let names = fs::read_dir(path.parent().expect("it is in a directory"))?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<Vec<_>, std::io::Error>>()?;
        let known = [
            "status.db",
            "status.db-wal",
            "status.db-journal",
            "status.db-shm",
        ];
        let left = names.iter().find(|name| !known.contains(&name.as_str()));
        ensure(left.is_none(), || format!("{left:?} was left beside it"))
    }
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

/// Mutates a file that the store made. What SQLite itself is to write is written at `path`, and removed again.
pub(super) fn mutant(
    original: &Original,
    other: &Original,
    path: &Path,
    random: &mut Rng,
) -> Result<Mutant, Broken> {
    let mut mutant = Mutant {
        wal: original.wal.clone(),
        ..Mutant::of(original.main.clone())
    };
    let mut main = original.main.clone();
    match random.u8(..16) {
        0 => {
            mutant.how = pages::flip(&mut main, random);
            mutant.main = Main::File(main);
        }
        1..=5 => {
            mutant.how = pages::change(&mut main, random);
            mutant.main = Main::File(main);
        }
        6 | 7 => {
            let (table, sql) = schemas::any_edit(random);
            mutant = edited(&mutant, path, &sql, table)?;
        }
        8 => mutant = edited(&mutant, path, &schemas::lying_row(random), "rows")?,
        9 => mutant = foreign(mutant, other, path, random)?,
        10 => beside_it(&mut mutant, original, other, random),
        11..=13 if !original.wal.is_empty() => {
            mutant.how = pages::change_wal(&mut mutant.wal, &other.wal, random);
        }
        _ => {
            let bytes = mutate(&main, &other.main, random);
            "spliced".clone_into(&mut mutant.how);
            mutant.main = Main::File(bytes);
        }
    }
    Ok(mutant)
}

/// What a connection of another program makes of it. An edit that SQLite itself refuses changes nothing.
fn edited(mutant: &Mutant, path: &Path, sql: &str, how: &str) -> Result<Mutant, Broken> {
    mutant.lay(path)?;
    let connection = Connection::open(path)?;
    for (config, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, true),
    ] {
        connection.set_db_config(config, on)?;
    }
    let ignored = "PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF;";
    connection.execute_batch(ignored)?;
    let outcome = connection.execute_batch(sql);
    let refused = outcome.err().map_or(String::new(), |error| {
        format!(", of which SQLite says {error}")
    });
    connection.close().map_err(|(_, error)| error)?;
    let main = fs::read(path)?;
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(beside(path, suffix));
    }
    Ok(Mutant {
        how: format!("{how} {sql}{refused}"),
        ..Mutant::of(main)
    })
}

/// What was never milepost's, or is not for this one.
fn foreign(
    mutant: Mutant,
    other: &Original,
    path: &Path,
    random: &mut Rng,
) -> Result<Mutant, Broken> {
    let noise = |random: &mut Rng, length: usize| (0..length).map(|_| random.u8(..)).collect();
    let theirs =
        "PRAGMA journal_mode = WAL; CREATE TABLE notes (text); INSERT INTO notes VALUES ('x')";
    let kind = random.u8(..9);
    let length = random.usize(512..60_000);
    let main = match kind {
        0 => Main::File(noise(random, length)),
        1 => {
            let short = random.usize(1..512);
            Main::File(other.main[..short].to_vec())
        }
        2 => Main::File("Dear diary, ".repeat(1 + length / 12).into_bytes()),
        3 => Main::Directory,
        4 => {
            let wal = mutant.wal;
            let emptied = edited(&Mutant::of(Vec::new()), path, theirs, "foreign database")?;
            return Ok(Mutant {
                foreign: true,
                wal,
                ..emptied
            });
        }
        5 => {
            let version = random.i32(4..);
            let newer = edited(
                &mutant,
                path,
                &format!("PRAGMA user_version = {version}"),
                "foreign",
            )?;
            return Ok(Mutant {
                foreign: true,
                ..newer
            });
        }
        6 => {
            let mark = random.i32(..0x6d69_6c65);
            let marked = edited(
                &mutant,
                path,
                &format!("PRAGMA application_id = {mark}"),
                "foreign",
            )?;
            return Ok(Mutant {
                foreign: true,
                ..marked
            });
        }
        // The first page is what encryption leaves of it.
        7 => {
            let mut bytes = other.main.clone();
            let first: Vec<u8> = noise(random, 4096);
            bytes[..4096].copy_from_slice(&first);
            Main::File(bytes)
        }
        // What is left of a database that was removed.
        _ => Main::Nothing,
    };
    let is_left_over = matches!(main, Main::Nothing);
    let wal = if is_left_over {
        noise(random, length)
    } else {
        mutant.wal
    };
    Ok(Mutant {
        how: format!("foreign, of kind {kind}"),
        main,
        wal,
        journal: Vec::new(),
        foreign: true,
    })
}

/// Something stands beside it that does not belong to it.
fn beside_it(mutant: &mut Mutant, original: &Original, other: &Original, random: &mut Rng) {
    match random.u8(..4) {
        0 => {
            mutant.how = format!("beside a WAL of {}", other.name);
            mutant.wal.clone_from(&other.wal);
        }
        1 => {
            "beside a WAL of noise".clone_into(&mut mutant.how);
            let length = random.usize(1..40_000);
            mutant.wal = (0..length).map(|_| random.u8(..)).collect();
        }
        2 => {
            "beside a journal of noise".clone_into(&mut mutant.how);
            let length = random.usize(1..40_000);
            mutant.journal = (0..length).map(|_| random.u8(..)).collect();
        }
        _ => {
            mutant.how = format!("beside nothing, though {} had a WAL", original.name);
            mutant.wal.clear();
        }
    }
}
