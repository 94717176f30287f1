//! Nothing is left on the disk either, where the files are kept with `WipeLevel::Media`.

use super::cuts::Disk;
use super::{Needles, read_list};
use crate::law::{Broken, Done, Law, Shard, ensure, program};

/// The disk itself is looked through.
pub static MEDIA: Law = Law {
    name: "media",
    says: "after `Done` of a wipe of the medium no byte of what was erased is anywhere on the disk, which is ext2, \
           ext3, ext4 or XFS",
    unit: "disks",
    shard: 5,
    asked: 20,
    run: |shard| media(shard, "media"),
};

/// With stores that are opened at this level.
pub fn media(shard: &Shard<'_>, level: &str) -> Result<Done, Broken> {
    let mut disks = 0;
    while shard.goes_on(disks) {
        let mut random = shard.random(disks);
        let scratch = shard.scratch.join(disks.to_string());
        std::fs::create_dir(&scratch)?;
        let kind = random.choice(["ext2", "ext3", "ext4", "xfs"]);
        let disk = match Disk::make(&scratch, kind.expect("there are four"), 64) {
            Ok(disk) => disk,
            Err(why) => return Ok(Done::Skipped(why)),
        };
        let list = scratch.join("list");
        let mounted = disk.mount()?;
        let durability = if random.bool() { "full" } else { "normal" };
        let child = program("erase")
            .arg("work")
            .args([&mounted.path().join("status.db"), &list])
            .args([
                &random.u64(..).to_string(),
                "200",
                level,
                durability,
                "alone",
            ])
            .output()?;
        let words = String::from_utf8_lossy(&child.stderr).into_owned();
        ensure(child.status.success(), || {
            format!("the child failed: {words}")
        })?;
        drop(mounted);
        let all = read_list(&list)?;
        let gone = Needles::of(all.iter().filter(|marked| marked.goes));
        let found = gone.find_in_file(&disk.image)?;
        ensure(found.is_none(), || {
            format!("bytes are left on the disk, at {found:?}")
        })?;
        let stays = Needles::of(all.iter().filter(|marked| !marked.goes));
        let found = stays.find_in_file(&disk.image)?;
        ensure(found.is_some(), || {
            "what stays is not on the disk".to_owned()
        })?;
        std::fs::remove_dir_all(&scratch)?;
        disks += 1;
    }
    Ok(Done::Tried(disks))
}
