//! `read_many` and `versions`: each id is answered, in order.

use milepost_core::{Change, RequestId};

use crate::fixture::{chain, id, op};
use crate::trial::{Trial, ok};

/// Three processes at different revisions, and how they are asked for: out of order, twice, in vain.
fn three(trial: &Trial<'_>) -> Vec<RequestId> {
    for n in 1..=3 {
        trial.must(&trial.begin(&chain(), id(n), i64::from(n)));
        for _ in 1..n {
            trial.must(&op(id(n), 5, Change::start(1)));
            trial.must(&op(id(n), 6, Change::cancel("")));
            trial.must(&op(id(n), 7, Change::rerun()));
        }
    }
    [3, 9, 1, 3, 2, 8, 8, 1].map(id).to_vec()
}

pub(crate) fn read_many_answers_each_id_in_order(trial: &Trial<'_>) {
    let ids = three(trial);
    let read = ok("read_many", trial.store().read_many(&ids));
    let expected = ids.iter().map(|id| trial.expected(*id)).collect::<Vec<_>>();
    assert_eq!(read, expected, "left is read, right is what must be stored");
    let one_by_one = ids.iter().map(|id| trial.read(*id)).collect::<Vec<_>>();
    assert_eq!(read, one_by_one, "left is read at once, right one by one");
    assert_eq!(ok("read_many", trial.store().read_many(&[])), []);
}

pub(crate) fn versions_answers_each_id_in_order(trial: &Trial<'_>) {
    let ids = three(trial);
    let versions = ok("versions", trial.store().versions(&ids));
    let read = ids
        .iter()
        .map(|id| trial.read(*id).map(|process| process.version()));
    assert_eq!(
        versions,
        read.collect::<Vec<_>>(),
        "left are the versions, right those of the reads"
    );
    assert_eq!(ok("versions", trial.store().versions(&[])), []);
}

pub(crate) fn a_version_changes_with_every_change(trial: &Trial<'_>) {
    trial.must(&trial.begin(&chain(), id(1), 0));
    let mut seen = vec![];
    let changes = [
        Change::start(1),
        Change::complete(1),
        Change::cancel(""),
        Change::rerun(),
    ];
    for change in changes {
        seen.extend(ok("versions", trial.store().versions(&[id(1)])));
        trial.must(&op(id(1), 1, change));
        let now = ok("versions", trial.store().versions(&[id(1)]));
        assert_eq!(
            now,
            [Some(trial.stored(id(1)).version())],
            "left is the version, right the read's"
        );
        assert!(
            !seen.contains(&now[0]),
            "{now:?} was the version of an earlier state: {seen:?}"
        );
    }
    trial.send(&[
        op(id(1), 2, Change::erase()),
        trial.begin(&chain(), id(1), 3),
    ]);
    let anew = ok("versions", trial.store().versions(&[id(1)]));
    assert!(
        !seen.contains(&anew[0]),
        "{anew:?} was the version of another process: {seen:?}"
    );
}
