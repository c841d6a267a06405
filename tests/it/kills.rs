//! `wherry sync` by the built program, killed at any moment and repeated.

use crate::guest::noise;
use crate::{built, components, text};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
const SIZE: usize = 24 * MIB;
/// What a copy begins with that is not complete.
const MARK: &[u8] = b"wherry: an incomplete copy\n";
/// Copies that end before they could be killed, for each kill, are no more than this.
const ENDED_MOST: u64 = 4;

/// Xorshift: repeatable by seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

/// A folder with a disk, an archive that can have it, and an older copy.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let mut disk = noise(SIZE);
        disk[5 * MIB..11 * MIB].fill(0);
        std::fs::write(place.path("disk"), disk).unwrap();
        std::fs::write(place.path("key"), [5; 64]).unwrap();
        place.good(&["archive", "init", &place.name("archive"), "--chunk-size", "64K"]);
        place
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
    fn raw(&self, name: &str) -> String {
        format!("raw:{}", self.name(name))
    }
    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }
    fn command(&self, words: &[&str]) -> Command {
        let cache = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/test-cache");
        let mut command = Command::new(built().join("wherry"));
        command.env("WHERRY_ADAPTERS", components()).env("XDG_CACHE_HOME", cache);
        command.env("WHERRY_KEY_FILE", self.path("key")).args(words);
        command
    }
    fn good(&self, words: &[&str]) -> String {
        let shown = self.command(words).output().unwrap();
        assert!(shown.status.success(), "{words:?}: {}{}", text(&shown.stdout), text(&shown.stderr));
        text(&shown.stdout)
    }
    /// Writes somewhere; now and then the disk also gets another length.
    fn change(&self, random: &mut Random) {
        let disk = File::options().write(true).open(self.path("disk")).unwrap();
        for _ in 0..1 + random.below(20) {
            let piece = vec![random.below(256) as u8; 1 + random.below(200_000) as usize];
            disk.write_all_at(&piece, random.below((SIZE - MIB) as u64)).unwrap();
        }
        if random.below(4) == 0 {
            disk.set_len(SIZE as u64 - 512 * random.below(1000)).unwrap();
        }
        disk.sync_all().unwrap();
    }
}

/// Kills that are asked for, else a number that suits every run of the tests.
fn kills() -> u64 {
    std::env::var("WHERRY_TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(30)
}

/// Brings `copy` up to date from what `source` says, in runs of which `kills` are killed. What is there after each is the old copy
/// as it was, marked as incomplete, or complete; and what a run that was not killed leaves is complete.
fn torment(place: &Place, source: &dyn Fn() -> String, seed: u64) {
    let (mut random, mut killed, mut ended, mut marked, mut complete) = (Random(seed), 0, 0, 0, 0);
    let copy = place.raw("copy");
    let (mut old, mut from, mut wanted) = (place.bytes("copy"), source(), place.bytes("disk"));
    let (kills, started) = (kills(), Instant::now());
    while killed < kills {
        let words = ["sync", &from, "--to", &copy, "--checkpoint", "0.01", "--limit-rate", "150M"];
        let mut command = place.command(&words);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(random.below(350)));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        // It was killed, or it did its work: nothing that an earlier run has left was in its way.
        let done = output.status.success();
        assert!(done || output.status.code().is_none(), "{}", text(&output.stderr));
        let there = place.bytes("copy");
        let (is_marked, is_complete) = (there.starts_with(MARK), there == wanted);
        assert!(is_marked || is_complete || there == old, "a copy in between looks like a whole disk");
        assert!(is_complete || !done, "a copy that was said to be complete is not");
        killed += u64::from(!done);
        ended += u64::from(done);
        marked += u64::from(is_marked);
        complete += u64::from(is_complete && !done);
        // The disk goes on to change, also while its copy is half-made.
        if is_complete || random.below(6) == 0 {
            old = if is_complete { there } else { old };
            place.change(&mut random);
            (from, wanted) = (source(), place.bytes("disk"));
        }
    }
    println!(
        "{killed} kills in {:?}: {marked} copies marked, {complete} complete; {ended} runs ended before",
        started.elapsed()
    );
    assert!(marked >= kills / 10 && ended <= kills * ENDED_MOST, "{marked} marked, {ended} ended");
    place.good(&["sync", &from, "--to", &copy, "--verify"]);
    assert!(place.bytes("copy") == wanted);
    let left = std::fs::read_dir(place.0.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("wherry")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_copy_of_a_disk_survives_kills() {
    let place = Place::new();
    place.good(&["convert", &place.raw("disk"), "--to", &place.raw("copy")]);
    place.change(&mut Random(8));
    torment(&place, &|| place.raw("disk"), 9);
}

#[test]
fn a_copy_of_a_snapshot_survives_kills() {
    let place = Place::new();
    let archive = place.name("archive");
    let snapshot = || {
        let said =
            place.good(&["capture", &place.raw("disk"), "--to", &archive, "--name", "m", "--output", "json"]);
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        // By its id: two of one second are not told apart by time.
        format!("snapshot:{archive}#{}", said["id"].as_str().unwrap())
    };
    place.good(&["convert", &snapshot(), "--to", &place.raw("copy")]);
    place.change(&mut Random(18));
    torment(&place, &snapshot, 19);
}
