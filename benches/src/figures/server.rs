//! A PostgreSQL server: lifecycle work, reads and pages, beside the smallest statements that hand-written code would send.
//!
//! The limit of what is written is one prepared UPDATE of a row by its key at a time, with nothing read or checked, in a
//! transaction of its own; of what is read, one prepared SELECT. Milepost's figures are of lifecycle work: with everything
//! decided by the core, from as many threads as the figure says, or so many ops a call.

use std::time::Instant;

use milepost::{OverallStatus, Query, RequestId};
use milepost_server::Server;

use crate::baseline::server::OnServer;
use crate::ours::Milepost;
use crate::rounds::{Outcome, in_turns, rate};
use crate::run::Run;
use crate::table::Target;
use crate::waits::Waits;
use crate::workload::{Ids, LIVE, Lives, PIPELINE, crews, fill, side_by_side};

/// Each commit waits for the disk.
const DURABLE: [&str; 3] = ["fsync=on", "full_page_writes=on", "synchronous_commit=on"];

/// What the figures mean nothing without.
#[must_use]
pub fn settings() -> Vec<String> {
    vec![
        "durability: fsync, full_page_writes and synchronous_commit on, on both sides".to_owned(),
        "server: one of its own on the same machine, reached through its socket".to_owned(),
        "limit: one prepared statement at a time, in the same run".to_owned(),
    ]
}

/// Measures all figures that are wanted.
pub fn measure(run: &mut Run) -> Outcome<()> {
    let server = Server::start_at(&run.directory, &DURABLE);
    let mut by_hand = OnServer::connect(&server.url(), "by_hand", LIVE)?;
    let ours = Milepost::postgres(&server.url())?;
    let version = server.psql("SHOW server_version");
    println!("PostgreSQL: {version}");
    let turn = run.scale.turn;

    let figure = "PostgreSQL, read, check and write by hand, 1 caller: ops/s";
    if run.wants(figure) {
        let alone = OnServer::connect(&server.url(), "alone", LIVE)?;
        let compared = in_turns(
            run.scale.rounds,
            || rate(turn, 4, || by_hand.read_check_write()),
            || rate(turn, 4, || alone.update()),
        )?;
        run.compared(figure, compared, Target::Shown);
        by_hand = alone;
    }
    for (threads, target) in [
        (1, Target::Shown),
        (8, Target::Shown),
        (32, Target::AtLeast(8.0)),
        (256, Target::Shown),
    ] {
        let figure = format!("PostgreSQL lifecycle, 1 op a call, {threads} callers");
        if !run.wants(&figure) {
            continue;
        }
        let mut crews = crews(&ours, threads)?;
        let mut waits = Waits::default();
        let compared = in_turns(
            run.scale.rounds,
            || {
                let (rate, waited) = side_by_side(&ours, &mut crews, turn)?;
                waits.join(&waited);
                Ok(rate)
            },
            || rate(turn, 4, || by_hand.update()),
        )?;
        run.compared(&format!("{figure}: ops/s"), compared, target);
        for percent in [50.0, 99.0] {
            let millis = waits.percentile(percent);
            run.alone(&format!("{figure}: p{percent} ms"), millis, Target::Shown);
        }
    }
    for (ops, target) in [(100, Target::AtLeast(10.0)), (1000, Target::Shown)] {
        let figure = format!("PostgreSQL apply of {ops} ops: ops/s");
        if !run.wants(&figure) {
            continue;
        }
        let mut lives = Lives::start(&ours, LIVE, Ids::Own)?;
        let each = f64::from(u32::try_from(ops)?);
        let compared = in_turns(
            run.scale.rounds,
            || Ok(each * rate(turn, 1, || lives.batch(&ours, ops))?),
            || rate(turn, 4, || by_hand.update()),
        )?;
        run.compared(&figure, compared, target);
    }
    if run.wants("PostgreSQL updates that are HOT") {
        updates(run, &server);
    }
    reads_and_pages(run, &ours, &by_hand)
}

/// Of those that leave the overall status as it was, which are 7 of 8: the last completes the process.
fn updates(run: &mut Run, server: &Server) {
    // What sessions have counted is told a moment later.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let count = |what: &str| {
        let told = server.psql(&format!(
            "SELECT {what} FROM pg_stat_user_tables WHERE relname = 'process'"
        ));
        told.parse::<f64>().unwrap_or(f64::NAN)
    };
    let settling = server.psql("SELECT count(*) FROM milepost.process WHERE status <> 0");
    let settling = settling.parse::<f64>().unwrap_or(f64::NAN);
    let staying = count("n_tup_upd") - settling;
    run.both(
        "PostgreSQL updates that are HOT, of those that leave the status",
        count("n_tup_hot_upd"),
        staying,
        Target::AtLeast(0.95),
    );
}

fn reads_and_pages(run: &mut Run, ours: &Milepost, by_hand: &OnServer) -> Outcome<()> {
    let turn = run.scale.turn;
    let large = run.scale.large;
    let read = format!("PostgreSQL get by id, of {large}: reads/s");
    let page = |which| format!("PostgreSQL {which} page of 50, of {large}: pages/s");
    let (first, deep) = (page("first"), page("deep"));
    let filling = format!("PostgreSQL filling with {large}: processes/s");
    if ![&read, &first, &deep, &filling]
        .iter()
        .any(|figure| run.wants(figure))
    {
        return Ok(());
    }
    let began = Instant::now();
    let ids = fill(ours, large, Ids::Own)?;
    let filled = f64::from(u32::try_from(large)?) / began.elapsed().as_secs_f64();
    run.alone(&filling, filled, Target::Shown);
    if run.wants(&read) {
        let mut next = ids.iter().cycle().step_by(7919);
        let compared = in_turns(
            run.scale.rounds,
            || {
                rate(turn, 4, || {
                    let id = next.next().ok_or("no id")?;
                    Ok(ours.tracker.get(RequestId::from(*id)).map(drop)?)
                })
            },
            || rate(turn, 4, || by_hand.read()),
        )?;
        run.compared(&read, compared, Target::Shown);
    }
    let query = Query::new()
        .pipeline(PIPELINE)
        .status(OverallStatus::Complete)
        .limit(50);
    for (figure, depth) in [(&first, 0), (&deep, large / 1_000 / 2)] {
        if !run.wants(figure) {
            continue;
        }
        let mut place = query.clone();
        for _ in 0..depth {
            let page = ours.tracker.list(&place.clone().limit(1_000))?;
            let Some(next) = page.next else { break };
            place = query.clone().after(next);
        }
        let pages = rate(turn * 2, 1, || Ok(ours.tracker.list(&place).map(drop)?))?;
        run.alone(figure, pages, Target::Shown);
    }
    Ok(())
}
