//! Disks in files, with the programs of the system.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::law::{Broken, ensure};

/// Runs a program of the system; what it complains of is the error.
pub fn run(
    program: &str,
    arguments: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<(), Broken> {
    let mut command = Command::new(program);
    arguments(&mut command).stdin(Stdio::null());
    let output = command
        .output()
        .map_err(|error| Broken::new(format!("{program}: {error}")))?;
    ensure(output.status.success(), || {
        let complaint = String::from_utf8_lossy(&output.stderr);
        format!("{program}: {}", complaint.trim())
    })
}

/// Makes a file system of this kind in a file that is there, and long enough: see `least`.
pub fn format(kind: &str, image: &Path, options: &[&str]) -> Result<(), Broken> {
    let force = if kind == "xfs" { "-f" } else { "-F" };
    run(&format!("mkfs.{kind}"), |mkfs| {
        mkfs.args(["-q", force]).args(options).arg(image)
    })
}

/// How many MiB one of this kind has at least: mkfs.xfs makes none below 300.
#[must_use]
pub fn least(kind: &str) -> u64 {
    if kind == "xfs" { 320 } else { 0 }
}

/// Mounts the file system in a file.
pub fn mount(image: &Path, directory: &Path) -> Result<(), Broken> {
    run("mount", |mount| {
        mount.args(["-o", "loop"]).arg(image).arg(directory)
    })
}

/// Unmounts it, waiting for a second or so until nobody has a file on it open.
pub fn unmount(directory: &Path) -> Result<(), Broken> {
    let mut tries = 0;
    loop {
        let unmounted = run("umount", |umount| umount.arg(directory));
        // The kernel may still be closing the files of those who were killed.
        if unmounted.is_ok() || tries == 100 {
            return unmounted;
        }
        tries += 1;
        thread::sleep(Duration::from_millis(10));
    }
}

/// Has a file system stop where it is: `shutdown`, or another way that `xfs_io` knows.
pub fn shut_down(directory: &Path, how: &str) -> Result<(), Broken> {
    run("xfs_io", |xfs_io| {
        xfs_io.args(["-x", "-c", how]).arg(directory)
    })
}
