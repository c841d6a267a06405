//! Superblocks of file systems that mkfs.btrfs makes.

use std::fs::File;
use std::process::Command;
use wherry_sdk::testing::run;

/// Bytes of each device.
pub const SIZE: u64 = 128 << 20;

/// So many devices of a new file system.
pub fn devices(count: usize, arguments: &[&str]) -> (Vec<Vec<u8>>, String) {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let paths: Vec<_> = (0..count).map(|number| directory.path().join(number.to_string())).collect();
    paths.iter().for_each(|path| File::create(path).unwrap().set_len(SIZE).unwrap());
    run(Command::new("/sbin/mkfs.btrfs").arg("-q").args(arguments).args(&paths));
    let mut blkid = Command::new("/sbin/blkid");
    let uuid = run(blkid.args(["-p", "-o", "value", "-s", "UUID"]).arg(&paths[0])).trim().to_owned();
    (paths.iter().map(|path| std::fs::read(path).unwrap()).collect(), uuid)
}
