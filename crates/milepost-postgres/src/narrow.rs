//! What of a filter the columns can tell: what a statement leaves is judged by the filter itself, unless the columns tell
//! all of it.

use chrono::{DateTime, Utc};
use milepost_core::{File, FileId, Filter, Term, TimeRange};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::columns::{code, micros};
use crate::connections::{Parameter, parameter};

/// Conditions on columns, each at most once: the first of its kind that the filter has.
#[derive(Debug, Default)]
pub(crate) struct Narrowed {
    pub(crate) statuses: Vec<i16>,
    visible_at: Option<i64>,
    pub(crate) pipeline: Option<String>,
    pub(crate) file_id: Option<FileId>,
    pub(crate) directories: Option<Directories>,
    created: Option<TimeRange>,
    pub(crate) settled: Option<TimeRange>,
    stalled_by: Option<DateTime<Utc>>,
    /// Whether they say all that the filter does.
    pub(crate) is_all: bool,
}

/// One directory, or also what is below it, as texts that compare by bytes.
#[derive(Debug, Clone)]
pub(crate) struct Directories {
    pub(crate) at: String,
    pub(crate) from: String,
    pub(crate) before: String,
}

impl Directories {
    fn only(path: &str) -> Self {
        // Nothing lies between these two.
        Directories {
            at: path.to_owned(),
            from: String::new(),
            before: String::new(),
        }
    }

    /// This path, and all that go on with a slash; `0` is the character after it.
    fn at_or_below(path: &str) -> Self {
        let path = path.trim_end_matches('/');
        Directories {
            at: path.to_owned(),
            from: format!("{path}/"),
            before: format!("{path}0"),
        }
    }

    /// Whether the one of all files that were given none is among them: its column holds NULL.
    fn have_default(&self) -> bool {
        let default = File::DEFAULT_DIRECTORY;
        self.at == default || (*self.from <= *default && *default < *self.before)
    }

    pub(crate) fn parameters(self) -> [Parameter; 3] {
        [self.at, self.from, self.before].map(|text| parameter(text, Type::TEXT))
    }
}

impl Narrowed {
    pub(crate) fn of(filter: &Filter) -> Self {
        let mut narrowed = Narrowed {
            statuses: filter.statuses().into_iter().map(code).collect(),
            visible_at: filter.visible_at.map(micros),
            is_all: true,
            ..Narrowed::default()
        };
        for term in &filter.terms {
            narrowed.is_all &= narrowed.add(term);
        }
        narrowed
    }

    /// Adds a condition; says whether it is there now.
    fn add(&mut self, term: &Term) -> bool {
        match term {
            // Those that can pass are known from all terms together.
            Term::Status(_) => true,
            Term::Pipeline(name) => fill(&mut self.pipeline, name.clone()),
            Term::FileId(id) => fill(&mut self.file_id, *id),
            Term::Directory(path) => self.add_directories(Directories::only(path)),
            Term::UnderDirectory(path) => self.add_directories(Directories::at_or_below(path)),
            Term::Created(range) => fill(&mut self.created, *range),
            Term::Settled(range) => fill(&mut self.settled, *range),
            Term::Stalled { by } => fill(&mut self.stalled_by, *by),
            // In the body, if they are known at all.
            _ => false,
        }
    }

    fn add_directories(&mut self, directories: Directories) -> bool {
        !directories.have_default() && fill(&mut self.directories, directories)
    }

    /// The first parameters of a count or scan.
    pub(crate) fn parameters(self) -> Vec<Parameter> {
        let [at, from, before] = self
            .directories
            .map_or_else(nothing, Directories::parameters);
        let edge = |time: Option<DateTime<Utc>>| parameter(time.map(micros), Type::INT8);
        let from_of = |range: Option<TimeRange>| edge(range.and_then(|range| range.from));
        let before_of = |range: Option<TimeRange>| edge(range.and_then(|range| range.before));
        // An open range still asks for something that has settled.
        let settled_from = self
            .settled
            .map(|range| range.from.map_or(i64::MIN, micros));
        vec![
            parameter(self.statuses, Type::INT2_ARRAY),
            parameter(self.visible_at, Type::INT8),
            parameter(self.pipeline, Type::TEXT),
            parameter(self.file_id.map(Uuid::from), Type::UUID),
            at,
            from,
            before,
            from_of(self.created),
            before_of(self.created),
            parameter(settled_from, Type::INT8),
            before_of(self.settled),
            edge(self.stalled_by),
        ]
    }

    /// When a process may have been created: from, until before.
    pub(crate) fn created(&self) -> (i64, i64) {
        let range = self.created;
        (
            range.and_then(|range| range.from).map_or(i64::MIN, micros),
            range
                .and_then(|range| range.before)
                .map_or(i64::MAX, micros),
        )
    }

    /// Whether a walk by pipeline and status leaves much that is not asked for.
    pub(crate) fn asks_for_more(&self) -> bool {
        self.file_id.is_some()
            || self.directories.is_some()
            || self.settled.is_some()
            || self.stalled_by.is_some()
    }
}

fn fill<T>(place: &mut Option<T>, value: T) -> bool {
    let is_free = place.is_none();
    if is_free {
        *place = Some(value);
    }
    is_free
}

fn nothing() -> [Parameter; 3] {
    [(); 3].map(|()| parameter(None::<String>, Type::TEXT))
}
