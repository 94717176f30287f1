//! Whether what is written over a file's bytes takes their place on the disk.

use std::path::Path;

/// File systems that write in place.
#[cfg(any(target_os = "linux", test))]
const IN_PLACE: [&str; 6] = ["ext2", "ext3", "ext4", "xfs", "vfat", "tmpfs"];

/// Why the old bytes of a file may remain on the medium though they were overwritten; none if nothing speaks for it.
#[cfg(target_os = "linux")]
pub(crate) fn limit(path: &Path) -> Option<String> {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    let Some(mount) = fs::metadata(path).ok().and_then(|file| {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let (major, minor) = numbers(file.dev());
        find(&mounts, &format!("{major}:{minor}"))
    }) else {
        return Some(
            "copies that the file system keeps: which one it is cannot be told".to_owned(),
        );
    };
    judge(&mount)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn limit(_: &Path) -> Option<String> {
    Some("copies that the file system keeps: which one it is can be told on Linux only".to_owned())
}

/// What the kernel says of a mounted file system.
#[cfg(any(target_os = "linux", test))]
struct Mount {
    kind: String,
    options: String,
}

#[cfg(any(target_os = "linux", test))]
fn judge(mount: &Mount) -> Option<String> {
    let Mount { kind, options } = mount;
    if !IN_PLACE.contains(&kind.as_str()) {
        return Some(format!(
            "copies that the file system keeps: {kind} is not known to write in place"
        ));
    }
    let is_journaled = options.split(',').any(|option| option == "data=journal");
    is_journaled
        .then(|| format!("copies in the journal of {kind}, which is mounted with data=journal"))
}

/// The mount of a device, in the form of Linux's `mountinfo`: see proc(5).
#[cfg(any(target_os = "linux", test))]
fn find(mounts: &str, device: &str) -> Option<Mount> {
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        (before.split(' ').nth(2)? == device).then_some(Mount {
            kind: after.next()?.to_owned(),
            options: after.nth(1)?.to_owned(),
        })
    })
}

/// The two numbers of a device: see makedev(3).
#[cfg(any(target_os = "linux", test))]
fn numbers(device: u64) -> (u64, u64) {
    let major = (device >> 8 & 0xfff) | (device >> 32 & !0xfff);
    let minor = (device & 0xff) | (device >> 12 & !0xff & 0xffff_ffff);
    (major, minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
36 22 259:300 /a /mnt/b rw,noatime shared:20 master:1 - ext4 /dev/nvme0n1 rw,data=journal
40 22 0:44 / /srv rw - btrfs /dev/sdb rw,subvol=/
";

    #[test]
    fn what_does_not_write_in_place_is_named() {
        let judge = |device| judge(&find(MOUNTS, device).unwrap());
        assert_eq!(judge("254:0"), None);
        assert!(judge("259:300").unwrap().contains("data=journal"));
        assert!(judge("0:44").unwrap().contains("btrfs"));
        assert!(find(MOUNTS, "1:1").is_none());
    }

    #[test]
    fn the_numbers_of_a_device_are_as_the_kernel_prints_them() {
        assert_eq!(numbers(0xfe00), (254, 0));
        // 259:300: the minor number's upper bits are apart.
        assert_eq!(numbers(0x0010_0000 | (259 << 8) | 0x2c), (259, 300));
    }
}
