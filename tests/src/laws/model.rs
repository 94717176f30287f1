//! One behaviour: every store does what a model of the contract says that is written from its documents alone.

use crate::law::{Broken, Done, Law, Shard, ensure, program};

/// On memory, and on a file of SQLite's that is closed and opened again between steps.
pub static MODEL: Law = Law {
    name: "model",
    says: "a sequence of ops gives what the conformance kit's model says, in memory and in a file that is opened again \
           between steps",
    unit: "ops",
    shard: 10_000,
    asked: 100_000,
    run: |shard| model(shard, "honest"),
};

/// How many sequences are tried at once.
const SEQUENCES: &str = "40";

/// With stores that are `honest`, or `hasty`: see the program `kit`.
pub fn model(shard: &Shard<'_>, how: &str) -> Result<Done, Broken> {
    let (mut ops, mut number) = (0, 0);
    while shard.goes_on(ops) {
        // The smaller count of the two.
        let mut least = u64::MAX;
        let seed = shard.random(number).u64(..);
        for store in ["memory", "file"] {
            let output = program("kit")
                .args([store, how])
                .env("MILEPOST_SEED", seed.to_string())
                .env("MILEPOST_CASES", SEQUENCES)
                .output()?;
            let words = String::from_utf8_lossy(&output.stderr);
            ensure(output.status.success(), || {
                format!("{store}, seed {seed}: {words}")
            })?;
            least = least.min(String::from_utf8_lossy(&output.stdout).trim().parse()?);
        }
        ops += least;
        number += 1;
    }
    Ok(Done::Tried(ops.min(shard.count)))
}
