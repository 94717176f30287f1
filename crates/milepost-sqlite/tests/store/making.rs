//! A store where nothing stood before, or an empty file: what is made, for whom, and what is left if that fails.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use milepost_core::{StoreErrorKind, Tracker, WipeLevel};
use milepost_sqlite::{SqliteConfig, SqliteStore};

use crate::common::{Place, SmallDisk, begin, not_checked, source};

#[test]
fn a_missing_file_is_made_for_its_owner_only_and_nothing_is_left_beside_it() {
    let place = Place::new();
    let store = SqliteStore::open(place.path()).expect("it is made");
    begin(&Tracker::new(store), "a.txt");
    assert_eq!(place.files().len(), 1, "closing leaves the one file");
    let _store = SqliteStore::open(place.path()).expect("it opens again");
    for (path, _) in place.files() {
        let mode = std::fs::metadata(&path)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
}

const IN_A_CHILD: &str = "MILEPOST_TEST_IN_A_CHILD";

/// No test of its own: what the two below have another OS process do.
#[test]
fn in_a_child() {
    if let Some(path) = std::env::var_os(IN_A_CHILD)
        && let Err(error) = SqliteStore::open(path)
    {
        println!("refused: {:?}", error.kind());
    }
}

/// Opens a file in an OS process that is started this way.
fn start_in_a_child(place: &Place, start: &[&str]) -> Output {
    let (program, arguments) = start.split_first().expect("a program");
    Command::new(program)
        .args(arguments)
        .arg(std::env::current_exe().expect("it runs"))
        .args(["--exact", "making::in_a_child", "--nocapture"])
        .env(IN_A_CHILD, place.path())
        .output()
        .expect("it starts")
}

/// Why it was refused.
fn open_in_a_child(place: &Place, start: &[&str]) -> Option<String> {
    let output = start_in_a_child(place, start);
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).expect("it is text");
    let refused = printed.split_once("refused: ")?.1;
    refused.split_whitespace().next().map(str::to_owned)
}

/// Whether a child's calls can be made to fail here; if not, that is said.
#[cfg(target_os = "linux")]
fn may_trace() -> bool {
    let [program, arguments @ ..] = strace("inject=/^f?sync$:error=EIO:when=1");
    let probe = Command::new(program).args(arguments).arg("true").output();
    let may = probe.is_ok_and(|probe| probe.status.success());
    if !may {
        not_checked("strace is not there, or may not trace");
    }
    may
}

/// How a child is started so that what it does comes to this.
#[cfg(target_os = "linux")]
fn strace(inject: &str) -> [&str; 7] {
    ["strace", "-f", "-qq", "-o", "/dev/null", "-e", inject]
}

/// The calls that the store makes itself, beside those of SQLite.
#[cfg(target_os = "linux")]
#[test]
fn whatever_fails_while_a_file_is_made_is_said_and_leaves_nothing_half_made() {
    if !may_trace() {
        return;
    }
    for call in ["fsync", "linkat", "/f?chmod(at2?)?$"] {
        for (error, kind) in [("EIO", "Unavailable"), ("ENOSPC", "Full")] {
            let mut failed = 0;
            for nth in 1.. {
                let place = Place::new();
                let inject = format!("inject={call}:error={error}:when={nth}");
                let Some(refused) = open_in_a_child(&place, &strace(&inject)) else {
                    break;
                };
                failed += 1;
                assert_eq!(refused, kind, "{inject}");
                let files = place.files().into_iter().map(|(path, _)| path);
                let left = files.filter(|path| *path != place.path());
                assert_eq!(left.collect::<Vec<_>>(), Vec::<PathBuf>::new(), "{inject}");
                SqliteStore::open(place.path()).expect("the next finds nothing in its way");
            }
            assert!(failed > 0, "{call} was not made to fail");
        }
    }
}

/// Otherwise whoever removes the file leaves all that it holds under the name that it had while it was made.
#[cfg(target_os = "linux")]
#[test]
fn a_file_whose_maker_was_killed_has_one_name_once_it_is_opened() {
    if !may_trace() {
        return;
    }
    let links = |place: &Place| {
        let file = std::fs::metadata(place.path());
        file.map_or(0, |file| file.nlink())
    };
    let mut had_two = false;
    for nth in 1.. {
        let place = Place::new();
        let inject = format!("inject=/^unlink(at)?$:signal=KILL:when={nth}");
        let killed = start_in_a_child(&place, &strace(&inject));
        if killed.status.success() {
            break;
        }
        had_two |= links(&place) == 2;
        drop(SqliteStore::open(place.path()).expect("it opens"));
        assert_eq!(links(&place), 1, "{inject}");
    }
    assert!(had_two, "none was killed between the two names");
}

#[test]
fn a_name_that_is_somebody_elses_stays() {
    let place = Place::new();
    drop(SqliteStore::open(place.path()).expect("it is made"));
    let another = place.path().with_extension("db.new-1-0");
    std::fs::write(&another, "of somebody else").expect("it is written");
    let mut expected = vec![place.path(), another];
    // None is a name that a file has while it is made.
    for name in ["1", "1-", "1-2-3", "copy", "copy-1"] {
        let second = place.path().with_extension(format!("db.new-{name}"));
        std::fs::hard_link(place.path(), &second).expect("it is linked");
        expected.push(second);
    }
    drop(SqliteStore::open(place.path()).expect("it opens"));
    let names = place.files().into_iter().map(|(path, _)| path);
    expected.sort();
    assert_eq!(names.collect::<Vec<_>>(), expected);
}

/// Left over from one that was killed, and had the number that this OS process has.
#[test]
fn names_that_are_taken_are_passed_over() {
    let place = Place::new();
    let taken = |number| {
        let name = format!("db.new-{}-{number}", std::process::id());
        place.path().with_extension(name)
    };
    for number in 0..2000 {
        std::fs::write(taken(number), "left over").expect("it is written");
    }
    drop(SqliteStore::open(place.path()).expect("it is made"));
    assert!((0..2000).all(|number| taken(number).exists()));
}

#[test]
fn a_file_is_made_for_its_owner_only_whatever_the_umask() {
    for umask in ["0", "777"] {
        let place = Place::new();
        let umasked = format!("umask {umask} && exec \"$0\" \"$@\"");
        assert_eq!(open_in_a_child(&place, &["sh", "-c", &umasked]), None);
        let metadata = std::fs::metadata(place.path()).expect("it is there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{umask}");
    }
}

#[test]
fn an_empty_file_is_taken_as_a_new_one() {
    let place = Place::new();
    std::fs::write(place.path(), "").expect("a file");
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it is made"));
    let id = begin(&tracker, "a.txt").request_id();
    drop(tracker);
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens again"));
    assert_eq!(tracker.get(id).expect("it is there").file().name(), "a.txt");
}

/// A file that was there but empty once got its header first and its marks later, in the WAL: until that
/// was checkpointed, everybody else took it for another program's, and for good if its maker was killed.
#[test]
fn an_empty_file_is_ours_for_everybody_from_its_first_page_on() {
    let place = Place::new();
    std::fs::write(place.path(), "").expect("a file");
    let first = Tracker::new(SqliteStore::open(place.path()).expect("it is made"));
    let id = begin(&first, "a.txt").request_id();
    let second = Tracker::new(SqliteStore::open(place.path()).expect("it is ours"));
    assert!(second.get(id).is_ok());
    drop((first, second));

    for _ in 0..20 {
        let place = Place::new();
        std::fs::write(place.path(), "").expect("a file");
        std::thread::scope(|scope| {
            for n in 0..8 {
                let path = place.path();
                scope.spawn(move || {
                    let tracker = Tracker::new(SqliteStore::open(path).expect("it opens"));
                    begin(&tracker, &format!("{n}.txt"));
                });
            }
        });
    }
}

/// A new file's pages once stayed in the WAL of its temporary name when the disk had no room left for
/// them, and closing says nothing of that: the half that was linked was truncated for ever after.
#[test]
fn a_disk_without_room_is_full_and_leaves_no_half_made_file() {
    for wipe_level in [WipeLevel::Files, WipeLevel::Media] {
        try_without_room(wipe_level);
    }
}

fn try_without_room(wipe_level: WipeLevel) {
    let Some(disk) = SmallDisk::mount("1m") else {
        return;
    };
    let (path, ballast) = (disk.path(), disk.directory().join("ballast"));
    let open = || {
        SqliteStore::open_with(SqliteConfig {
            wipe_level,
            ..SqliteConfig::new(&path)
        })
    };
    let mut refusals = 0;
    for room in (0..64).map(|pages| pages * 4096) {
        let all = std::fs::write(&ballast, vec![7; 1024 * 1024 - room]);
        assert!(
            room > 0 || all.is_ok(),
            "the disk is smaller than it was made"
        );
        if let Err(error) = open() {
            assert_eq!(error.kind(), StoreErrorKind::Full, "{}", source(&error));
            refusals += 1;
        }
        std::fs::remove_file(&ballast).expect("the ballast goes");
        // A child that another test has forked and that has not become its program yet holds the ballast a while longer.
        let made = (0..500).find_map(|_| match open() {
            Ok(store) => Some(store),
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Full, "{}", source(&error));
                std::thread::sleep(Duration::from_millis(10));
                None
            }
        });
        let store = made.expect("it opens, or is made, once there is room");
        begin(&Tracker::new(store), "a.txt");
        // At level Media the WAL stays when the store is closed.
        for file in std::fs::read_dir(disk.directory()).expect("it is there") {
            let file = file.expect("an entry").path();
            if file.is_file() {
                std::fs::remove_file(file).expect("a new one for the next round");
            }
        }
    }
    assert!(refusals > 10, "{refusals}");
}

#[test]
fn many_may_open_a_missing_file_at_once() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let path = place.path();
            scope.spawn(move || {
                let tracker = Tracker::new(SqliteStore::open(path).expect("it opens"));
                begin(&tracker, &format!("{n}.txt"));
            });
        }
    });
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    assert_eq!(
        tracker
            .count(&milepost_core::Query::new())
            .expect("a count")
            .ongoing,
        8
    );
    drop(tracker);
    assert_eq!(place.files().len(), 1);
}
