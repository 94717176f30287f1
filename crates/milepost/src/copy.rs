//! Moving house: every process from one store into another.

use std::fmt;

use milepost_core::{Cursor, Process, Query, RequestId, TrackError, Tracker, limits};
use uuid::Uuid;

use crate::intake::{Imported, Intake};

/// Copies every process that can be seen in one tracker's store into another's, whatever the two are: from a file to a
/// server, and back.
///
/// Each arrives as it stands, with its version, its history and its claim, by [`Change::import`](milepost_core::Change::import),
/// which overwrites nothing: so a copy that was broken off is taken up by copying again, from where its last
/// [step](CopyOptions::each_step) was, or from the beginning. What has expired is left behind, as nobody can see it.
///
/// Then both sides are read again, and compared: [`Copied::is_whole`] says whether each process is there as it is here. Both
/// stores may be in use meanwhile, and what begins, goes on or is erased in the first after it was copied makes a
/// difference: let its writers rest, or copy again until nothing does.
///
/// Nothing is erased in the first store: once the host works on the second, `erase_matching` with an empty query does that.
///
/// # Errors
///
/// Of either store. What was copied until then stays.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "memory")] fn example() -> Result<(), Box<dyn std::error::Error>> {
/// # use milepost::{MemoryStore, NewProcess, Pipeline, Tracker};
/// use milepost::{CopyOptions, copy};
///
/// # let (old, new) = (Tracker::new(MemoryStore::new()), Tracker::new(MemoryStore::new()));
/// # let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;
/// # let process = old.begin(NewProcess::new(&pipeline))?;
/// let copied = copy(&old, &new, CopyOptions::new().each_step(|step| println!("{step}")))?;
/// assert!(copied.is_whole(), "{copied}");
/// assert_eq!(new.get(process.request_id())?, old.get(process.request_id())?);
/// # Ok(()) }
/// # #[cfg(feature = "memory")] example()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn copy(
    from: &Tracker,
    to: &Tracker,
    mut options: CopyOptions<'_>,
) -> Result<Copied, TrackError> {
    let mut intake = Intake::new(to, &mut options.refused);
    let mut pages = Pages::of(from, options.after.take());
    while let Some(page) = pages.next()? {
        for process in page {
            intake.push(process)?;
        }
        intake.send()?;
        if let Some(reached) = pages.reached() {
            (options.each_step)(&CopyStep {
                imported: intake.imported(),
                reached,
            });
        }
    }
    let mut copied = Copied {
        imported: intake.finish()?,
        compared: 0,
        missing: 0,
        different: 0,
        here: Digest::default(),
        there: Digest::default(),
    };
    let mut pages = Pages::of(from, None);
    while let Some(page) = pages.next()? {
        let ids = page.iter().map(|process| process.request_id());
        let there = to.get_many(&ids.collect::<Vec<_>>())?;
        for (here, there) in page.iter().zip(there) {
            copied.compare(here, there.as_deref());
        }
    }
    Ok(copied)
}

/// All processes of a store, the oldest first, page by page.
struct Pages<'t> {
    tracker: &'t Tracker,
    after: Option<Cursor>,
    is_last: bool,
}

impl<'t> Pages<'t> {
    fn of(tracker: &'t Tracker, after: Option<Cursor>) -> Self {
        Pages {
            tracker,
            after,
            is_last: false,
        }
    }

    fn next(&mut self) -> Result<Option<Vec<std::sync::Arc<Process>>>, TrackError> {
        if self.is_last {
            return Ok(None);
        }
        let mut query = Query::new().oldest_first().limit(limits::PAGE);
        if let Some(after) = self.after.take() {
            query = query.after(after);
        }
        let page = self.tracker.list(&query)?;
        self.is_last = page.next.is_none();
        self.after = page.next;
        Ok(Some(page.items))
    }

    /// Behind what the pages until now have shown, unless it was the last.
    fn reached(&self) -> Option<Cursor> {
        self.after
    }
}

/// How to copy: [`new`](CopyOptions::new) is from the beginning, and in silence.
pub struct CopyOptions<'a> {
    after: Option<Cursor>,
    each_step: Box<dyn FnMut(&CopyStep) + 'a>,
    refused: Box<Refused<'a>>,
}

/// Is told which process was left out, and why.
type Refused<'a> = dyn FnMut(RequestId, &TrackError) + 'a;

impl<'a> CopyOptions<'a> {
    /// From the beginning, and in silence.
    #[must_use]
    pub fn new() -> Self {
        CopyOptions {
            after: None,
            each_step: Box::new(|_| {}),
            refused: Box::new(|_, _| {}),
        }
    }

    /// From behind what an earlier copy had [reached](CopyStep::reached). All is compared in any case.
    #[must_use]
    pub fn after(self, reached: Cursor) -> Self {
        CopyOptions {
            after: Some(reached),
            ..self
        }
    }

    /// Tells how far it is, after each thousand at most; not after the last.
    #[must_use]
    pub fn each_step(self, each_step: impl FnMut(&CopyStep) + 'a) -> Self {
        CopyOptions {
            each_step: Box::new(each_step),
            ..self
        }
    }

    /// Tells of each process that is left out and why: another goes by its id in the second store, or what that has of it is
    /// damaged. The copy goes on.
    #[must_use]
    pub fn refused(self, refused: impl FnMut(RequestId, &TrackError) + 'a) -> Self {
        CopyOptions {
            refused: Box::new(refused),
            ..self
        }
    }
}

impl Default for CopyOptions<'_> {
    fn default() -> Self {
        CopyOptions::new()
    }
}

impl fmt::Debug for CopyOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyOptions")
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}

/// How far a copy is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CopyStep {
    /// What has become of those that were sent until now.
    pub imported: Imported,
    /// Where to go on, should the copy be broken off: [`CopyOptions::after`].
    pub reached: Cursor,
}

impl fmt::Display for CopyStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; go on after {}", self.imported, self.reached)
    }
}

/// What a copy came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// What became of those that were sent.
    pub imported: Imported,
    /// How many processes of the first store were compared.
    pub compared: u64,
    /// How many of them are not in the second.
    pub missing: u64,
    /// How many are there otherwise.
    pub different: u64,
    /// The digest of those in the first store.
    pub here: Digest,
    /// The digest of the same in the second.
    pub there: Digest,
}

impl Copied {
    /// Whether every process of the first store is in the second as it is in the first.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.here == self.there
    }

    fn compare(&mut self, here: &Process, there: Option<&Process>) {
        self.compared += 1;
        self.missing += u64::from(there.is_none());
        self.different += u64::from(there.is_some_and(|there| there != here));
        self.here.add(here);
        if let Some(there) = there {
            self.there.add(there);
        }
    }
}

impl fmt::Display for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Copied {
            imported,
            compared,
            missing,
            different,
            here,
            there,
        } = self;
        write!(
            f,
            "{imported}; compared {compared}: {missing} missing, {different} different; digests {here} and {there}"
        )
    }
}

/// What tells whether some processes, in their order, are the same as others: SHA-1 over their records, cut to 122 bits.
/// Good against accidents, not against who forges records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Digest(Uuid);

impl Digest {
    fn add(&mut self, process: &Process) {
        let mut record = Vec::new();
        process.to_record(&mut record);
        self.0 = Uuid::new_v5(&self.0, &record);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0.simple())
    }
}
