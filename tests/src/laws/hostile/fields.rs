//! Every text that the library takes, and where it comes back.

use std::time::Duration;

use milepost::{
    AttemptEnd, Failure, ModuleState, NewProcess, Pipeline, Process, Progress, RequestId,
    TrackError, Tracker, Update,
};

/// A text that the library takes.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    /// Puts the text into a process of its own.
    pub(super) put: fn(&Tracker, &str) -> Result<RequestId, TrackError>,
    /// Whether it is there, as it was given.
    pub(super) is_back: fn(&Process, &str) -> bool,
}

fn new() -> NewProcess {
    NewProcess::new(&Pipeline::new("p", ["m", "n"]).expect("it is a good one"))
}

/// Begins it, and does something to it.
fn begun(
    tracker: &Tracker,
    new: NewProcess,
    then: impl FnOnce(RequestId) -> Result<(), TrackError>,
) -> Result<RequestId, TrackError> {
    let id = tracker.begin(new)?.request_id();
    then(id)?;
    Ok(id)
}

fn begin(tracker: &Tracker, new: NewProcess) -> Result<RequestId, TrackError> {
    begun(tracker, new, |_| Ok(()))
}

fn has_tag(process: &Process, name: &str, value: &str) -> bool {
    let mut tags = process.file().tags().iter();
    tags.any(|tag| tag.name() == name && tag.value() == value)
}

fn blame(process: &Process) -> (&str, &str) {
    process
        .blame()
        .map_or(("", ""), |blame| (blame.reason, blame.message))
}

macro_rules! field {
    ($name:literal, $put:expr, $is_back:expr) => {
        Field {
            name: $name,
            put: $put,
            is_back: $is_back,
        }
    };
}

pub(super) const FIELDS: [Field; 22] = [
    field!(
        "pipeline",
        |tracker, text| begin(tracker, NewProcess::new(&Pipeline::new(text, ["m"])?)),
        |process, text| process.pipeline() == text
    ),
    field!(
        "module",
        |tracker, text| begin(tracker, NewProcess::new(&Pipeline::new("p", ["m", text])?)),
        |process, text| process.modules()[1].name() == text
    ),
    field!(
        "file name",
        |tracker, text| begin(tracker, new().file_name(text)),
        |process, text| process.file().name() == text
    ),
    field!(
        "file extension",
        |tracker, text| begin(tracker, new().file_extension(text)),
        |process, text| process.file().name().ends_with(text)
    ),
    field!(
        "directory",
        |tracker, text| begin(tracker, new().symbolic_directory_path(text)),
        |process, text| process.file().symbolic_directory_path() == text
    ),
    field!(
        "tag name",
        |tracker, text| begin(tracker, new().tag(text, "v")),
        |process, text| has_tag(process, text, "v")
    ),
    field!(
        "tag value",
        |tracker, text| begin(tracker, new().tag("n", text)),
        |process, text| has_tag(process, "n", text)
    ),
    field!(
        "description",
        |tracker, text| begin(tracker, new().file_description(text)),
        |process, text| process.file().description() == Some(text)
    ),
    field!(
        "idempotency key",
        |tracker, text| {
            let id = begin(tracker, new().idempotency_key(text))?;
            let again = begin(tracker, new().idempotency_key(text))?;
            assert_eq!(id, again, "a key is one process");
            Ok(id)
        },
        |_, _| true
    ),
    field!(
        "reason of a failure",
        |tracker, text| begun(tracker, new(), |id| {
            let module = tracker.process(id)?.module(1)?;
            module.fail(Failure::new(text, "m")).map(drop)
        }),
        |process, text| blame(process).0 == text
    ),
    field!(
        "message of a failure",
        |tracker, text| begun(tracker, new(), |id| {
            let module = tracker.process(id)?.module(1)?;
            module.fail(Failure::new("R", text)).map(drop)
        }),
        |process, text| blame(process).1 == text
    ),
    field!(
        "reason of a retry",
        |tracker, text| begun(tracker, new(), |id| {
            let module = tracker.process(id)?.module(1)?;
            module.start()?;
            module.retry(Failure::new(text, "m")).map(drop)
        }),
        |process, text| matches!(
            process.modules()[0].attempts()[0].end(),
            AttemptEnd::Retried(failure) if failure.reason() == text
        )
    ),
    field!(
        "reason of a skip",
        |tracker, text| begun(tracker, new(), |id| {
            tracker.process(id)?.module(1)?.skip(text).map(drop)
        }),
        |process, text| matches!(
            process.modules()[0].state(),
            ModuleState::Skipped { reason, .. } if &**reason == text
        )
    ),
    field!(
        "reason of a cancel",
        |tracker, text| begun(tracker, new(), |id| tracker.cancel(id, text).map(drop)),
        // What has no reason is told in words of the library's own.
        |process, text| blame(process).1 == text || text.is_empty()
    ),
    field!(
        "reason of a wish",
        |tracker, text| begun(tracker, new(), |id| {
            tracker.claim(id, "w", Duration::from_mins(1))?;
            tracker.request_cancel(id, text).map(drop)
        }),
        |process, text| process
            .cancel_requested()
            .is_some_and(|wish| wish.reason() == text)
    ),
    field!(
        "worker",
        |tracker, text| begun(tracker, new(), |id| {
            tracker.claim(id, text, Duration::from_mins(1)).map(drop)
        }),
        |process, text| process.claim().is_some_and(|claim| claim.worker() == text)
    ),
    field!(
        "unit of a progress",
        |tracker, text| begun(tracker, new(), |id| {
            let module = tracker.process(id)?.module(1)?;
            module.progress(Progress::of(1, 2).unit(text)).map(drop)
        }),
        |process, text| process.modules()[0].progress() == Some(&Progress::of(1, 2).unit(text))
    ),
    field!(
        "message of a progress",
        |tracker, text| begun(tracker, new(), |id| {
            let module = tracker.process(id)?.module(1)?;
            module.progress(Progress::of(1, 2).message(text)).map(drop)
        }),
        |process, text| process.modules()[0].progress() == Some(&Progress::of(1, 2).message(text))
    ),
    field!(
        "updated file name",
        |tracker, text| begun(tracker, new(), |id| {
            tracker.update(id, Update::new().file_name(text)).map(drop)
        }),
        |process, text| process.file().name() == text
    ),
    field!(
        "updated directory",
        |tracker, text| begun(tracker, new(), |id| {
            let update = Update::new().symbolic_directory_path(text);
            tracker.update(id, update).map(drop)
        }),
        |process, text| process.file().symbolic_directory_path() == text
    ),
    field!(
        "updated tags",
        |tracker, text| begun(tracker, new(), |id| {
            tracker
                .update(id, Update::new().tags([("n", text)]))
                .map(drop)
        }),
        |process, text| has_tag(process, "n", text)
    ),
    field!(
        "updated description",
        |tracker, text| begun(tracker, new(), |id| {
            let update = Update::new().file_description(text);
            tracker.update(id, update).map(drop)
        }),
        |process, text| process.file().description() == Some(text)
    ),
];
