//! Scripts for nash: what is loaded, when, and what is refused, with scripts that nobody would write.

use crate::golden::image;
use crate::initramfs_guest::{filter, reason, segment, unpack};
use crate::modules::*;
use os_linux::initramfs::{ModuleTree, Need, Outcome, plan};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use tempfile::TempDir;
use wherry_sdk::Result;

const RELEASE: &str = "2.6.18-398.el5";
const HEAD: &str =
    "#!/bin/nash\n\nmount -t proc /proc /proc\nmkblkdevs\ninsmod /lib/scsi_mod.ko \ninsmod /lib/sd_mod.ko \n";
const TAIL: &str =
    "mkblkdevs\nlvm vgscan\nmkrootdev -t ext3 -o defaults,ro /dev/sda1\nmount /sysroot\nswitchroot\n";

struct Modules(BTreeMap<String, Vec<u8>>);

impl ModuleTree for Modules {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.0.get(path).cloned())
    }
}

fn kernel() -> Kernel {
    Kernel { release: RELEASE, sets: vec![SCSI, VIRTIO, ATA, LSI] }
}

fn base(init: &str) -> Vec<u8> {
    let [scsi, disk] = ["scsi_mod", "sd_mod"].map(|name| kernel().file(name));
    image(&[
        ("init", init.as_bytes()),
        ("bin/nash", b""),
        ("lib/scsi_mod.ko", &scsi),
        ("lib/sd_mod.ko", &disk),
    ])
}

fn look(image: &[u8], wanted: &[&str]) -> Outcome {
    let modules = Modules(kernel().files(|_| true).into_iter().collect());
    plan(&Need { release: RELEASE, image: &image, wanted, modules: &modules }).unwrap()
}

/// What the image's script loads after its extension, in order, and where the root is looked for.
fn script(base: &[u8], segment: &[u8]) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    unpack(&filter(Command::new("gzip").arg("-dc"), base), folder.path());
    let zeros = segment.iter().take_while(|byte| **byte == 0).count();
    unpack(&segment[zeros..], folder.path());
    let init = folder.path().join("init");
    assert_eq!(std::fs::metadata(&init).unwrap().permissions().mode() & 0o777, 0o755);
    let text = std::fs::read_to_string(init).unwrap();
    let line = |line: &str| {
        let path = line.strip_prefix("insmod /lib/").map(|path| path.trim().to_owned());
        if let Some(path) = &path {
            assert!(folder.path().join("lib").join(path).exists(), "{path}");
        }
        path.or_else(|| ["mkblkdevs", "lvm vgscan"].contains(&line).then(|| line.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

#[test]
fn drivers_come_before_what_makes_the_nodes() {
    let base = base(&format!("{HEAD}{TAIL}"));
    let grown = segment(look(&base, &["virtio_pci", "virtio_blk"]));
    assert_eq!(grown.added, ["virtio", "virtio_ring", "virtio_pci", "virtio_blk"]);
    let own = ["virtio.ko", "virtio_ring.ko", "virtio_pci.ko", "virtio_blk.ko"];
    let expected =
        [&["mkblkdevs", "scsi_mod.ko", "sd_mod.ko"][..], &own, &["mkblkdevs", "lvm vgscan"]].concat();
    assert_eq!(script(&base, &grown.bytes), expected);
    // what is there is not loaded again, and the second time nothing is missing
    let whole = [base.clone(), grown.bytes].concat();
    assert!(matches!(look(&whole, &["virtio_blk", "virtio_pci", "sd_mod"]), Outcome::Sufficient));
    let more = segment(look(&whole, &["mptspi", "sd_mod"]));
    assert_eq!(more.added, ["scsi_transport_spi", "mptbase", "mptscsih", "mptspi"]);
}

#[test]
fn a_driver_that_comes_too_late_or_is_not_there_does_not_count() {
    let late = format!("{HEAD}{TAIL}insmod /lib/virtio.ko\n");
    assert!(segment(look(&base(&late), &["virtio_blk"])).added.contains(&"virtio".to_owned()));
    let absent = format!("{HEAD}insmod /lib/virtio.ko\n{TAIL}");
    assert!(segment(look(&base(&absent), &["virtio_blk"])).added.contains(&"virtio".to_owned()));
}

#[test]
fn scripts_that_are_refused() {
    for text in [HEAD.to_owned(), format!("{HEAD}mkrootdev /dev/root\n").replacen("mkblkdevs\n", "", 1)] {
        assert!(
            reason(look(&base(&text), &["virtio_blk"])).contains("makes the device of the root"),
            "{text}"
        );
    }
    let missing = reason(look(&base(&format!("{HEAD}{TAIL}")), &["nvme"]));
    assert_eq!(missing, format!("kernel {RELEASE} has no module nvme"));
}

/// Lines lost, doubled, cut and mixed: either nothing is done, or what is done holds what it promises.
#[test]
fn scripts_that_nobody_would_write() {
    let whole = format!("{HEAD}{TAIL}");
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let (mut grown, mut refused) = (0, 0);
    for case in 0..600usize {
        let mut own: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let (a, b) = (1 + case % (own.len() - 1), 1 + case * 7 % (own.len() - 1));
        match case % 5 {
            0 if case % 3 == 0 => own.retain(|line| *line != lines[a]),
            0 => drop(own.remove(a)),
            1 => own.swap(a, b),
            2 => own[a] = own[b].replace("mod", "\0\u{1F4A9}"),
            3 => own.insert(
                a,
                "insmod\ninsmod /lib/\ninsmod /lib/../virtio.ko\n\t mkblkdevs x\n".repeat(1 + case % 9),
            ),
            _ => own[a] = own[a].chars().take(case % 7).collect(),
        }
        let base = base(&own.concat());
        match look(&base, &["virtio_pci", "virtio_blk", "sd_mod"]) {
            Outcome::Append(segment) => {
                grown += 1;
                let whole = [base, segment.bytes].concat();
                assert!(
                    matches!(look(&whole, &["virtio_pci", "virtio_blk", "sd_mod"]), Outcome::Sufficient),
                    "{case}"
                );
            }
            Outcome::Impossible { .. } => refused += 1,
            Outcome::Sufficient => panic!("{case}: nothing in it loads virtio"),
        }
    }
    assert!(grown > 300 && refused > 5, "{grown} {refused}");
}
