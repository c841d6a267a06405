//! A Solaris 10 on UFS in a slice of a labelled partition, with a boot archive by genisoimage: read, adapted to IDE, checked. The guest and
//! the file system are those of the adapters' own tests; no Solaris has made either.

use crate::guest::tool;
use crate::raw::Raw;
use crate::solaris_guests::find;
use crate::sun_images;
use crate::{program, text};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use wherry_sdk::bytes::{put, put_u16, put_u32};
use wherry_sdk::{Kind, Tree};

const SECTOR: usize = 512;
/// Where the partition is on the disk, and the root's slice in the partition, in sectors.
const PARTITION: usize = 2048;
const ROOT: usize = 1024;
/// Bytes of the root on UFS.
const SIZE: usize = 24 << 20;
const ARCHIVE: &str = "platform/i86pc/boot_archive";

/// Writes a guest's files below a folder.
fn write_out(guest: &dyn Tree, path: &str, to: &Path) {
    for entry in guest.entries(path).unwrap() {
        let (inner, target) =
            (format!("{}/{}", path.trim_end_matches('/'), entry.name), to.join(&entry.name));
        match entry.meta.kind {
            Kind::Directory => {
                fs::create_dir_all(&target).unwrap();
                write_out(guest, &inner, &target);
            }
            Kind::Symlink => symlink(guest.read_link(&inner).unwrap(), target).unwrap(),
            _ => fs::write(target, guest.read_all(&inner, 1 << 20).unwrap()).unwrap(),
        }
    }
}

/// The guest, with an archive of what bootadm puts into one.
fn populate(root: &Path) {
    let guest = find("10-1-13-ufs").tree();
    guest.mount("vtoc:0", "/").unwrap();
    write_out(&guest, "/", root);
    let inside = root.parent().unwrap().join("archive");
    for path in ["boot/solaris/bootenv.rc", "etc/path_to_inst", "etc/driver_aliases", "etc/name_to_major"] {
        fs::create_dir_all(inside.join(path).parent().unwrap()).unwrap();
        fs::copy(root.join(path), inside.join(path)).unwrap();
    }
    let (archive, inside) = (root.join(ARCHIVE), inside.to_str().unwrap().to_owned());
    tool(
        "genisoimage",
        &["-quiet", "-dlrDJN", "-relaxed-filenames", "-o", archive.to_str().unwrap(), &inside],
    );
    // What may differ between the archive and the system: only what it lists is changed in both.
    fs::write(root.join("boot/solaris/filelist.safe"), "etc/path_to_inst\n").unwrap();
}

/// A label of the second sector (illumos, `sys/dklabel.h`): a root of so many bytes in slice 0, the partition in slice 2.
fn label(sectors: usize, root: usize) -> Vec<u8> {
    let mut label = vec![0; SECTOR];
    put_u32(&mut label, 12, 0x600d_deee);
    put_u32(&mut label, 16, 1);
    put_u16(&mut label, 28, SECTOR as u16);
    put_u16(&mut label, 30, 16);
    for (slice, tag, first, length) in [(0, 2, ROOT, root / SECTOR), (2, 5, 0, sectors)] {
        put_u16(&mut label, 72 + slice * 12, tag);
        put_u32(&mut label, 72 + slice * 12 + 4, first as u32);
        put_u32(&mut label, 72 + slice * 12 + 8, length as u32);
    }
    put(&mut label, 328, b"DEFAULT cyl 128 alt 2 hd 16 sec 4");
    put_u16(&mut label, 508, 0xdabe);
    let sum = label.chunks(2).fold(0, |sum, half| sum ^ u16::from_le_bytes([half[0], half[1]]));
    put_u16(&mut label, 510, sum);
    label
}

fn disk(path: &Path, root: &[u8]) {
    let sectors = ROOT + root.len() / SECTOR + 64;
    fs::File::create(path).unwrap().set_len(((PARTITION + sectors) * SECTOR) as u64).unwrap();
    let mut sfdisk = Command::new("/sbin/sfdisk").arg("-q").arg(path).stdin(Stdio::piped()).spawn().unwrap();
    let table = format!("label: dos\nstart={PARTITION},type=bf,bootable\n");
    sfdisk.stdin.take().unwrap().write_all(table.as_bytes()).unwrap();
    assert!(sfdisk.wait().unwrap().success());
    let mut bytes = fs::read(path).unwrap();
    put(&mut bytes, (PARTITION + 1) * SECTOR, &label(sectors, root.len()));
    put(&mut bytes, (PARTITION + ROOT) * SECTOR, root);
    fs::write(path, bytes).unwrap();
}

fn wherry(verb: &str, disk: &Path, more: &[&str]) -> Output {
    let mut command = program();
    command.arg(verb).arg(format!("raw:{}", disk.display())).args(more);
    command.output().unwrap()
}

#[test]
fn a_solaris_on_ufs_is_adapted_to_ide() {
    let image = sun_images::make(sun_images::find("x86"), populate);
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("disk.raw");
    disk(&source, &fs::read(&image.path).unwrap());
    let before = fs::read(&source).unwrap();

    let to = format!("kvm:{}", folder.path().join("out").display());
    let wishes = ["machine=i440fx", "disk-bus=ide", "nic-model=e1000", "format=raw"];
    let wishes = wishes.iter().flat_map(|wish| ["--wish", wish]);
    let words: Vec<&str> = ["--to", &to, "--verify", "--output", "json"].into_iter().chain(wishes).collect();
    let done = wherry("migrate", &source, &words);
    assert!(done.status.success(), "{} {}", text(&done.stdout), text(&done.stderr));
    let plan = &serde_json::from_slice::<Value>(&done.stdout).unwrap()["plan"];
    assert_eq!(plan["operating-system"]["family"], "solaris", "{plan}");
    let edits = plan["edits"].as_array().unwrap();
    let edited = |path: &str| edits.iter().any(|edit| edit["object"] == path);
    for path in [
        "/etc/vfstab",
        "/boot/grub/menu.lst",
        "/etc/path_to_inst",
        "/dev/dsk/c0d0s0",
        "/platform/i86pc/boot_archive",
    ] {
        assert!(edited(path), "{path} in {edits:?}");
    }
    assert!(fs::read(&source).unwrap() == before, "the source is as it was");

    let made = fs::read_dir(folder.path().join("out")).unwrap().map(|entry| entry.unwrap().path());
    let made = made.into_iter().find(|path| path.extension().is_some_and(|end| end == "raw")).unwrap();
    // Counted by the second reader: every fragment, inode and sum.
    let bytes = fs::read(&made).unwrap()[(PARTITION + ROOT) * SECTOR..][..SIZE].to_vec();
    Raw { bytes, big: false }.check();
    let copied = folder.path().join("copied");
    let copy = wherry("cp", &made, &["/", copied.to_str().unwrap()]);
    assert!(copy.status.success(), "{}", text(&copy.stderr));
    let table = fs::read_to_string(copied.join("etc/vfstab")).unwrap();
    assert!(table.contains("/dev/dsk/c0d0s0") && !table.contains("c1t0d0"), "{table}");
    let menu = fs::read_to_string(copied.join("boot/grub/menu.lst")).unwrap();
    assert!(menu.contains("-B bootpath=\"/pci@0,0/pci-ide@1,1/ide@0/cmdk@0,0:a\""), "{menu}");
    // In the archive the numbers of the old devices are gone as well.
    let archive = copied.join(ARCHIVE);
    let told = tool("isoinfo", &["-R", "-i", archive.to_str().unwrap(), "-x", "/etc/path_to_inst"]);
    assert!(told.starts_with("#path_to_inst_bootstrap_1"), "{told}");
}

/// A root pool that zfs-fuse made (`fixtures/solaris-zfs.sh`): its files stay as they are, its labels are told the new place.
#[test]
fn the_labels_of_a_root_pool_say_where_its_disk_is_then() {
    let folder = tempfile::tempdir().unwrap();
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/fixtures/solaris-zfs.zst");
    let slice = folder.path().join("slice");
    tool("zstd", &["-q", "-d", "--long=27", packed.to_str().unwrap(), "-o", slice.to_str().unwrap()]);
    let (source, pool) = (folder.path().join("disk.raw"), fs::read(&slice).unwrap());
    disk(&source, &pool);
    let to = format!("kvm:{}", folder.path().join("out").display());
    let words = [
        "--to",
        &to,
        "--wish",
        "disk-bus=ahci",
        "--wish",
        "machine=q35",
        "--wish",
        "nic-model=e1000",
        "--wish",
        "format=raw",
        "--output",
        "json",
    ];
    let done = wherry("migrate", &source, &words);
    let answer: Value =
        serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{}", text(&done.stderr)));
    let plan = &answer["plan"];
    assert_eq!(plan["operating-system"]["family"], "solaris", "{plan}");
    let edits = plan["edits"].as_array().unwrap();
    let edit = edits.iter().find(|edit| edit["action"] == "relabel").unwrap_or_else(|| panic!("{plan}"));
    assert_eq!(edit["object"], "rpool");
    let after = edit["after"].as_str().unwrap();
    assert!(after.contains("phys-path /pci@0,0/"), "{after}");
    assert!(done.status.success(), "{} {}", plan["concerns"], text(&done.stderr));
    let made = fs::read(folder.path().join("out/sol.raw")).unwrap();
    let pool_then = &made[(PARTITION + ROOT) * SECTOR..][..pool.len()];
    // The lists of the four labels, 16 KiB behind each label's start.
    let label = 256 << 10;
    let list = |at: usize| at + (16 << 10)..at + (128 << 10);
    let place = after.split("phys-path ").nth(1).unwrap().lines().next().unwrap().as_bytes();
    for at in [0, label, pool.len() - 2 * label, pool.len() - label] {
        let list = list(at);
        assert!(pool_then[list.clone()].windows(place.len()).any(|window| window == place), "label at {at}");
        let uberblocks = list.end..at + label;
        assert!(pool_then[uberblocks.clone()] == pool[uberblocks], "what is behind the list stays, at {at}");
    }
}
