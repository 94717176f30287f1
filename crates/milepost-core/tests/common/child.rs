//! A child of `fork`, as tests of more than one crate need it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use fork::Fork;

/// Whether what is done in a child ends well, and within 20 s.
pub(crate) fn ends_well_in_a_child(work: impl FnOnce()) -> bool {
    match fork::fork().expect("there is room for a child") {
        Fork::Child => {
            let ended = catch_unwind(AssertUnwindSafe(work));
            std::process::exit(i32::from(ended.is_err()));
        }
        Fork::Parent(child) => {
            let began = Instant::now();
            loop {
                if let Some(status) = fork::waitpid_nohang(child).expect("it is a child") {
                    return status == 0;
                }
                if began.elapsed() > Duration::from_secs(20) {
                    let mut kill = std::process::Command::new("kill");
                    let killed = kill.args(["-9", &child.to_string()]).status();
                    assert!(killed.is_ok_and(|status| status.success()));
                    fork::waitpid(child).expect("it is a child");
                    return false;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}
