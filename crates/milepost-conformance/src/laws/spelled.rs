//! The model's deeds and terms, spelled as ops and filters: what a store is sent for them.

use chrono::{DateTime, Utc};
use milepost_core::{Change, TimeRange, Update};

use crate::model::{Deed, Renewal, Term, Until};

/// The change that a deed is.
pub(super) fn change(deed: &Deed) -> Change {
    match deed {
        Deed::Create(_) | Deed::Import(_) => unreachable!("they are made of more than a deed"),
        Deed::Start(module) => Change::start(*module),
        Deed::Progress(module, progress) => Change::progress(*module, progress.clone()),
        Deed::Complete(module) => Change::complete(*module),
        Deed::Fail(module, failure) => Change::fail(*module, failure.clone()),
        Deed::Skip(module, reason) => Change::skip(*module, reason),
        Deed::Retry(module, failure) => Change::retry(*module, failure.clone()),
        Deed::Cancel(reason) => Change::cancel(reason),
        Deed::Rerun => Change::rerun(),
        Deed::Update(renewal) => Change::update(update(renewal)),
        Deed::Erase => Change::erase(),
        Deed::Claim(claiming) => Change::claim(&claiming.worker, claiming.ttl, claiming.mark),
        Deed::Renew(ttl) => Change::renew(*ttl),
        Deed::Release => Change::release(),
        Deed::Reap(token, policy) => Change::reap(*token, *policy),
        Deed::Wish(reason) => Change::request_cancel(reason),
    }
}

fn update(renewal: &Renewal) -> Update {
    let mut update = Update::new();
    if let Some(name) = &renewal.file_name {
        update = update.file_name(name);
    }
    if let Some(directory) = &renewal.directory {
        update = update.symbolic_directory_path(directory);
    }
    if let Some(tags) = &renewal.tags {
        update = update.tags(tags.iter().map(|(name, value)| (name, value)));
    }
    match &renewal.description {
        Some(text) if text.is_empty() => update = update.no_file_description(),
        Some(text) => update = update.file_description(text),
        None => {}
    }
    match renewal.expiry {
        Some(Until::At(time)) => update.expires_at(time),
        Some(Until::Seconds(span)) => {
            update.expires_in(std::time::Duration::from_secs(span.unsigned_abs()))
        }
        Some(Until::Never) => update.never_expires(),
        None => update,
    }
}

/// The term that a store is asked for.
pub(super) fn asked(term: &Term) -> milepost_core::Term {
    use milepost_core::Term as Asked;
    let range = |from: &DateTime<Utc>, before: &DateTime<Utc>| TimeRange::new(*from..*before);
    match term {
        Term::Pipeline(name) => Asked::Pipeline(name.clone()),
        Term::Status(any) => Asked::Status(any.clone()),
        Term::FileId(id) => Asked::FileId(*id),
        Term::FileName(name) => Asked::FileName(name.clone()),
        Term::Prefix(prefix) => Asked::FileNamePrefix(prefix.clone()),
        Term::Directory(path) => Asked::Directory(path.clone()),
        Term::Under(path) => Asked::UnderDirectory(path.clone()),
        Term::Tag(name, value) => Asked::Tag {
            name: name.clone(),
            value: value.clone(),
        },
        Term::Created(from, before) => Asked::Created(range(from, before)),
        Term::Updated(from, before) => Asked::Updated(range(from, before)),
        Term::Settled(from, before) => Asked::Settled(range(from, before)),
        Term::Stalled(by) => Asked::Stalled { by: *by },
    }
}
