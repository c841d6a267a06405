//! Disks as loop devices, and the lvm2 tools confined to them.

use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use volume_lvm2::Lvm2;
use wherry_sdk::testing::FileBlob;
use wherry_sdk::volume::{Layout, Part};
use wherry_sdk::{Blob, VolumeMap};

const MIB: u64 = 1 << 20;

/// Image files under loop devices; both go away with it.
pub struct Lab {
    pub folder: TempDir,
    pub images: Vec<PathBuf>,
    pub loops: Vec<String>,
}

impl Drop for Lab {
    fn drop(&mut self) {
        for device in &self.loops {
            let _ = Command::new("/sbin/losetup").args(["-d", device]).status();
        }
    }
}

impl Lab {
    /// One disk for each size in MiB.
    pub fn new(sizes: &[u64]) -> Self {
        let mut lab = Self { folder: TempDir::new().unwrap(), images: Vec::new(), loops: Vec::new() };
        for (index, size) in sizes.iter().enumerate() {
            let image = lab.folder.path().join(format!("disk{index}"));
            std::fs::File::create(&image).unwrap().set_len(size * MIB).unwrap();
            let device = text(Command::new("/sbin/losetup").args(["--find", "--show"]).arg(&image));
            lab.images.push(image);
            lab.loops.push(device.trim().into());
        }
        lab
    }

    /// An lvm2 command that sees only these disks; its output.
    pub fn lvm(&self, words: &[&str]) -> String {
        let mut lvm = Command::new("/sbin/lvm");
        lvm.args(words).args(["--devices", &self.loops.join(",")]);
        lvm.args(["--config", "activation{udev_sync=0 udev_rules=0} global{event_activation=0}"]);
        lvm.env("LVM_SYSTEM_DIR", self.folder.path()).env("LVM_SUPPRESS_FD_WARNINGS", "1");
        text(&mut lvm)
    }

    /// A group `vg` of extents of 1 MiB on all disks.
    pub fn create(&self) {
        let mut words = vec!["vgcreate", "--quiet", "-s", "1M", "vg"];
        words.extend(self.loops.iter().map(String::as_str));
        self.lvm(&words);
    }

    /// The group's text as the tools write it into a file.
    pub fn backup(&self) -> String {
        let path = self.folder.path().join("vg.txt");
        self.lvm(&["vgcfgbackup", "-f", path.to_str().unwrap(), "vg"]);
        std::fs::read_to_string(path).unwrap()
    }

    /// Gives the group these logical volumes, by way of its text: without device-mapper lvcreate cannot.
    pub fn define(&self, logicals: &str) {
        let text = self.backup();
        let body = text.split("\tlogical_volumes {").next().unwrap().trim_end();
        let body = if text.contains("\tlogical_volumes {") { body } else { body.strip_suffix('}').unwrap() };
        let path = self.folder.path().join("edited.txt");
        std::fs::write(&path, format!("{body}\nlogical_volumes {{\n{logicals}\n}}\n}}\n")).unwrap();
        self.lvm(&["vgcfgrestore", "--force", "--quiet", "-f", path.to_str().unwrap(), "vg"]);
    }

    /// What the adapter finds on the disks.
    pub fn scan(&self) -> Layout {
        scan(&self.images)
    }

    /// Where byte `at` of a logical volume lies, by what `lvs` says of its segments: disk and offset.
    pub fn place(&self, rows: &[Row], at: u64) -> (usize, u64) {
        let row = rows.iter().find(|row| (row.start..row.start + row.length).contains(&at)).unwrap();
        let (within, width) = (at - row.start, row.areas.len() as u64);
        let chunk = if width == 1 { row.length } else { row.stripe };
        let (number, inner) = (within / chunk, within % chunk);
        let (device, extent) = &row.areas[(number % width) as usize];
        let disk = self.loops.iter().position(|known| known == device).unwrap();
        (disk, MIB + extent * MIB + number / width * chunk + inner)
    }

    /// The segments of a logical volume, asked of `lvs`.
    pub fn rows(&self, name: &str) -> Vec<Row> {
        let fields = "seg_start,seg_size,stripe_size,seg_pe_ranges";
        let full = format!("vg/{name}");
        let report = self.lvm(&[
            "lvs",
            "--segments",
            "--noheadings",
            "--units",
            "b",
            "--nosuffix",
            "--separator",
            ";",
            "-o",
            fields,
            &full,
        ]);
        report.lines().filter(|line| line.contains(';')).map(Row::parse).collect()
    }
}

/// One segment as `lvs` reports it, in bytes; areas in extents.
#[derive(Debug)]
pub struct Row {
    pub start: u64,
    pub length: u64,
    stripe: u64,
    areas: Vec<(String, u64)>,
}

impl Row {
    fn parse(line: &str) -> Self {
        let fields: Vec<&str> = line.trim().split(';').collect();
        let number = |index: usize| fields[index].parse().unwrap();
        let area = |range: &str| {
            let (device, extents) = range.split_once(':').unwrap();
            (device.to_string(), extents.split('-').next().unwrap().parse().unwrap())
        };
        let areas = fields[3].split(' ').map(area).collect();
        Self { start: number(0), length: number(1), stripe: number(2), areas }
    }
}

/// What the adapter finds in these files.
pub fn scan(images: &[PathBuf]) -> Layout {
    let blob = |path: &PathBuf| Box::new(FileBlob::open(path).unwrap()) as Box<dyn Blob>;
    Lvm2::scan(&images.iter().map(blob).collect::<Vec<_>>()).unwrap()
}

/// The bytes of a part, read through its segments.
pub fn content(images: &[PathBuf], part: &Part) -> Vec<u8> {
    let files: Vec<Vec<u8>> = images.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let piece = |segment: &wherry_sdk::volume::Segment| {
        files[segment.device as usize][segment.offset as usize..][..segment.length as usize].to_vec()
    };
    part.segments.iter().flat_map(piece).collect()
}

/// Runs a command that must succeed; its output.
pub fn text(command: &mut Command) -> String {
    let output =
        command.output().unwrap_or_else(|e| panic!("{command:?}: {e}; `cargo xtask test` installs it"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// e2fsck finds nothing.
pub fn assert_clean_ext4(path: &Path) {
    text(Command::new("/sbin/e2fsck").args(["-f", "-n"]).arg(path));
}
