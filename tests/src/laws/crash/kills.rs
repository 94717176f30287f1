//! `kill -9`, at any moment.

use std::path::Path;

use fastrand::Rng;
use milepost::Durability;
use rusqlite::Connection;

use super::Sabotage;
use super::crew::{Crew, Manner, Moment, PROMPT};
use super::file::TheFile;
use super::known::Survives;
use crate::law::{Broken, Done, Law, Shard};

/// Kills.
pub static KILLS: Law = Law {
    name: "kills",
    says: "what was acknowledged survives kill -9 at any moment, at either durability; the file is sound, every \
           process is what its ops made it, and whoever is left writes within 5 s",
    unit: "kills",
    shard: 50,
    asked: 1_000,
    run: |shard| kills_with(shard, Sabotage::None),
};

/// The law, with something done wrong.
pub fn kills_with(shard: &Shard<'_>, sabotage: Sabotage) -> Result<Done, Broken> {
    let mut done = 0;
    let mut file = None;
    while shard.goes_on(done) {
        let mut random = shard.random(done);
        let begins_anew = random.u8(..8) == 0;
        let mut the_file = file
            .take_if(|_| !begins_anew)
            .unwrap_or_else(|| TheFile::new(shard.scratch.join(format!("status-{done}.db"))));
        kill(&mut the_file, &mut random, sabotage)
            .map_err(|how| Broken::new(format!("kill {done}: {how}")))?;
        file = Some(the_file);
        done += 1;
    }
    Ok(Done::Tried(done))
}

/// One kill, sometimes with another OS process that is left.
fn kill(file: &mut TheFile, random: &mut Rng, sabotage: Sabotage) -> Result<(), Broken> {
    let threads = |random: &mut Rng| [1, 1, 2, 4][random.usize(..4)];
    let (victims, others) = (
        threads(random),
        if random.u8(..3) == 0 {
            threads(random)
        } else {
            0
        },
    );
    let durability = [Durability::Full, Durability::Normal][random.usize(..2)];
    let mut manner = || Manner {
        durability,
        reopens: random.u8(..4) == 0,
        boasts: sabotage == Sabotage::Boasting,
        is_lied_to: false,
    };
    let manners = [manner(), manner()];
    let tasks = file.tasks(victims + others, random);
    let (of_victim, of_other) = tasks.split_at(victims);
    let mut shifts = vec![(manners[0], of_victim)];
    if others > 0 {
        shifts.push((manners[1], of_other));
    }
    let mut crew = Crew::start(&file.path, &shifts)?;
    crew.wait_for(Moment::random(random, durability))?;
    let is_closing = crew.is_closing();
    crew.kill(0)?;
    if others > 0 && !is_closing {
        let _lock = match sabotage {
            Sabotage::Hogging => Some(write_lock(&file.path)?),
            _ => None,
        };
        crew.wait_for_next(of_other)?;
    }
    let said = crew.end()?;
    file.look_over(&tasks, &said, Survives::All, random)
}

/// The write lock on a file, as one would hold it who was not freed of it by being killed.
fn write_lock(path: &Path) -> Result<Connection, Broken> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(PROMPT)?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    Ok(connection)
}
