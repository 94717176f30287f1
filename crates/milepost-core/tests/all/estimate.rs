//! How far a process is as a whole, and how long it may still take.

use std::time::Duration;

use milepost_core::{
    Estimate, Failure, ManualClock, NewProcess, Pipeline, ProcessHandle, Progress, TimeLeft,
    Tracker,
};
use proptest::prelude::*;

use crate::common::tracker;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn pipeline() -> Pipeline {
    Pipeline::new("render", ["parse", "render", "publish"]).expect("it is valid")
}

fn begin(tracker: &Tracker, pipeline: &Pipeline) -> ProcessHandle {
    tracker.begin(NewProcess::new(pipeline)).expect("it begins")
}

/// Completes a process whose modules take so long; none: it is left out.
fn complete(
    tracker: &Tracker,
    clock: &ManualClock,
    pipeline: &Pipeline,
    took: &[Option<u64>],
) -> ProcessHandle {
    let process = begin(tracker, pipeline);
    for (module, took) in process.modules().zip(took) {
        if let Some(took) = took {
            module.start().expect("it starts");
            clock.advance(seconds(*took));
            module.complete().expect("it completes");
        } else {
            module.skip("not needed").expect("it is left out");
        }
    }
    process
}

fn left(estimate: &Estimate) -> TimeLeft {
    estimate.left.expect("there are samples")
}

#[track_caller]
fn assert_fraction(estimate: &Estimate, expected: f64) {
    let off = (estimate.fraction - expected).abs();
    assert!(off < 1e-9, "{} instead of {expected}", estimate.fraction);
}

#[test]
fn a_known_schedule_is_kept() {
    let (tracker, clock) = tracker();
    let pipeline = pipeline();
    // The second module takes 21 to 30 seconds.
    for more in 1..=10 {
        complete(
            &tracker,
            &clock,
            &pipeline,
            &[Some(10), Some(20 + more), Some(60)],
        );
    }
    let process = begin(&tracker, &pipeline);
    let estimate = || tracker.estimate(process.request_id()).expect("it is there");

    let at_first = estimate();
    assert_fraction(&at_first, 0.0);
    assert_eq!(left(&at_first).median, seconds(10 + 25 + 60));
    assert_eq!(left(&at_first).percentile_90, seconds(10 + 29 + 60));
    assert_eq!(left(&at_first).samples, 10);
    assert_eq!(
        left(&at_first).to_string(),
        "about 1 min 35 s left, 1 min 39 s at most of nine in ten"
    );

    let [parse, render, publish] =
        [1, 2, 3].map(|position| process.module(position).expect("it has three"));
    // By the time that it has run...
    parse.start().expect("it starts");
    clock.advance(seconds(4));
    assert_fraction(&estimate(), 4.0 / 95.0);
    assert_eq!(left(&estimate()).median, seconds(6 + 25 + 60));
    parse.complete().expect("it completes");

    // ... or by its progress.
    render.progress(Progress::of(1, 4)).expect("it reports");
    assert_fraction(&estimate(), (10.0 + 25.0 / 4.0) / 95.0);
    assert_eq!(
        left(&estimate()).median,
        seconds(25).mul_f64(0.75) + seconds(60)
    );
    render.complete().expect("it completes");

    // It takes longer than ever.
    publish.start().expect("it starts");
    clock.advance(seconds(70));
    assert!((0.99..1.0).contains(&estimate().fraction));
    assert_eq!(left(&estimate()).percentile_90, Duration::ZERO);
    publish.complete().expect("it completes");
    assert_eq!((estimate().fraction, estimate().left), (1.0, None));
}

#[test]
fn those_that_ended_sooner_say_nothing_of_what_runs_longer() {
    let (tracker, clock) = tracker();
    let pipeline = Pipeline::new("build", ["compile"]).expect("it is valid");
    // Seven are short, and five long.
    for took in [2, 2, 2, 2, 2, 2, 2, 100, 100, 100, 110, 120] {
        complete(&tracker, &clock, &pipeline, &[Some(took)]);
    }
    let process = begin(&tracker, &pipeline);
    process
        .module(1)
        .and_then(|module| module.start())
        .expect("it starts");
    let estimate = || tracker.estimate(process.request_id()).expect("it is there");
    assert_eq!(
        (left(&estimate()).median, left(&estimate()).samples),
        (seconds(2), 12)
    );
    clock.advance(seconds(10));
    assert_eq!(
        (left(&estimate()).median, left(&estimate()).samples),
        (seconds(90), 5)
    );
    assert_fraction(&estimate(), 10.0 / 100.0);
}

#[test]
fn by_fewer_than_five_samples_nothing_is_said_and_all_modules_count_alike() {
    let (tracker, clock) = tracker();
    let pipeline = pipeline();
    for _ in 0..4 {
        complete(&tracker, &clock, &pipeline, &[Some(1), Some(1), Some(100)]);
    }
    let process = begin(&tracker, &pipeline);
    process
        .module(1)
        .and_then(|module| module.complete())
        .expect("it completes");
    let module = process.module(2).expect("it has three");
    module.progress(Progress::unbounded(7)).expect("it reports");
    clock.advance(seconds(10));
    let estimate = tracker.estimate(process.request_id()).expect("it is there");
    assert_eq!(estimate.left, None);
    // What is running and does not say of how much, nor ran long enough elsewhere, counts for nothing.
    assert_fraction(&estimate, 1.0 / 3.0);

    complete(&tracker, &clock, &pipeline, &[Some(1), Some(1), Some(100)]);
    let estimate = tracker.estimate(process.request_id()).expect("it is there");
    assert_eq!(left(&estimate).samples, 5);
    // What has completed since it began does not move it.
    assert_fraction(&estimate, 1.0 / 3.0);
}

#[test]
fn only_the_same_chain_and_what_was_not_left_out_counts() {
    let (tracker, clock) = tracker();
    let pipeline = pipeline();
    let other = Pipeline::new("render", ["parse", "render", "upload"]).expect("it is valid");
    for _ in 0..5 {
        complete(&tracker, &clock, &other, &[Some(500), Some(500), Some(500)]);
        complete(&tracker, &clock, &pipeline, &[Some(1), None, Some(1)]);
    }
    let process = begin(&tracker, &pipeline);
    let estimate = || tracker.estimate(process.request_id()).expect("it is there");
    // Nobody knows how long the second takes.
    assert_eq!(estimate().left, None);
    let [parse, render] = [1, 2].map(|position| process.module(position).expect("it has three"));
    parse.complete().expect("it completes");
    render.skip("not needed").expect("it is left out");
    assert_eq!(
        (left(&estimate()).median, left(&estimate()).samples),
        (seconds(1), 5)
    );
}

#[test]
fn what_runs_at_once_takes_as_long_as_the_longest() {
    let (tracker, clock) = tracker();
    let pipeline = Pipeline::new("thumbnails", ["small", "large"])
        .expect("it is valid")
        .parallel();
    for _ in 0..5 {
        complete(&tracker, &clock, &pipeline, &[Some(3), Some(9)]);
    }
    let process = begin(&tracker, &pipeline);
    let estimate = tracker.estimate(process.request_id()).expect("it is there");
    assert_eq!(left(&estimate).median, seconds(9));
    process
        .module(2)
        .and_then(|module| module.complete())
        .expect("it completes");
    let estimate = tracker.estimate(process.request_id()).expect("it is there");
    assert_eq!(left(&estimate).median, seconds(3));
    assert_fraction(&estimate, 9.0 / 12.0);
}

#[test]
fn no_figure_outlives_what_was_erased() {
    let (tracker, clock) = tracker();
    let pipeline = pipeline();
    let mut samples = Vec::new();
    for _ in 0..5 {
        samples.push(complete(
            &tracker,
            &clock,
            &pipeline,
            &[Some(1), Some(2), Some(97)],
        ));
    }
    let process = begin(&tracker, &pipeline);
    process
        .module(1)
        .and_then(|module| module.complete())
        .expect("it completes");
    let estimate = || tracker.estimate(process.request_id()).expect("it is there");
    assert_fraction(&estimate(), 0.01);
    assert!(estimate().left.is_some());
    tracker.erase(samples[0].request_id()).expect("it erases");
    assert_eq!(estimate().left, None);
    assert_fraction(&estimate(), 1.0 / 3.0);
}

#[test]
fn a_process_that_is_not_found_has_no_estimate() {
    let (tracker, _clock) = tracker();
    let process = begin(&tracker, &pipeline());
    let mut estimator = tracker.estimator(process.request_id());
    assert_fraction(&estimator.estimate().expect("it is there"), 0.0);
    tracker.erase(process.request_id()).expect("it erases");
    assert!(
        tracker
            .estimate(process.request_id())
            .is_err_and(|error| error.is_not_found())
    );
    assert!(
        estimator
            .estimate()
            .is_err_and(|error| error.is_not_found())
    );
}

#[test]
fn another_process_of_the_same_id_begins_at_nothing() {
    let (tracker, _clock) = tracker();
    let pipeline = pipeline();
    let process = begin(&tracker, &pipeline);
    let mut estimator = tracker.estimator(process.request_id());
    process
        .module(1)
        .and_then(|module| module.complete())
        .expect("it completes");
    assert_fraction(&estimator.estimate().expect("it is there"), 1.0 / 3.0);
    tracker.erase(process.request_id()).expect("it erases");
    let again = NewProcess::new(&pipeline).request_id(process.request_id());
    tracker.begin(again).expect("it begins");
    assert_fraction(&estimator.estimate().expect("it is there"), 0.0);
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Progress(u64, Option<u64>),
    Retry,
    Complete,
    Skip,
    Fail,
    Cancel,
    Rerun,
    Another(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..20_u64).prop_map(Step::Wait),
        6 => (0..50_u64, prop::option::of(1..50_u64)).prop_map(|(done, total)| Step::Progress(done, total)),
        2 => Just(Step::Retry),
        3 => Just(Step::Complete),
        1 => Just(Step::Skip),
        1 => Just(Step::Fail),
        1 => Just(Step::Cancel),
        2 => Just(Step::Rerun),
        2 => (0..30_u64).prop_map(Step::Another),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #[test]
    fn a_fraction_never_goes_back_and_is_whole_once_the_process_is_complete(
        before in 0..8_u64, steps in steps(), is_parallel: bool,
    ) {
        let (tracker, clock) = tracker();
        let pipeline = if is_parallel { pipeline().parallel() } else { pipeline() };
        for took in 0..before {
            complete(&tracker, &clock, &pipeline, &[Some(took), Some(5), None]);
            complete(&tracker, &clock, &pipeline, &[Some(took), Some(5), Some(7)]);
        }
        let id = begin(&tracker, &pipeline).request_id();
        let mut estimator = tracker.estimator(id);
        let mut reached = 0.0;
        for step in steps {
            let process = tracker.process(id).expect("it is there");
            let module = process.unfinished().next();
            // Much of it is out of order, backwards or too late, and changes nothing.
            let _ = match (step, module) {
                (Step::Wait(time), _) => {
                    clock.advance(seconds(time));
                    Ok(())
                }
                (Step::Progress(done, total), Some(module)) => {
                    let progress = total.map_or(Progress::unbounded(done), |more| Progress::of(done, done + more));
                    module.progress(progress).map(drop)
                }
                (Step::Retry, Some(module)) => module.retry(Failure::new("Again", "")).map(drop),
                (Step::Complete, Some(module)) => module.complete().map(drop),
                (Step::Skip, Some(module)) => module.skip("").map(drop),
                (Step::Fail, Some(module)) => module.fail(Failure::new("Bad", "")).map(drop),
                (Step::Cancel, _) => tracker.cancel(id, "").map(drop),
                (Step::Rerun, _) => tracker.rerun(id).map(drop),
                (Step::Another(took), _) => {
                    complete(&tracker, &clock, &pipeline, &[Some(took), Some(took), Some(took)]);
                    Ok(())
                }
                (_, None) => Ok(()),
            };
            let estimate = estimator.estimate().expect("it is there");
            prop_assert!(estimate.fraction >= reached, "{} after {reached}", estimate.fraction);
            let process = tracker.get(id).expect("it is there");
            let is_complete = process.modules().iter().all(|module| module.state().is_done());
            prop_assert_eq!(estimate.fraction >= 1.0, is_complete);
            prop_assert!(estimate.fraction <= 1.0);
            prop_assert!(process.status().name() == "ongoing" || estimate.left.is_none());
            if let Some(left) = estimate.left {
                prop_assert!(left.median <= left.percentile_90);
                prop_assert!((5..=100).contains(&left.samples));
            }
            reached = estimate.fraction;
        }
    }
}
