//! OS processes that write as fast as they can leave each other room.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use milepost::{Query, SqliteStore, Tracker};

struct Crowd {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Crowd {
    /// Starts one, and waits until it has opened the file.
    fn start(file: &std::path::Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_crowd"))
            .arg(file)
            .arg("8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("it speaks");
        assert_eq!(line, "ready\n");
        Crowd { child, output }
    }

    fn go(&mut self) {
        let input = self.child.stdin.as_mut().expect("it is piped");
        input.write_all(b"go\n").expect("it listens");
    }

    /// How many changes it made, and its longest wait in microseconds.
    fn end(mut self) -> (u64, u64) {
        let mut said = String::new();
        self.output.read_to_string(&mut said).expect("it speaks");
        assert!(self.child.wait().expect("it ends").success());
        let (changes, worst) = said.trim().split_once(' ').expect("two numbers");
        let number = |text: &str| text.parse::<u64>().expect("a number");
        (number(changes), number(worst))
    }
}

/// SQLite keeps no queue for its write lock: whoever writes all the time may take it again before anybody
/// else looks.
#[test]
fn of_two_os_processes_with_eight_threads_each_neither_starves() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let file = directory.path().join("status.db");
    let tracker = Tracker::new(SqliteStore::open(&file).expect("it opens"));
    let mut crowds = [Crowd::start(&file), Crowd::start(&file)];
    crowds.iter_mut().for_each(Crowd::go);
    thread::sleep(Duration::from_secs(2));
    for crowd in &mut crowds {
        crowd.child.stdin = None;
    }
    let ended = crowds.map(Crowd::end);
    let total = ended.iter().map(|(changes, _)| changes).sum::<u64>();
    for (changes, worst) in ended {
        println!("{changes} of {total} changes, longest wait {worst} us");
        assert!(changes >= total / 10, "one made {changes} of {total}");
    }
    let processes = tracker.list(&Query::new()).expect("a page").items;
    let stored = processes.iter().map(|process| process.revision());
    assert_eq!(stored.sum::<u64>(), total, "each that was acknowledged");
}
