//! Looking for what was erased in the files as they lie there, without SQLite.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use milepost_core::{StoreError, StoreErrorKind};

use crate::error::{refuse, unavailable};
use crate::make::unfinished;
use crate::mark::{Encoding, Mark};
use crate::open_files::ReadFile;
use crate::pages::{PagePart, Pages};
use crate::path::{BESIDE, beside, resolve};
use crate::search::{Hit, Search};
use crate::{SqliteConfig, name_path};

/// How many traces are told; then the search ends.
const TRACES: usize = 1_000;
/// How many bytes of marks, in all encodings, are looked for at once; each further such portion is another walk
/// through the files.
const AT_ONCE: usize = 1024 * 1024;

/// Looks through every file of a store for marks of what was erased.
///
/// For operators and auditors: it shows from outside, and without trusting the store, what
/// [`Wipe::Done`](milepost_core::Wipe::Done) promises. Looked through are the database at `path`, and beside it the WAL
/// (`-wal`), the shared memory (`-shm`), a rollback journal (`-journal`), and new files that were never finished
/// (`.new-..`), whatever is in them: rows, free pages, the gaps between them, frames that are no longer valid. Each mark
/// is looked for [as it is and in the encodings](Encoding) that a copy may have. Nothing is changed.
///
/// # Contract
///
/// - Memory is bounded: the files are read in pieces of 1 MiB, and many marks in several walks.
/// - A mark of 8 bytes or more is also found where SQLite split it, because its row goes on on another page: half of it
///   or more at the border of a page, or as much as a page holds, is told as a [trace that is not
///   whole](Trace::is_whole). A neighbour that shares that part can be meant: look at what is there.
/// - Not found is what is left of a mark that was overwritten in part. If that matters, give parts as marks of their own.
///   Nor what was compressed, encrypted or escaped.
/// - Other OS processes may go on working on the file. A trace is told as of the moment of reading.
/// - What the file system keeps besides, or has been given back, is not looked at: see
///   [`WipeLevel::Media`](milepost_core::WipeLevel::Media).
///
/// # Errors
///
/// | | kind |
/// |---|---|
/// | this OS process has a store open on the file, whose locks would be lost | `Busy` |
/// | no marks; one shorter than 4 bytes, or longer than 4 KiB | `Limit` |
/// | no file, no regular file, a symbolic link, or one that cannot be read | `Unavailable` |
///
/// A store that is opened in the same OS process meanwhile is `Busy` until this has ended. Connections that are not
/// milepost's it cannot know of: close them first.
///
/// # Examples
///
/// ```
/// use milepost_core::{NewProcess, Pipeline, Tracker, Wipe};
/// use milepost_sqlite::{Mark, SqliteStore, verify_erased};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("status.db");
/// let tracker = Tracker::new(SqliteStore::open(&path)?);
/// let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;
/// let id = tracker.begin(NewProcess::new(&pipeline).file_name("invoice-4711.pdf"))?.request_id();
/// assert_eq!(tracker.erase(id)?.wipe, Wipe::Done);
/// drop(tracker);
///
/// let traces = verify_erased(&path, &[Mark::id(id), Mark::text("invoice-4711")])?;
/// assert!(traces.is_clean(), "{traces}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify_erased(path: impl AsRef<Path>, marks: &[Mark]) -> Result<Traces, StoreError> {
    if marks.is_empty() {
        let why = "no marks were given: nothing would be found in any file";
        return Err(StoreError::new(StoreErrorKind::Limit, why));
    }
    marks.iter().try_for_each(Mark::check)?;
    let config = SqliteConfig::new(path.as_ref());
    let path = resolve(&config).map_err(|error| name_path(&error, &config.path))?;
    let mut traces = Traces {
        found: Vec::new(),
        files: Vec::new(),
        is_complete: true,
    };
    let files = files_of(&path)?;
    // Until the last of them is closed again.
    let mut reading = Vec::new();
    for file in &files {
        match ReadFile::enter(file) {
            // It went meanwhile, as a WAL does when the last store is closed.
            Err(_) if *file != path && !file.exists() => {}
            entered => reading.push(entered.map_err(|error| name_path(&error, file))?),
        }
    }
    for search in searches(marks) {
        traces.files.clear();
        for file in &files {
            let may_go = *file != path;
            traces.look_through(file, &search, may_go)?;
        }
    }
    drop(reading);
    Ok(traces)
}

/// What [`verify_erased`] has found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traces {
    /// Each place at which a mark was found, at most 1,000.
    pub found: Vec<Trace>,
    /// The files that were looked through, and how many bytes were read of each.
    pub files: Vec<(PathBuf, u64)>,
    /// Whether all was looked through: false if the search ended at 1,000 traces.
    pub is_complete: bool,
}

impl Traces {
    /// Whether nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.found.is_empty()
    }

    /// If it `may_go`, it may have gone meanwhile.
    fn look_through(
        &mut self,
        path: &Path,
        search: &Search,
        may_go: bool,
    ) -> Result<(), StoreError> {
        if !self.is_complete {
            return Ok(());
        }
        match self.scan(path, search) {
            Ok(()) => Ok(()),
            Err(error) if may_go && error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(unavailable(
                &format!("{} cannot be read", path.display()),
                &error,
            )),
        }
    }

    fn scan(&mut self, path: &Path, search: &Search) -> io::Result<()> {
        let mut file = File::open(path)?;
        let pages = Pages::of(&mut file)?;
        file.seek(SeekFrom::Start(0))?;
        let room = TRACES - self.found.len();
        let mut hits = Vec::new();
        let bytes = search.walk(&mut file, &pages, |hit| {
            // Half of a text may be the same in lower case.
            if hit.is_whole || !hits.iter().any(|other: &Hit| other.is_at_the_same(&hit)) {
                hits.push(hit);
            }
            hits.len() <= room
        })?;
        self.is_complete = hits.len() <= room;
        for hit in hits.into_iter().take(room) {
            let part = pages.part(&mut file, hit.offset)?;
            self.found.push(Trace::new(path, &hit, part));
        }
        self.files.push((path.to_owned(), bytes));
        Ok(())
    }
}

impl fmt::Display for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.is_complete { "" } else { " or more" };
        let (found, files) = (self.found.len(), self.files.len());
        let [traces, files] = [(found, "trace"), (files, "file")].map(|(count, what)| {
            let plural = if count == 1 { "" } else { "s" };
            format!("{count} {what}{plural}")
        });
        write!(f, "{traces}{more} in {files}")?;
        self.found
            .iter()
            .try_for_each(|trace| write!(f, "\n{trace}"))
    }
}

/// A place at which a mark was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trace {
    /// Which of the marks that were given, counted from 0: so that what was to be gone is not copied once more.
    pub mark: usize,
    /// How it is written there.
    pub encoding: Encoding,
    /// The file.
    pub file: PathBuf,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// How many bytes it has there.
    pub len: usize,
    /// Whether all of the mark is there; otherwise it is cut off at the border of a page.
    pub is_whole: bool,
    /// What of the file that is.
    pub part: PagePart,
}

impl Trace {
    fn new(path: &Path, hit: &Hit, part: PagePart) -> Self {
        Trace {
            mark: hit.mark,
            encoding: hit.encoding,
            file: path.to_owned(),
            offset: hit.offset,
            len: hit.len,
            is_whole: hit.is_whole,
            part,
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Trace {
            mark,
            encoding,
            offset,
            len,
            part,
            ..
        } = self;
        let of = if self.is_whole { "" } else { " a part of" };
        let file = self.file.display();
        write!(
            f,
            "{file}:{of} mark {mark} as {encoding}, {len} bytes from byte {offset}, in {part}"
        )
    }
}

/// One search for each portion of the marks.
fn searches(marks: &[Mark]) -> impl Iterator<Item = Search> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let (mut patterns, mut bytes) = (Vec::new(), 0);
        while let Some(mark) = marks.get(next).filter(|_| bytes < AT_ONCE) {
            for (encoding, pattern) in mark.patterns() {
                bytes += pattern.len();
                patterns.push((next, encoding, pattern));
            }
            next += 1;
        }
        (!patterns.is_empty()).then(|| Search::new(&patterns))
    })
}

/// The files of the store, the database first. What stands in the place of one and is no regular file is refused.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut files = vec![path.to_owned()];
    files.extend(BESIDE.map(|suffix| beside(path, suffix)));
    let listed = unfinished(path).map_err(|error| {
        let error = unavailable("its directory cannot be read", &error);
        name_path(&error, path)
    })?;
    files.extend(listed);
    let mut there = Vec::new();
    for file in files {
        match fs::symlink_metadata(&file) {
            Ok(found) if found.is_file() => there.push(file),
            Ok(_) => return Err(name_path(&refuse("the path is no regular file"), &file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && file != path => {}
            Err(error) => {
                let error = unavailable("the file cannot be looked at", &error);
                return Err(name_path(&error, &file));
            }
        }
    }
    Ok(there)
}
