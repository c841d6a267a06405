//! Used ranges against what dumpe2fs lists as free, and against what must be copied for the files to survive.

use crate::images::{FLAVOURS, find, make};
use crate::tools::{check, tool};
use crate::tree::from_adapter;
use fs_ext4::Ext4;
use std::path::Path;
use wherry_sdk::testing::filesystem::{assert_same, copy_used, used};
use wherry_sdk::testing::{FileBlob, MemoryBlob, noise, run};
use wherry_sdk::{FileSystem, Range};

/// Bytes that dumpe2fs says are free, as ordered ranges.
fn free_by_dumpe2fs(image: &Path) -> Vec<(u64, u64)> {
    let text = run(tool("dumpe2fs").arg(image));
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let block = field("Block size:");
    // Ranges of clusters are shown by the first block of each.
    let unit = if text.contains("Cluster size:") { field("Cluster size:") } else { block };
    let mut free = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("  Free blocks:")) {
        for range in line.split(',').map(str::trim).filter(|range| !range.is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
            free.push((first * block, last * block + unit));
        }
    }
    free.retain(|(_, end)| *end > block);
    free
}

/// Joins neighbours.
fn joined(ranges: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut list: Vec<(u64, u64)> = Vec::new();
    for (start, end) in ranges {
        match list.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => list.push((start, end)),
        }
    }
    list
}

#[test]
fn everything_but_what_dumpe2fs_calls_free() {
    for flavour in FLAVOURS {
        let image = make(flavour);
        let mut fs = Ext4::mount(Box::new(FileBlob::open(&image.path).unwrap()), false).unwrap();
        let size = 48 << 20;
        let [used, wide] = [3, 100_000].map(|most| used(&mut fs, size, most).unwrap());
        let mut free = Vec::new();
        let mut at = 0;
        for range in &used {
            if range.offset > at {
                free.push((at, range.offset));
            }
            at = range.offset + range.length;
        }
        if at < size {
            free.push((at, size));
        }
        assert_eq!(
            joined(free.into_iter()),
            joined(free_by_dumpe2fs(&image.path).into_iter()),
            "{}",
            flavour.name
        );
        let list =
            |ranges: &[Range]| ranges.iter().map(|range| (range.offset, range.length)).collect::<Vec<_>>();
        let whole = joined(wide.iter().map(|range| (range.offset, range.length + range.offset)));
        assert_eq!(joined(list(&used).into_iter().map(|(at, length)| (at, at + length))), whole);
        let (offset, length) = list(&used)[0];
        let rest = fs.used(offset + 5, 1).unwrap();
        assert_eq!(list(&rest)[0].0, offset + 5, "from the middle of a range");
        assert!(rest[0].length <= (whole[0].1 - whole[0].0).max(length));
        assert!(fs.used(size, 10).unwrap().is_empty());
    }
}

/// A copy of the used ranges, with noise everywhere else, is a good file system with the same files.
#[test]
fn a_copy_of_what_is_used() {
    for name in ["default", "uninit", "bigalloc", "meta-bg", "ext2", "small-groups"] {
        let image = make(find(name));
        let device = FileBlob::open(&image.path).unwrap();
        let mut fs = Ext4::mount(Box::new(device.clone()), find(name).writable).unwrap();
        if find(name).writable {
            fs.write("/etc/new", &MemoryBlob::read_only(noise(1, 77_777)), None).unwrap();
            fs.make_directory("/new", None).unwrap();
            fs.sync().unwrap();
        }
        let tree = from_adapter(&mut fs);
        let used = used(&mut fs, 48 << 20, 1000).unwrap();
        let copied: u64 = used.iter().map(|range| range.length).sum();
        assert!(copied < 30 << 20, "{name}: {copied} bytes");
        let edited = image.copy("edited");
        device.apply(&edited).unwrap();
        let target = image.beside("target");
        copy_used(&edited, &target, &used);
        check(&target);
        let again =
            from_adapter(&mut Ext4::mount(Box::new(FileBlob::open(&target).unwrap()), false).unwrap());
        assert_same(&tree, &again, name);
    }
}

#[test]
fn what_lies_behind_the_file_system_is_not_judged() {
    let image = make(find("default"));
    let file = std::fs::File::options().write(true).open(&image.path).unwrap();
    file.set_len((48 << 20) + 12345).unwrap();
    let mut fs = Ext4::mount(Box::new(FileBlob::open(&image.path).unwrap()), false).unwrap();
    let last = *used(&mut fs, (48 << 20) + 12345, 50).unwrap().last().unwrap();
    assert_eq!(last.offset + last.length, (48 << 20) + 12345);
    assert!(last.length >= 12345);
}
