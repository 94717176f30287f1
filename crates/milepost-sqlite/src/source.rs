//! Where to look for what a filter asks: which index leaves the fewest rows.

use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use milepost_core::{File, FileId, Filter, StoreError, Term, TimeRange};
use rusqlite::{Connection, ToSql};

use crate::columns::{Scanned, file_bytes, micros};
use crate::error::store_error;
use crate::rows::Table;
use crate::sql;

/// The rows that may match a filter. What it leaves is judged by the filter itself, so the choice is one
/// of speed alone.
pub(crate) enum Source<'f> {
    File(FileId),
    Stalled { by: DateTime<Utc> },
    Pipeline(&'f str),
    Directories(Vec<TextRange>),
    Settled(TimeRange),
    All,
}

/// From a text on, to before another, by bytes.
pub(crate) struct TextRange {
    from: String,
    before: String,
}

impl<'f> Source<'f> {
    pub(crate) fn of(filter: &'f Filter) -> Self {
        // The first that the filter has, in the order of how little each usually leaves.
        let find =
            |wanted: fn(&'f Term) -> Option<Source<'f>>| filter.terms.iter().find_map(wanted);
        let file = |term: &'f Term| match term {
            Term::FileId(id) => Some(Source::File(*id)),
            _ => None,
        };
        let stalled = |term: &'f Term| match term {
            Term::Stalled { by } => Some(Source::Stalled { by: *by }),
            _ => None,
        };
        let directory = |term: &'f Term| match term {
            Term::Directory(path) => in_index(vec![exactly(path)]),
            Term::UnderDirectory(path) => in_index(at_or_below(path)),
            _ => None,
        };
        let settled = |term: &'f Term| match term {
            Term::Settled(range) => Some(Source::Settled(*range)),
            _ => None,
        };
        let pipeline = |term: &'f Term| match term {
            Term::Pipeline(name) => Some(Source::Pipeline(name)),
            _ => None,
        };
        find(file)
            .or_else(|| find(stalled))
            .or_else(|| find(directory))
            .or_else(|| find(pipeline))
            .or_else(|| find(settled))
            .unwrap_or(Source::All)
    }

    /// Shows every row of both tables to `visit`, in no order, until it breaks off.
    pub(crate) fn scan<B>(
        &self,
        connection: &Connection,
        mut visit: impl FnMut(Table, Scanned<'_>) -> Result<ControlFlow<B>, StoreError>,
    ) -> Result<ControlFlow<B>, StoreError> {
        let mut run = |statements: sql::PerTable, parameters: &[&dyn ToSql]| {
            for table in Table::BOTH {
                let mut statement = connection
                    .prepare_cached(table.of(statements))
                    .map_err(store_error)?;
                let mut rows = statement.query(parameters).map_err(store_error)?;
                while let Some(row) = rows.next().map_err(store_error)? {
                    if let ControlFlow::Break(value) = visit(table, Scanned::of(row)?)? {
                        return Ok(ControlFlow::Break(value));
                    }
                }
            }
            Ok(ControlFlow::Continue(()))
        };
        match self {
            Source::All => run(sql::SCAN, &[]),
            Source::File(id) => run(sql::SCAN_FILE, &[&file_bytes(*id)]),
            Source::Stalled { by } => run(sql::SCAN_STALLED, &[&micros(*by)]),
            Source::Pipeline(name) => run(sql::SCAN_PIPELINE, &[name]),
            Source::Settled(range) => {
                let from = range.from.map_or(i64::MIN, micros);
                let before = range.before.map_or(i64::MAX, micros);
                run(sql::SCAN_SETTLED, &[&from, &before])
            }
            Source::Directories(ranges) => {
                for TextRange { from, before } in ranges {
                    if let ControlFlow::Break(value) = run(sql::SCAN_DIRECTORY, &[from, before])? {
                        return Ok(ControlFlow::Break(value));
                    }
                }
                Ok(ControlFlow::Continue(()))
            }
        }
    }
}

/// Where in the index of directories to look, unless these have the one of all files that were given none:
/// so common that it has no entries there.
fn in_index<'f>(ranges: Vec<TextRange>) -> Option<Source<'f>> {
    let has_default = |range: &TextRange| {
        *range.from <= *File::DEFAULT_DIRECTORY && *File::DEFAULT_DIRECTORY < *range.before
    };
    (!ranges.iter().any(has_default)).then_some(Source::Directories(ranges))
}

/// Just this path: nothing else comes before it with a NUL behind, which no text holds.
fn exactly(path: &str) -> TextRange {
    TextRange {
        from: path.to_owned(),
        before: format!("{path}\0"),
    }
}

/// This path, and all that go on with a slash; `0` is the character after it.
fn at_or_below(path: &str) -> Vec<TextRange> {
    let path = path.trim_end_matches('/');
    vec![
        exactly(path),
        TextRange {
            from: format!("{path}/"),
            before: format!("{path}0"),
        },
    ]
}
