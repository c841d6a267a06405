//! Volumes that cryptsetup makes.

use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::{NamedTempFile, TempDir};
use wherry_sdk::bytes::put;
use wherry_sdk::testing::run;

/// Options for both versions that make keys fast, since nothing here is a secret.
const FIRST: [&str; 4] = ["--type", "luks1", "--pbkdf-force-iterations", "1000"];
const SECOND: [&str; 8] =
    ["--type", "luks2", "--pbkdf-memory", "32", "--pbkdf-force-iterations", "4", "--pbkdf-parallel", "1"];

/// A file that cryptsetup works on.
pub struct Lab {
    folder: TempDir,
}

impl Lab {
    /// A new volume of that version.
    pub fn new(version: u8, options: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let lab = Self { folder };
        fs::File::create(lab.path()).unwrap().set_len(24 << 20).unwrap();
        fs::write(lab.key(), "key").unwrap();
        let fast: &[&str] = if version == 1 { &FIRST } else { &SECOND };
        lab.call("luksFormat", &[fast, options].concat(), &[]);
        lab
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("volume")
    }

    pub fn key(&self) -> String {
        self.folder.path().join("key").display().to_string()
    }

    /// An action of cryptsetup on the volume; what it said.
    pub fn call(&self, action: &str, options: &[&str], more: &[&str]) -> String {
        let mut command = Command::new("/sbin/cryptsetup");
        command.args(["-q", action, "--key-file", &self.key()]).args(options).arg(self.path()).args(more);
        run(&mut command)
    }

    pub fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }
}

/// What cryptsetup says of a header, by the word before it.
pub fn dumped(dump: &str, word: &str) -> Option<String> {
    let line = dump.lines().find_map(|line| line.trim().strip_prefix(word)?.strip_prefix(':'));
    line.map(|value| value.trim().trim_end_matches(" [bytes]").to_owned())
}

/// TYPE, VERSION, UUID and LABEL as blkid has them.
pub fn by_blkid(path: &Path) -> [String; 4] {
    let said = run(Command::new("/sbin/blkid").args(["-p", "-o", "export"]).arg(path));
    let value = |key: &str| {
        let found = said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_default().replace('\\', "")
    };
    ["TYPE", "VERSION", "UUID", "LABEL"].map(value)
}

/// Puts other JSON into both headers of a volume, with right checksums.
pub fn with_json(bytes: &mut [u8], json: &str) {
    use sha2::{Digest, Sha256};
    for at in [0, 16 << 10] {
        let header = &mut bytes[at..at + (16 << 10)];
        header[4096..].fill(0);
        put(header, 4096, json.as_bytes());
        put(header, 448, &[0; 64]);
        let sum = Sha256::digest(&*header);
        put(header, 448, &sum);
    }
}

/// Whether cryptsetup takes these bytes for a volume.
pub fn is_luks(bytes: &[u8]) -> bool {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    Command::new("/sbin/cryptsetup").arg("isLuks").arg(file.path()).status().unwrap().success()
}
