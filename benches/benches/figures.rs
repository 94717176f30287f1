//! Prints how fast milepost is beside hand-written code, on the same settings, in the same run.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use milepost_benches::baseline::{
    Begin, MODULES, ModuleState, Op, Status, Step, Store, Synchronous, new_id, now,
};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    for (name, synchronous, fill) in [
        ("FULL", Synchronous::Full, 100_000),
        ("NORMAL", Synchronous::Normal, 100_000),
    ] {
        let store = Store::open(&directory.path().join(name), synchronous)?;
        let (pipeline, file): (Arc<str>, Arc<str>) =
            (Arc::from("bench"), Arc::from("x".repeat(90)));
        let begin = || Begin {
            id: new_id(),
            pipeline: Arc::clone(&pipeline),
            file: Arc::clone(&file),
            at: now(),
            expires_at: None,
        };
        for _ in 0..fill / 1000 {
            let mut ops = Vec::new();
            for _ in 0..1000 {
                let begin = begin();
                let id = begin.id;
                ops.push(Op::Begin(begin));
                for module in 0..MODULES {
                    ops.push(Op::Advance(Step {
                        id,
                        module,
                        to: ModuleState::Complete,
                        at: now(),
                    }));
                }
            }
            assert!(store.batch(&ops)?.iter().all(Result::is_ok));
        }
        assert_eq!(store.counts()?, [(Status::Complete, fill)]);
        println!("{name} {} bytes a process", store.bytes()? / fill);
        for threads in [1, 8, 32, 256] {
            let live = 1024 / threads;
            let began = Instant::now();
            let seconds = 3;
            let ops = std::thread::scope(|scope| {
                let threads = (0..threads)
                    .map(|_| {
                        let (store, begin) = (&store, &begin);
                        scope.spawn(move || -> Result<usize, Arc<rusqlite::Error>> {
                            let mut lives: Vec<(uuid::Uuid, usize)> =
                                vec![(uuid::Uuid::nil(), 8); live];
                            let mut done = 0;
                            while began.elapsed().as_secs() < seconds {
                                for (id, step) in &mut lives {
                                    if *step == 8 {
                                        let begin = begin();
                                        (*id, *step) = (begin.id, 0);
                                        assert!(store.begin(begin)?.is_ok());
                                    } else {
                                        let to = if *step % 2 == 0 {
                                            ModuleState::Running
                                        } else {
                                            ModuleState::Complete
                                        };
                                        assert!(
                                            store
                                                .advance(Step {
                                                    id: *id,
                                                    module: *step / 2,
                                                    to,
                                                    at: now()
                                                })?
                                                .is_ok()
                                        );
                                        *step += 1;
                                    }
                                    done += 1;
                                    if began.elapsed().as_secs() >= seconds {
                                        break;
                                    }
                                }
                            }
                            Ok(done)
                        })
                    })
                    .collect::<Vec<_>>();
                threads
                    .into_iter()
                    .map(|thread| {
                        thread
                            .join()
                            .map(|done| done.unwrap_or_default())
                            .unwrap_or_default()
                    })
                    .sum::<usize>()
            });
            let rate = ops as f64 / began.elapsed().as_secs_f64();
            let wal = std::fs::metadata(directory.path().join(format!("{name}-wal")))?.len();
            println!(
                "{name} {threads} threads {rate:.0} ops/s, wal {} KiB",
                wal / 1024
            );
        }
    }
    Ok(())
}
