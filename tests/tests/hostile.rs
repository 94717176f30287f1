//! Hostile files, hostile input and wrong clocks: each law briefly, and beside it what it must find.

use std::cmp::Reverse;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use chrono::{DateTime, Utc};
use milepost::{
    Change, ChangeKind, Found, Listing, MemoryStore, Op, Process, RequestId, SqliteConfig,
    SqliteStore, StatusStore, StoreError, StoreErrorKind, Term, Update, Verdict, Wipe,
};
use milepost_tests::bent::{Bend, Bent, Wipes};
use milepost_tests::law::{Broken, Done, briefly, broken};
use milepost_tests::laws::hostile::decoders::{self, Codec, DECODERS, TARGETS, Target};
use milepost_tests::laws::hostile::{clocks, corpus, lawful, lives, mutants, names, texts};

#[test]
fn decoders_refuse_or_take_for_what_is_lawful() {
    briefly(&DECODERS, 30_000);
}

#[test]
fn mutated_files_are_refused_as_they_are_or_do_no_harm() {
    briefly(&mutants::MUTANTS, 250);
}

#[test]
fn names_are_names() {
    briefly(&names::NAMES, 150);
}

#[test]
fn texts_come_back_or_are_refused() {
    briefly(&texts::TEXTS, 50);
}

#[test]
fn clocks_are_taken_at_their_word() {
    briefly(&clocks::CLOCKS, 1_500);
}

/// What is made for the fuzz targets is what is committed.
#[test]
fn the_corpus_is_made_by_its_program() {
    for (target, name, bytes) in corpus::made().expect("it is made") {
        let committed = fs::read(corpus::directory(target).join(&name)).unwrap_or_default();
        assert!(
            committed == bytes,
            "{target}/{name} differs: run the program `hostile corpus`"
        );
    }
    for Target { name, read } in TARGETS {
        let corpus = corpus::read(name);
        let taken = corpus.iter().filter(|bytes| read(bytes).expect("it holds"));
        assert!(taken.count() > 1, "{name} takes nothing of its corpus");
    }
}

#[test]
fn a_decoder_that_takes_what_is_not_lawful_is_found() {
    let anything = |bytes: &[u8]| {
        let codec = Codec {
            decode: &|bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok(),
            encode: &|value: &serde_json::Value| serde_json::to_vec(value).expect("it is JSON"),
            lawful: &lawful,
        };
        decoders::reads(&codec, bytes)
    };
    let target = Target {
        name: "process_json",
        read: anything,
    };
    let how = broken(20_000, |shard| decoders::try_all(shard, &[target]));
    assert!(how.contains("process_json"), "{how}");
}

#[test]
fn a_decoder_that_panics_or_forgets_is_found() {
    let panics = Target {
        name: "record",
        read: |bytes| {
            let codec = Codec {
                decode: &|bytes: &[u8]| {
                    let length = usize::from(bytes.first().copied().unwrap_or_default());
                    Some(bytes[length..].to_vec())
                },
                encode: &|bytes: &Vec<u8>| bytes.clone(),
                lawful: &|_| Ok(()),
            };
            decoders::reads(&codec, bytes)
        },
    };
    let how = broken(20_000, |shard| decoders::try_all(shard, &[panics]));
    assert!(how.contains("panic") || how.contains("come back"), "{how}");
    let forgets = Target {
        name: "record",
        read: |bytes| {
            let codec = Codec {
                // Whatever follows is cut off, and so is what was cut.
                decode: &|bytes: &[u8]| Process::from_record(bytes).ok(),
                encode: &|process: &Process| {
                    let mut record = Vec::new();
                    process.to_record(&mut record);
                    record.truncate(200);
                    record
                },
                lawful: &|_| Ok(()),
            };
            decoders::reads(&codec, bytes)
        },
    };
    let how = broken(20_000, |shard| decoders::try_all(shard, &[forgets]));
    assert!(how.contains("come back"), "{how}");
}

/// Makes a new file of what is not a database.
fn overwrites(config: SqliteConfig) -> Result<Arc<dyn StatusStore>, StoreError> {
    let path = config.path.clone();
    mutants::open(config.clone()).or_else(|error| {
        if !path.is_file() {
            return Err(error);
        }
        let gone = fs::remove_file(&path);
        gone.expect("it was there");
        mutants::open(config)
    })
}

/// Marks what it refuses as seen.
fn touches(config: SqliteConfig) -> Result<Arc<dyn StatusStore>, StoreError> {
    let path = config.path.clone();
    mutants::open(config).inspect_err(|_| {
        if path.is_file() {
            let mut bytes = fs::read(&path).expect("it is there");
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            fs::write(&path, bytes).expect("it is written");
        }
    })
}

#[test]
fn an_opener_that_panics_hangs_or_refuses_as_something_else_is_found() {
    fn panics(config: SqliteConfig) -> Result<Arc<dyn StatusStore>, StoreError> {
        mutants::open(config).map_err(|error| panic!("it does not open: {error}"))
    }
    fn hangs(config: SqliteConfig) -> Result<Arc<dyn StatusStore>, StoreError> {
        mutants::open(config).inspect_err(|_| {
            // Until the test has ended.
            loop {
                std::thread::park();
            }
        })
    }
    fn renames(config: SqliteConfig) -> Result<Arc<dyn StatusStore>, StoreError> {
        mutants::open(config)
            .map_err(|error| StoreError::new(StoreErrorKind::Limit, error.to_string()))
    }
    let found: [(mutants::Opener, &str); 3] = [
        (panics, "a panic: it does not open"),
        (hangs, "it hangs"),
        (renames, "refused as Limit"),
    ];
    for (opener, expected) in found {
        let how = broken(200, |shard| {
            mutants::try_all(shard, opener, &mut mutants::Tally::default())
        });
        assert!(how.contains(expected), "{how}");
    }
}

#[test]
fn an_opener_that_overwrites_or_touches_what_it_refuses_is_found() {
    for opener in [overwrites, touches] {
        let how = broken(200, |shard| {
            mutants::try_all(shard, opener, &mut mutants::Tally::default())
        });
        let found = how.contains("refused, and changed") || how.contains("was opened");
        assert!(found, "{how}");
    }
}

/// A store with something wrong in it.
#[derive(Debug)]
struct Wrong {
    store: Arc<dyn StatusStore>,
    fault: Fault,
    newest: AtomicI64,
    first: OnceLock<Arc<Process>>,
    last: Mutex<Option<RequestId>>,
}

#[derive(Debug, PartialEq)]
enum Fault {
    /// Answers the process that it was asked for first, whichever it is asked for.
    AnyProcess,
    /// Takes `%` in a prefix for anything.
    Like,
    /// Judges expiry by the newest time that it has seen.
    NewestTime,
    /// Judges leases by it.
    NewestLease,
    /// Lists what changed last first.
    ByChange,
    /// Answers texts in another normal form.
    Normalizes,
    /// Says that a module is complete, and keeps nothing of it.
    Forgets,
    /// Changes who was read last with whatever is written.
    Rewrites,
}

impl Wrong {
    fn over(store: impl StatusStore, fault: Fault) -> Arc<dyn StatusStore> {
        Arc::new(Bent(Wrong {
            store: Arc::new(store),
            fault,
            newest: AtomicI64::new(i64::MIN),
            first: OnceLock::new(),
            last: Mutex::default(),
        }))
    }

    fn see(&self, time: DateTime<Utc>) {
        self.newest
            .fetch_max(time.timestamp_micros(), Ordering::Relaxed);
    }

    fn newest(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.newest.load(Ordering::Relaxed))
    }

    fn last(&self) -> MutexGuard<'_, Option<RequestId>> {
        self.last.lock().expect("nobody panics with it")
    }
}

/// With each `e` and accent as one.
fn normalized(process: &Process) -> Arc<Process> {
    let json = serde_json::to_string(process).expect("it has a JSON form");
    let json = json.replace("e\u{301}", "\u{e9}");
    Arc::new(serde_json::from_str(&json).expect("it stays lawful"))
}

/// `LIKE` as it is without escaping, as far as `%` goes.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut rest = text;
    pattern
        .split('%')
        .enumerate()
        .all(|(number, part)| match rest.find(part) {
            Some(at) if number > 0 || at == 0 => {
                rest = &rest[at + part.len()..];
                true
            }
            _ => false,
        })
}

impl Bend for Wrong {
    fn store(&self) -> &dyn StatusStore {
        &*self.store
    }

    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        for op in ops {
            self.see(op.at);
        }
        let mut ops = ops.to_vec();
        match self.fault {
            Fault::NewestLease => {
                let claims = ops
                    .iter_mut()
                    .filter(|op| op.change.kind() == ChangeKind::Claim);
                claims.for_each(|op| op.at = self.newest().unwrap_or(op.at));
            }
            Fault::Forgets
                if ops
                    .iter()
                    .any(|op| op.change.kind() == ChangeKind::Complete) =>
            {
                let apply = |op: &Op| Ok(op.apply(&mut self.store.read(op.id)?));
                return ops.iter().map(apply).collect();
            }
            _ => {}
        }
        let verdicts = self.store.write(&ops)?;
        let last = self.last().filter(|_| self.fault == Fault::Rewrites);
        if let (Some(id), Some(op)) = (last, ops.first()) {
            let update = Change::update(Update::new().file_name("mine.pdf"));
            let rewritten = self.store.write(&[Op::new(id, op.at, update)])?;
            drop(rewritten);
        }
        Ok(verdicts)
    }

    fn read(&self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
        let found = self.store.read(id)?;
        if found.is_some() {
            *self.last() = Some(id);
        }
        Ok(match self.fault {
            Fault::AnyProcess => found.map(|found| self.first.get_or_init(|| found).clone()),
            Fault::NewestTime => {
                let newest = self.newest();
                found.filter(|process| newest.is_none_or(|newest| !process.is_expired(newest)))
            }
            Fault::Normalizes => found.map(|found| normalized(&found)),
            _ => found,
        })
    }

    fn list(&self, listing: &Listing) -> Result<Found, StoreError> {
        let prefix = listing.filter.terms.iter().find_map(|term| match term {
            Term::FileNamePrefix(prefix) => Some(format!("{prefix}%")),
            _ => None,
        });
        if self.fault == Fault::ByChange {
            let mut found = self.store.list(listing)?;
            found
                .items
                .sort_by_key(|process| Reverse(process.updated_at()));
            return Ok(found);
        }
        let Some(pattern) = prefix.filter(|_| self.fault == Fault::Like) else {
            return self.store.list(listing);
        };
        let mut all = listing.clone();
        all.filter
            .terms
            .retain(|term| !matches!(term, Term::FileNamePrefix(_)));
        let mut found = self.store.list(&all)?;
        found
            .items
            .retain(|process| is_like(process.file().name(), &pattern));
        Ok(found)
    }
}

#[test]
fn a_store_that_yields_another_process_forgets_or_rewrites_one_is_found() {
    fn wrong(config: SqliteConfig, fault: Fault) -> Result<Arc<dyn StatusStore>, StoreError> {
        Ok(Wrong::over(SqliteStore::open_with(config)?, fault))
    }
    let found: [(mutants::Opener, &str); 3] = [
        (|config| wrong(config, Fault::AnyProcess), "was asked for"),
        (|config| wrong(config, Fault::Forgets), "was acknowledged"),
        (
            |config| wrong(config, Fault::Rewrites),
            "silently overwritten",
        ),
    ];
    for (opener, expected) in found {
        let how = broken(200, |shard| mutants::try_and_judge(shard, opener));
        assert!(how.contains(expected), "{how}");
    }
}

/// No call ends with such a panic.
#[test]
fn a_thread_of_a_store_that_panics_is_found() {
    let how = broken(1, |_| {
        let name = "milepost-checkpoints".to_owned();
        let thread = std::thread::Builder::new().name(name);
        let ended = thread.spawn(|| panic!("it cannot go on"))?.join();
        assert!(ended.is_err());
        Ok(Done::Tried(1))
    });
    assert!(how.contains("milepost-checkpoints panicked"), "{how}");
}

#[test]
fn an_opener_that_refuses_everything_is_found() {
    fn refuses(_: SqliteConfig) -> Result<Arc<dyn StatusStore>, StoreError> {
        let why = "it may be damaged, who knows";
        Err(StoreError::new(StoreErrorKind::Corrupt, why))
    }
    let how = broken(200, |shard| mutants::try_and_judge(shard, refuses));
    assert!(how.contains("none was opened"), "{how}");
}

/// A wipe that says so and does nothing.
#[test]
fn a_wipe_that_is_done_at_once_is_found_in_files_too() {
    fn wipes(config: SqliteConfig) -> Result<Arc<dyn StatusStore>, StoreError> {
        let store = SqliteStore::open_with(config)?;
        Ok(Arc::new(Bent(Wipes(store, |_, _| Ok(Wipe::Done)))))
    }
    let how = broken(200, |shard| mutants::try_and_judge(shard, wipes));
    assert!(how.contains("a wipe was done, and left"), "{how}");
}

#[test]
fn an_opener_that_takes_names_for_uris_is_found() {
    fn uris(mut config: SqliteConfig) -> Result<Arc<dyn StatusStore>, StoreError> {
        let name = config.path.to_string_lossy().into_owned();
        let path = name.split(['?', '#']).next().unwrap_or_default();
        config.path = path.into();
        mutants::open(config)
    }
    fn follows(config: SqliteConfig) -> Result<Arc<dyn StatusStore>, StoreError> {
        mutants::open(SqliteConfig {
            follow_symlinks: true,
            ..config
        })
    }
    let how = broken(200, |shard| names::try_all(shard, uris));
    assert!(
        how.contains("was made") || how.contains("refused as"),
        "{how}"
    );
    let how = broken(200, |shard| names::try_all(shard, follows));
    assert!(how.contains("a link"), "{how}");
}

/// The law of texts removes a file.
fn with_a_file(path: &Path, fault: Fault) -> Result<Arc<dyn StatusStore>, Broken> {
    fs::write(path, "")?;
    Ok(Wrong::over(MemoryStore::new(), fault))
}

#[test]
fn a_filter_that_uses_like_is_found() {
    let how = broken(200, |shard| {
        texts::try_all(shard, |path| with_a_file(path, Fault::Like))
    });
    assert!(how.contains("query"), "{how}");
}

#[test]
fn a_store_that_judges_expiry_by_the_newest_time_seen_is_found() {
    let newest = || Ok(Wrong::over(MemoryStore::new(), Fault::NewestTime));
    let how = broken(5_000, |shard| clocks::try_all(shard, newest));
    assert!(how.contains("elsewhere"), "{how}");
}

#[test]
fn a_store_that_judges_leases_by_the_newest_time_or_lists_by_changes_is_found() {
    let newest = || Ok(Wrong::over(MemoryStore::new(), Fault::NewestLease));
    let how = broken(5_000, |shard| clocks::try_all(shard, newest));
    assert!(how.contains("Claim") && how.contains("elsewhere"), "{how}");
    let by_change = || Ok(Wrong::over(MemoryStore::new(), Fault::ByChange));
    let how = broken(5_000, |shard| clocks::try_all(shard, by_change));
    assert!(how.contains("comes after"), "{how}");
}

#[test]
fn a_store_that_answers_another_text_that_looks_alike_is_found() {
    let how = broken(500, |shard| {
        texts::try_all(shard, |path| with_a_file(path, Fault::Normalizes))
    });
    assert!(how.contains("e\\u{301}"), "{how}");
}

/// The lives that everything here is made of have something of everything.
#[test]
fn the_samples_are_of_every_kind() {
    let all = serde_json::to_string(
        &lives::samples()
            .iter()
            .map(|p| (**p).clone())
            .collect::<Vec<_>>(),
    );
    let all = all.expect("they have a JSON form");
    for part in [
        "\"running\"",
        "\"complete\"",
        "\"failed\"",
        "\"skipped\"",
        "\"cancelled\"",
        "\"retried\"",
        "\"released\"",
        "\"reaped\"",
        "\"cancel_request\":{",
        "\"parallel\":true",
        "\"expires_at\":\"",
        "\"run\":2",
        "\"total\":10",
    ] {
        assert!(all.contains(part), "{part}");
    }
}
