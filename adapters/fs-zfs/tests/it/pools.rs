//! The pools in `fixtures` (its README tells how they were made), each with what the real driver saw in it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use wherry_sdk::testing::{FileBlob, run};
use wherry_sdk::volume::Segment;
use wherry_zfs::Label;

/// What the driver saw of one object: kind, mode, owner, time, size, names, content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub kind: String,
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: i64,
    pub size: u64,
    pub links: u32,
    /// SHA-256 of a file, target of a link.
    pub content: String,
    pub attributes: BTreeMap<String, String>,
}

/// Copies what is not zero.
fn copy(from: &File, to: &File, piece: &Segment) {
    let mut chunk = vec![0; 64 << 10];
    for within in (0..piece.length).step_by(chunk.len()) {
        let chunk = &mut chunk[..(64 << 10).min(piece.length - within) as usize];
        from.read_exact_at(chunk, piece.offset + within).unwrap();
        if chunk.iter().any(|byte| *byte != 0) {
            to.write_all_at(chunk, piece.logical + within).unwrap();
        }
    }
}

/// An unpacked fixture.
pub struct Pool {
    directory: TempDir,
    /// Its devices.
    pub devices: Vec<PathBuf>,
}

impl Pool {
    /// Unpacks one.
    pub fn unpack(name: &str) -> Self {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/fixtures/{name}.tar.zst"));
        run(Command::new("tar").args(["--zstd", "-xSf"]).arg(packed).arg("-C").arg(directory.path()));
        let device = |number: usize| directory.path().join(number.to_string());
        let devices = (0..).map(device).take_while(|path| path.exists()).collect();
        Self { directory, devices }
    }

    /// A name for a further file.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Joins devices as volume-zfs does it, without those that `left_out` names.
    pub fn joined(&self, left_out: &[usize]) -> PathBuf {
        let mut members = Vec::new();
        for (number, path) in self.devices.iter().enumerate().filter(|(number, _)| !left_out.contains(number))
        {
            let blob = FileBlob::open(path).unwrap();
            let label = Label::read(&blob, 0).unwrap().unwrap();
            members.push(((label.tree.id, label.place().unwrap()), number, label));
        }
        members.sort_by_key(|(place, ..)| *place);
        let path = self.beside("joined");
        let joined = File::create(&path).unwrap();
        let mut end = 0;
        for (_, number, label) in members {
            let device = File::open(&self.devices[number]).unwrap();
            for piece in label.pieces(0, device.metadata().unwrap().len(), end).unwrap() {
                end = piece.logical + piece.length;
                joined.set_len(end).unwrap();
                copy(&device, &joined, &piece);
            }
        }
        path
    }

    /// A metaslab list of zdb.
    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.beside("seen").join(name)).unwrap_or_default()
    }

    /// What the driver saw, by path from the mount point on.
    pub fn seen(&self) -> BTreeMap<String, Seen> {
        let mut all: BTreeMap<String, Seen> = BTreeMap::new();
        let path = |name: &str| name.strip_prefix('.').unwrap().to_owned();
        for line in self.text("stat").lines() {
            let fields: Vec<&str> = line.split('|').collect();
            let number = |at: usize| fields[at].parse::<u64>().unwrap();
            let seen = Seen {
                kind: fields[1].trim_start_matches("regular empty ").trim_start_matches("regular ").into(),
                mode: u32::from_str_radix(fields[2], 8).unwrap(),
                owner: (number(3) as u32, number(4) as u32),
                mtime: number(5) as i64,
                size: number(6),
                links: number(7) as u32,
                ..Seen::default()
            };
            all.insert(path(fields[0]), seen);
        }
        for line in self.text("sums").lines() {
            let (sum, name) = line.split_once("  ").unwrap();
            all.get_mut(&path(name)).unwrap().content = sum.into();
        }
        for line in self.text("links").lines() {
            let (name, target) = line.split_once('|').unwrap();
            all.get_mut(&path(name)).unwrap().content = target.into();
        }
        let mut of = String::new();
        for line in self.text("attributes").lines() {
            if let Some(name) = line.strip_prefix("# file: ") {
                of = if name == "." { String::new() } else { format!("/{name}") };
            } else if let Some((name, value)) = line.split_once('=') {
                let value = value.strip_prefix("0x").unwrap_or_default();
                all.get_mut(&of).unwrap().attributes.insert(name.into(), value.into());
            }
        }
        all
    }
}
