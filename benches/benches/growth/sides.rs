//! What either side is asked beyond its lifecycle work.

use std::path::Path;

use milepost::{Cursor, Durability, OverallStatus, Query};
use milepost_benches::baseline::{Status, Synchronous, now};
use milepost_benches::by_hand::ByHand;
use milepost_benches::ours::Milepost;
use milepost_benches::rounds::Outcome;
use milepost_benches::workload::{PIPELINE, Subject};
use uuid::Uuid;

/// A side over a SQLite file at `NORMAL`.
pub(crate) trait Side: Subject + Sized {
    /// Where a list goes on.
    type Place;

    /// Opens a file, and makes it if it is not there.
    fn open(path: &Path) -> Outcome<Self>;

    /// Reads a whole process.
    fn status(&self, id: Uuid) -> Outcome<()>;

    /// Reads a page of complete processes, newest first; says how many there were and where to go on.
    fn page(
        &self,
        limit: u32,
        after: Option<&Self::Place>,
    ) -> Outcome<(usize, Option<Self::Place>)>;

    /// Counts all by status.
    fn count(&self) -> Outcome<u64>;

    /// Erases what has expired.
    fn purge(&self) -> Outcome<usize>;
}

impl Side for Milepost {
    type Place = Cursor;

    fn open(path: &Path) -> Outcome<Self> {
        Milepost::sqlite(path, Durability::Normal)
    }

    fn status(&self, id: Uuid) -> Outcome<()> {
        let report = self.tracker.process_status(id.into())?;
        assert_eq!(report.overall_status, OverallStatus::Complete);
        Ok(())
    }

    fn page(&self, limit: u32, after: Option<&Cursor>) -> Outcome<(usize, Option<Cursor>)> {
        let complete = Query::new()
            .pipeline(PIPELINE)
            .status(OverallStatus::Complete);
        let mut query = complete.limit(usize::try_from(limit)?);
        if let Some(after) = after {
            query = query.after(after.clone());
        }
        let page = self.tracker.list(&query)?;
        Ok((page.items.len(), page.next))
    }

    fn count(&self) -> Outcome<u64> {
        Ok(self.tracker.count(&Query::new())?.total())
    }

    fn purge(&self) -> Outcome<usize> {
        Ok(self.tracker.purge()?)
    }
}

impl Side for ByHand {
    type Place = (i64, Uuid);

    fn open(path: &Path) -> Outcome<Self> {
        ByHand::sqlite(path, Synchronous::Normal)
    }

    fn status(&self, id: Uuid) -> Outcome<()> {
        let process = self.store.status(id)?.ok_or("it is gone")?;
        assert_eq!(process.status, Status::Complete);
        Ok(())
    }

    fn page(
        &self,
        limit: u32,
        after: Option<&Self::Place>,
    ) -> Outcome<(usize, Option<Self::Place>)> {
        let page = self
            .store
            .page(PIPELINE, Status::Complete, limit, after.copied())?;
        let last = page.last().map(|process| (process.created_at, process.id));
        Ok((page.len(), last))
    }

    fn count(&self) -> Outcome<u64> {
        Ok(self.store.counts()?.iter().map(|(_, count)| count).sum())
    }

    fn purge(&self) -> Outcome<usize> {
        Ok(self.store.purge(now())?)
    }
}
