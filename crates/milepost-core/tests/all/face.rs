//! The face: every call that outside programs are compiled against, with its exact types.
//!
//! Most of it is checked by the compiler: each call is taken as a function pointer of the type that is
//! promised.

use std::error::Error;
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use milepost_core::{
    Applied, Attempt, AttemptEnd, Blame, Change, ChangeKind, Clock, Conflict, Counts, Creation,
    Cursor, Describe, Erased, Explanation, Failure, FailureStatus, Field, File, FileId, Filter,
    Found, Guard, GuardKind, Illegality, Indexed, Invalid, Lease, Listing, ManualClock, Module,
    ModuleFlags, ModuleHandle, ModuleState, ModuleStateKind, NewProcess, NotFoundReport, Op, Order,
    OverallStatus, Page, Pipeline, Place, Process, ProcessHandle, Progress, Query, ReapPolicy,
    Reaped, Receipt, RecordError, Rejection, Reporter, RequestId, RetentionPolicy, StatusReport,
    StatusStore, StoreError, StoreErrorKind, SystemClock, Tag, Tended, Tending, Term, TimeRange,
    TrackError, Tracker, Update, Updated, Verdict, Version, Watch, Wipe, WipeLevel, limits,
};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::common::store::MapStore;
use crate::common::{chain, id, noon};

type Track<T> = Result<T, TrackError>;
type Time = DateTime<Utc>;
type Many = Vec<Option<Arc<Process>>>;

#[test]
fn pipelines_and_new_processes() {
    let made: Result<Pipeline, Invalid> = Pipeline::new("invoice-ocr", ["ocr", "parser"]);
    let _: Result<Pipeline, Invalid> = Pipeline::new(String::from("p"), vec![String::from("m")]);
    let _: Result<Pipeline, Invalid> = Pipeline::new("p", ["m", "m"].iter());
    let _: fn(Pipeline) -> Pipeline = Pipeline::parallel;
    let _: fn(&Pipeline) -> &str = Pipeline::name;
    assert_eq!(made.unwrap().parallel().name(), "invoice-ocr");

    let _: fn(&Pipeline) -> NewProcess = NewProcess::new;
    let _: fn(NewProcess, RequestId) -> NewProcess = NewProcess::request_id;
    let _: fn(NewProcess, FileId) -> NewProcess = NewProcess::file_id;
    let _: [fn(NewProcess, &str) -> NewProcess; 4] = [
        NewProcess::file_name,
        NewProcess::symbolic_directory_path,
        NewProcess::file_description,
        NewProcess::file_extension,
    ];
    let _: fn(NewProcess, &str, &str) -> NewProcess = NewProcess::tag;
    let _: fn(NewProcess, Duration) -> NewProcess = NewProcess::expires_in;
    let _: fn(NewProcess, Time) -> NewProcess = NewProcess::expires_at;
}

#[test]
fn the_tracker() {
    let _: fn(MapStore) -> Tracker = Tracker::new;
    let _: fn(Arc<MapStore>) -> Tracker = Tracker::new;
    let _: fn(Box<dyn StatusStore>) -> Tracker = Tracker::new;
    let _: fn(Arc<dyn StatusStore>) -> Tracker = Tracker::new;
    let _: fn(MapStore, ManualClock) -> Tracker = Tracker::with_clock;
    let _: fn(MapStore, Arc<dyn Clock>) -> Tracker = Tracker::with_clock;
    let _: fn(Tracker, Duration) -> Tracker = Tracker::poll_interval;
    let _: fn(Tracker, Duration) -> Tracker = Tracker::report_interval;
    let _: fn(&Tracker, NewProcess) -> Track<ProcessHandle> = Tracker::begin;
    let _: fn(&Tracker, RequestId) -> Track<ProcessHandle> = Tracker::process;
    let _: fn(&Tracker, RequestId) -> Track<StatusReport> = Tracker::process_status;
    let _: fn(&Tracker, RequestId) -> NotFoundReport = Tracker::not_found_report;
    let _: fn(&Tracker, RequestId) -> Track<Arc<Process>> = Tracker::get;
    let _: fn(&Tracker, &[RequestId]) -> Track<Many> = Tracker::get_many;
    let _: fn(&Tracker, &Query) -> Track<Page> = Tracker::list;
    let _: fn(&Tracker, &Query) -> Track<Counts> = Tracker::count;
    let _: fn(&Tracker, RequestId, Duration) -> Track<Arc<Process>> = Tracker::wait;
    let _: fn(&Tracker, RequestId) -> Track<Watch> = Tracker::watch;
    let _: fn(&Tracker, RequestId, &str) -> Track<Applied> = Tracker::cancel;
    let _: fn(&Tracker, RequestId) -> Track<Applied> = Tracker::rerun;
    let _: fn(&Tracker, RequestId, Update) -> Track<Applied> = Tracker::update;
    let _: fn(&Tracker, FileId, Update) -> Track<Updated> = Tracker::update_file;
    let _: fn(&Tracker, RequestId) -> Track<Erased> = Tracker::erase;
    let _: fn(&Tracker, FileId) -> Track<Erased> = Tracker::erase_file;
    let _: fn(&Tracker, &Query) -> Track<Erased> = Tracker::erase_matching;
    let _: fn(&Tracker) -> Track<usize> = Tracker::purge;
    let _: fn(&Tracker) -> Track<Wipe> = Tracker::wipe;
    let _: fn(&Tracker, WipeLevel) -> Track<Wipe> = Tracker::wipe_at;
    let _: fn(&Tracker, NewProcess) -> Track<Op> = Tracker::prepare;
    let _: fn(&Tracker, RequestId, Change) -> Op = Tracker::op;
    let _: fn(&Tracker, &[Op]) -> Track<Vec<Verdict>> = Tracker::apply;
    let _: fn(Watch) -> Describe = Watch::describe;
}

#[test]
fn live_work() {
    let _: fn(NewProcess, &str) -> NewProcess = NewProcess::idempotency_key;
    let _: fn(&Pipeline, &str) -> Result<RequestId, Invalid> = RequestId::of_key;
    let _: fn(&Tracker, RequestId, &str, Duration) -> Track<Lease> = Tracker::claim;
    let _: fn(&Tracker, RequestId, &str) -> Track<Applied> = Tracker::request_cancel;
    let _: fn(&Tracker, ReapPolicy) -> Track<Reaped> = Tracker::reap;
    let _: fn(Query) -> Query = Query::stalled;
    let _: fn(Tracker, RetentionPolicy) -> Tracker = Tracker::retention;
    let _: fn(Tracker, ReapPolicy) -> Tracker = Tracker::reaping;
    let _: fn(&Tracker) -> Track<Tended> = Tracker::tend;
    let _: fn(&Tracker, Duration) -> Track<Tending> = Tracker::tend_every;
    let _: fn(&Tracker, RequestId) -> Track<Explanation> = Tracker::explain;
    let _: fn(&Process, Time) -> Explanation = Process::explain;
    let _: [fn(&Lease) -> Track<Applied>; 2] = [Lease::renew, Lease::release];
    let _: fn(&Lease, Duration) -> Track<Applied> = Lease::renew_for;
    let _: fn(&Lease, &str) -> Track<Applied> = Lease::cancel;
    let _: fn(&Lease) -> bool = Lease::cancel_requested;
    let _: fn(&Lease) -> u64 = Lease::token;
    let _: fn(&Lease) -> &ProcessHandle = Lease::process;
    let _: fn(&Lease, usize) -> Track<ModuleHandle> = Lease::module;
    let _: fn(u64, ReapPolicy) -> Change = Change::reap;
    let _: fn(&str, Duration, u64) -> Change = Change::claim;
    let _: fn(Duration) -> Change = Change::renew;
    let _: fn() -> Change = Change::release;
    let _: fn(&str) -> Change = Change::request_cancel;
    let _: fn(Guard, u64) -> Guard = Guard::lease;
    shared::<Lease>();
    shared::<Reporter>();
}

fn shared<T: Clone + Send + Sync + 'static>() {}

#[test]
fn handles() {
    let _: fn(&ProcessHandle) -> RequestId = ProcessHandle::request_id;
    let _: fn(&ProcessHandle) -> FileId = ProcessHandle::file_id;
    let _: fn(&ProcessHandle) -> bool = ProcessHandle::is_new;
    let _: fn(&ProcessHandle) -> Receipt = ProcessHandle::receipt;
    let _: fn(&ProcessHandle, usize) -> Track<ModuleHandle> = ProcessHandle::module;
    let _: fn(&ProcessHandle) -> Track<StatusReport> = ProcessHandle::status;
    let _: fn(&ProcessHandle, &str) -> Track<Applied> = ProcessHandle::cancel;
    let _: fn(&ModuleHandle) -> usize = ModuleHandle::position;
    let _: fn(&ModuleHandle) -> &str = ModuleHandle::name;
    let _: [fn(&ModuleHandle) -> Track<Applied>; 2] = [ModuleHandle::start, ModuleHandle::complete];
    let _: fn(&ModuleHandle, Progress) -> Track<Applied> = ModuleHandle::progress;
    let _: [fn(&ModuleHandle, Failure) -> Track<Applied>; 2] =
        [ModuleHandle::fail, ModuleHandle::retry];
    let _: fn(&ModuleHandle, &str) -> Track<Applied> = ModuleHandle::skip;
    let _: fn(&ModuleHandle) -> Reporter = ModuleHandle::reporter;
    let _: fn(&Reporter, Progress) = Reporter::set;

    let (tracker, _) = crate::common::tracker();
    let process = tracker.begin(crate::common::new(&chain(2))).unwrap();
    let modules: Vec<ModuleHandle> = process.modules().collect();
    assert_eq!(modules.len(), 2);
}

#[test]
fn processes_and_modules() {
    let _: fn(&Process) -> RequestId = Process::request_id;
    let _: fn(&Process) -> &File = Process::file;
    let _: fn(&Process) -> &str = Process::pipeline;
    let _: fn(&Process) -> &[Module] = Process::modules;
    let _: fn(&Process) -> OverallStatus = Process::status;
    let _: fn(&Process) -> Version = Process::version;
    let _: fn(&Process) -> u64 = Process::revision;
    let _: fn(&Process) -> u32 = Process::run;
    let _: [fn(&Process) -> Time; 2] = [Process::created_at, Process::updated_at];
    let _: [fn(&Process) -> Option<Time>; 2] = [Process::settled_at, Process::expires_at];
    let _: fn(&Process, &mut Vec<u8>) = Process::to_record;
    let _: fn(&[u8]) -> Result<Process, RecordError> = Process::from_record;
    let _: fn(&Module) -> &str = Module::name;
    let _: fn(&Module) -> &ModuleState = Module::state;
    let _: fn(&Module) -> u32 = Module::attempt;
    let _: fn(&Module) -> Option<&Progress> = Module::progress;
    let _: fn(&Module) -> &[Attempt] = Module::attempts;
    let _: fn(&File) -> bool = File::is_generated;
    let Version { born: _, revision } = Version {
        born: 7,
        revision: 1,
    };
    assert_eq!(revision, 1);
}

#[test]
fn queries_and_pages() {
    let _: fn() -> Query = Query::new;
    let _: [fn(Query, &str) -> Query; 5] = [
        Query::pipeline,
        Query::file_name,
        Query::file_name_prefix,
        Query::directory,
        Query::under_directory,
    ];
    let _: fn(Query, OverallStatus) -> Query = Query::status;
    let _: fn(Query, FileId) -> Query = Query::file_id;
    let _: fn(Query, &str, &str) -> Query = Query::tag;
    let _: fn(Query) -> Query = Query::oldest_first;
    let _: fn(Query, usize) -> Query = Query::limit;
    let _: fn(Query, Cursor) -> Query = Query::after;
    let query = Query::new()
        .created(noon()..)
        .updated(..noon())
        .settled(noon()..=noon());
    let (tracker, _) = crate::common::tracker();
    let page: Page = tracker.list(&query).unwrap();
    let (items, next): (Vec<Arc<Process>>, Option<Cursor>) = (page.items, page.next);
    assert!(items.is_empty() && next.is_none());
}

#[test]
fn ops_guards_and_changes() {
    let _: fn(RequestId, Time, Change) -> Op = Op::new;
    let _: fn(Op, Guard) -> Op = Op::guarded;
    let _: fn(&Op, &mut Option<Arc<Process>>) -> Verdict = Op::apply;
    let _: fn() -> Guard = Guard::new;
    let _: [fn(Guard, u64) -> Guard; 2] = [Guard::born, Guard::revision];
    let _: [fn(Guard, u32) -> Guard; 2] = [Guard::run, Guard::attempt];
    let _: [fn(usize) -> Change; 2] = [Change::start, Change::complete];
    let _: fn(usize, Progress) -> Change = Change::progress;
    let _: [fn(usize, Failure) -> Change; 2] = [Change::fail, Change::retry];
    let _: fn(usize, &str) -> Change = Change::skip;
    let _: fn(&str) -> Change = Change::cancel;
    let _: [fn() -> Change; 2] = [Change::rerun, Change::erase];
    let _: fn(Update) -> Change = Change::update;
    let op = Op::new(id(), noon(), Change::erase()).guarded(Guard::new().born(1).run(2));
    let (of, at, guard, change): (RequestId, Time, Guard, Change) =
        (op.id, op.at, op.guard, op.change);
    assert_eq!((of, at, change), (id(), noon(), Change::erase()));
    let fields: (Option<u64>, Option<u32>, Option<u32>, Option<u64>) =
        (guard.born, guard.run, guard.attempt, guard.revision);
    assert_eq!(fields, (Some(1), Some(2), None, None));
    assert_eq!(Guard::default(), Guard::new());
}

#[test]
fn progress_failures_and_updates() {
    let _: fn(u64, u64) -> Progress = Progress::of;
    let _: fn(u64) -> Progress = Progress::unbounded;
    let _: [fn(Progress, &str) -> Progress; 2] = [Progress::unit, Progress::message];
    let _: fn(&str, &str) -> Failure = Failure::new;
    let _: fn() -> Update = Update::new;
    let _: [fn(Update, &str) -> Update; 3] = [
        Update::file_name,
        Update::symbolic_directory_path,
        Update::file_description,
    ];
    let _: fn(Update, Time) -> Update = Update::expires_at;
    let _: fn(Update, Duration) -> Update = Update::expires_in;
    let _: fn(Update) -> Update = Update::never_expires;
    let tags = Update::new().tags([("a", "b")]);
    assert_eq!(
        tags,
        Update::new().tags(vec![(String::from("a"), String::from("b"))])
    );
}

#[test]
fn results_and_errors() {
    let (tracker, _) = crate::common::tracker();
    let id = tracker
        .begin(crate::common::new(&chain(1)))
        .unwrap()
        .request_id();
    let applied: Applied = tracker.cancel(id, "").unwrap();
    let fields: (Version, u64, OverallStatus, u32, u32, bool) = (
        applied.version,
        applied.revision,
        applied.status,
        applied.run,
        applied.attempt,
        applied.changed,
    );
    assert_eq!(
        (fields.1, fields.2, fields.5),
        (2, OverallStatus::Cancelled, true)
    );
    let erased: Erased = tracker.erase(id).unwrap();
    let (processes, wipe): (usize, Wipe) = (erased.processes, erased.wipe);
    assert_eq!((processes, wipe), (1, Wipe::Done));
    let _ = [
        Wipe::Pending {
            reason: String::new(),
        },
        Wipe::Limited {
            remains: String::new(),
        },
    ];
    let _ = [WipeLevel::Files, WipeLevel::Media];
    let _: [fn(&TrackError) -> bool; 2] = [TrackError::is_not_found, TrackError::is_retryable];
    let _: fn(StoreErrorKind, &'static str) -> StoreError = StoreError::new;
    let _: fn(StoreErrorKind, std::io::Error) -> StoreError = StoreError::new;
    let _: fn(StoreErrorKind, Box<dyn Error + Send + Sync>) -> StoreError = StoreError::new;
    let _: fn(&StoreError) -> StoreErrorKind = StoreError::kind;
    let _: fn(&StoreError) -> bool = StoreError::is_retryable;
    for error in [
        TrackError::Invalid(Invalid::EmptyChain),
        TrackError::Rejected(Rejection::NotFound),
        TrackError::Store(StoreError::new(StoreErrorKind::Busy, "")),
        TrackError::Timeout,
    ] {
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn report_fields_bear_the_names_of_the_wire() {
    let (tracker, _) = crate::common::tracker();
    let process = tracker.begin(crate::common::new(&chain(1))).unwrap();
    process.cancel("enough").unwrap();
    let StatusReport {
        status_code,
        request_id,
        file_id,
        message,
        pipeline,
        process_status,
        failure_status,
        overall_status,
        ..
    } = process.status().unwrap();
    let typed: (
        u16,
        RequestId,
        FileId,
        String,
        String,
        ModuleFlags,
        OverallStatus,
    ) = (
        status_code,
        request_id,
        file_id,
        message,
        pipeline,
        process_status,
        overall_status,
    );
    assert_eq!((typed.0, typed.5.len()), (200, 1));
    let failure: FailureStatus = failure_status.unwrap();
    let typed: (
        RequestId,
        Option<String>,
        Option<String>,
        String,
        String,
        Time,
    ) = (
        failure.process_id,
        failure.failure_module,
        failure.module_name,
        failure.reason,
        failure.message,
        failure.failed_at,
    );
    assert_eq!(typed.3, "Cancelled");
    let receipt: Receipt = process.receipt();
    let _: (
        FileId,
        RequestId,
        String,
        String,
        Option<Vec<Tag>>,
        Option<String>,
    ) = (
        receipt.file_id,
        receipt.request_id,
        receipt.file_name,
        receipt.symbolic_directory_path,
        receipt.file_tags,
        receipt.file_description,
    );
    let not_found = tracker.not_found_report(id());
    let typed: (u16, RequestId, String) = (
        not_found.status_code,
        not_found.request_id,
        not_found.message,
    );
    assert_eq!(typed.0, 404);
}

fn crosses<T: Send + 'static>() {}
fn iterates<T: Iterator<Item = Track<Arc<Process>>>>() {}
fn json<T: Serialize + DeserializeOwned>() {}
fn is_data<T: Debug + Clone + Send + Sync + 'static>() {}
fn is_value<T: Debug + Clone + PartialEq + Send + Sync + 'static>() {}
fn is_error<T: Error + Clone + Send + Sync + 'static>() {}
fn is_id<T>()
where
    T: Copy + Ord + Hash + FromStr<Err = Invalid> + Display + Debug + Serialize + DeserializeOwned,
    T: From<Uuid> + Send + Sync,
    Uuid: From<T>,
{
}

#[test]
fn data_is_debug_and_clone_and_values_compare() {
    is_id::<RequestId>();
    is_id::<FileId>();
    is_value::<Process>();
    is_value::<Module>();
    is_value::<ModuleState>();
    is_value::<ModuleStateKind>();
    is_value::<Attempt>();
    is_value::<AttemptEnd>();
    is_value::<Blame<'static>>();
    is_value::<File>();
    is_value::<Tag>();
    is_value::<Pipeline>();
    is_value::<Op>();
    is_value::<Guard>();
    is_value::<GuardKind>();
    is_value::<Change>();
    is_value::<ChangeKind>();
    is_value::<Creation>();
    is_value::<Update>();
    is_value::<Progress>();
    is_value::<Failure>();
    is_value::<Applied>();
    is_value::<Verdict>();
    is_value::<Rejection>();
    is_value::<Illegality>();
    is_value::<Conflict>();
    is_value::<Invalid>();
    is_value::<Field>();
    is_value::<RecordError>();
    is_value::<Version>();
    is_value::<OverallStatus>();
    is_value::<StatusReport>();
    is_value::<FailureStatus>();
    is_value::<NotFoundReport>();
    is_value::<Receipt>();
    is_value::<ModuleFlags>();
    is_value::<Query>();
    is_value::<Page>();
    is_value::<Found>();
    is_value::<Counts>();
    is_value::<Cursor>();
    is_value::<Filter>();
    is_value::<Term>();
    is_value::<TimeRange>();
    is_value::<Listing>();
    is_value::<Order>();
    is_value::<Place>();
    is_value::<Indexed<'static>>();
    is_value::<Wipe>();
    is_value::<WipeLevel>();
    is_value::<Erased>();
    is_value::<Updated>();
    is_value::<StoreErrorKind>();
    is_value::<limits::Crossed>();
    is_data::<NewProcess>();
    is_data::<Tracker>();
    is_data::<ProcessHandle>();
    is_data::<ModuleHandle>();
    is_data::<Reporter>();
    is_data::<ManualClock>();
    is_data::<SystemClock>();
    is_data::<StoreError>();
    is_data::<TrackError>();
}

#[test]
fn errors_are_errors_and_what_crosses_threads_may() {
    is_error::<Invalid>();
    is_error::<Rejection>();
    is_error::<Illegality>();
    is_error::<RecordError>();
    is_error::<StoreError>();
    is_error::<TrackError>();
    crosses::<Watch>();
    crosses::<Describe>();
    iterates::<Watch>();
    json::<Process>();
    json::<StatusReport>();
    json::<NotFoundReport>();
    json::<Receipt>();
    json::<Cursor>();
    let store: &dyn StatusStore = &MapStore::new();
    assert_eq!(store.write(&[]).unwrap(), []);
}

/// What a host writes, from the first line to the last.
#[test]
fn a_whole_program() -> Result<(), Box<dyn Error>> {
    let tracker = Tracker::new(MapStore::new());
    let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser", "keyword-db"])?;
    let new = NewProcess::new(&pipeline)
        .file_name("invoice.pdf")
        .expires_in(Duration::from_mins(30));
    let process = tracker.begin(new)?;
    let receipt = serde_json::to_string_pretty(&process.receipt())?;
    assert!(receipt.contains("\"file_name\": \"invoice.pdf\""));
    for module in process.modules() {
        module.start()?;
        module.progress(Progress::of(3, 10).message("page 3"))?;
        module.complete()?;
    }
    let report = tracker.process_status(process.request_id())?;
    assert_eq!(report.overall_status, OverallStatus::Complete);
    let ended = tracker.wait(process.request_id(), Duration::from_mins(1))?;
    assert_eq!(ended.status(), OverallStatus::Complete);
    let mut states = 0;
    for state in tracker.watch(process.request_id())? {
        assert_eq!(state?.revision(), 10);
        states += 1;
    }
    assert_eq!(states, 1);
    let query = Query::new()
        .pipeline("invoice-ocr")
        .status(OverallStatus::Failed)
        .limit(50);
    assert!(tracker.list(&query)?.items.is_empty());
    assert_eq!(tracker.erase(process.request_id())?.processes, 1);
    Ok(())
}
