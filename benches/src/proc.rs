//! What Linux says of an OS process: memory, processor time and wake-ups.

use std::fs;
use std::path::{Path, PathBuf};

use crate::rounds::Outcome;

/// Resident memory of this OS process, in bytes.
pub fn resident() -> Outcome<f64> {
    Ok(field(Path::new("/proc/self/status"), "VmRSS:")? * 1024.0)
}

/// The threads of this OS process, other than the calling one: names, and directories under `/proc`.
pub fn other_threads() -> Outcome<Vec<(String, PathBuf)>> {
    let own = fs::canonicalize("/proc/thread-self")?;
    let mut threads = Vec::new();
    for entry in fs::read_dir("/proc/self/task")? {
        let path = fs::canonicalize(entry?.path())?;
        if path != own {
            let name = fs::read_to_string(path.join("comm"))?;
            threads.push((name.trim().to_owned(), path));
        }
    }
    Ok(threads)
}

/// How often a thread has gone to sleep, and so been woken.
pub fn wake_ups(thread: &Path) -> Outcome<f64> {
    field(&thread.join("status"), "voluntary_ctxt_switches:")
}

/// Processor time of all threads of this OS process, in seconds.
pub fn processor_time() -> Outcome<f64> {
    let mut nanos = 0.0;
    for entry in fs::read_dir("/proc/self/task")? {
        let stat = fs::read_to_string(entry?.path().join("schedstat"))?;
        let running = stat.split(' ').next().ok_or("schedstat is empty")?;
        nanos += running.parse::<f64>()?;
    }
    Ok(nanos / 1e9)
}

/// The type of the file system that a directory is on.
#[must_use]
pub fn file_system(directory: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mount = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(at, _)| directory.starts_with(at))
        .max_by_key(|(at, _)| at.len());
    mount.map_or_else(|| "unknown".to_owned(), |(_, kind)| kind.to_owned())
}

fn field(file: &Path, name: &str) -> Outcome<f64> {
    let text = fs::read_to_string(file)?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or_else(|| format!("{} has no {name}", file.display()))?;
    Ok(value.parse()?)
}
