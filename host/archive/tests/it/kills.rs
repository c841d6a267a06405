//! Programs that are killed at any moment: this test starts itself as a child that captures, prunes or copies, kills it, and
//! looks whether everything that was promised is still there.

use crate::machine::*;
use crate::s3::server;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tempfile::{tempdir, tempdir_in};
use wherry_archive::{Archive, Options, PruneOptions, Retention, VerifyOptions};

/// Says to a child what to do: `capture MACHINE TIME SEED`, `prune`, `repair`.
const ORDER: &str = "WHERRY_TEST_ORDER";
const PLACE: &str = "WHERRY_TEST_PLACE";
const MACHINES: u64 = 3;
/// Snapshots of a machine that a prune keeps.
const KEEP: usize = 2;

fn content(seed: u64) -> Vec<u8> {
    // Neighbours share most of their bytes, so that captures find what prunes remove.
    let mut disk = bytes(900 + seed / 8, 2 * MIB);
    let at = (seed % 8) as usize * 200 * KIB;
    disk[at..at + 100 * KIB].copy_from_slice(&noise(seed, 100 * KIB));
    disk
}

fn archive(place: &str) -> Archive {
    Archive::open(wherry_archive::open(place).unwrap(), Some(&key())).unwrap()
}

/// As a key file: argon2id would take longer than everything else here.
fn key() -> wherry_archive::Secret {
    wherry_archive::Secret::KeyFile(noise(3, 64))
}

/// The child's part; without an order it is a test that does nothing.
#[test]
fn worker() {
    let (Ok(order), Ok(place)) = (std::env::var(ORDER), std::env::var(PLACE)) else { return };
    let archive = archive(&place);
    let words: Vec<&str> = order.split(' ').collect();
    match words[0] {
        "capture" => {
            let number = |at: usize| words[at].parse::<u64>().unwrap();
            let disk = content(number(3));
            let machine = format!("m{}", words[1]);
            let parent = archive.snapshots().unwrap().into_iter().rfind(|each| each.machine == machine);
            let sources = [source("disk", &disk)];
            let about = about(&machine, number(2));
            let made = archive.capture(&sources, &about, parent.as_ref(), &Options::default(), &|_| {});
            println!("\ncommitted {}", made.unwrap().id);
        }
        "prune" => {
            let retention = Retention { last: KEEP, ..Default::default() };
            let options = PruneOptions { retention, dry_run: false, unused_percent: 5.0 };
            archive.prune(&options, &AtomicBool::new(false), &|_, _| {}).unwrap();
        }
        other => panic!("{other}"),
    }
}

/// Runs a child, killed after `delay`; the snapshot that it said was committed.
fn child(place: &str, order: &str, delay: Option<Duration>) -> (Option<String>, bool) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kills::worker", "--nocapture"])
        .env(ORDER, order)
        .env(PLACE, place)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let killed = delay.is_some_and(|delay| {
        while started.elapsed() < delay {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_micros(300));
        }
        child.kill().unwrap();
        true
    });
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let committed = lines.filter_map(|line| line.strip_prefix("committed ").map(String::from)).last();
    let output = child.wait_with_output().unwrap();
    assert!(killed || output.status.success(), "{order}: {}", String::from_utf8_lossy(&output.stderr));
    (committed, killed)
}

/// What must be there: the newest of each machine that were committed.
#[derive(Default)]
struct Promised(BTreeMap<u64, Vec<(String, u64)>>);

impl Promised {
    fn check(&self, place: &str) {
        let archive = archive(place);
        for (machine, list) in &self.0 {
            for (id, seed) in list.iter().rev().take(KEEP) {
                let snapshot = archive.snapshot(id);
                let snapshot = snapshot.unwrap_or_else(|e| panic!("m{machine}: {e}"));
                assert!(read(&archive, &snapshot, 0).unwrap() == content(*seed), "m{machine}: {id}");
            }
        }
    }
}

/// Kills `kills` children; `check_every` so many.
fn torment(place: &str, kills: u64, check_every: u64) {
    let full = {
        let started = Instant::now();
        child(place, "capture 0 1 0", None);
        started.elapsed()
    };
    let (mut promised, mut killed, mut turn) = (Promised::default(), 0, 1);
    while killed < kills {
        turn += 1;
        let dice = draw(turn, 1000);
        let (machine, seed) = (dice % MACHINES, draw(turn + 7, 64));
        let order = match dice {
            700.. => "prune".to_owned(),
            _ => format!("capture {machine} {turn} {seed}"),
        };
        let delay = full.mul_f64(draw(turn + 13, 1200) as f64 / 1000.0);
        let (committed, was_killed) = child(place, &order, Some(delay));
        if let Some(id) = committed {
            promised.0.entry(machine).or_default().push((id, seed));
        } else if order.starts_with("capture") {
            // Committed or not, nobody was told: if it is there it is newer than what was promised.
            let machine_name = format!("m{machine}");
            let found = archive(place).snapshots().unwrap().into_iter().find(|each| each.time == turn);
            if let Some(found) = found.filter(|each| each.machine == machine_name) {
                promised.0.entry(machine).or_default().push((found.id, seed));
            }
        }
        killed += u64::from(was_killed);
        if turn.is_multiple_of(check_every) {
            promised.check(place);
        }
    }
    promised.check(place);
    // Nothing blocks the next run, and what was left half-done is in nobody's way.
    child(place, "prune", None);
    promised.check(place);
    let deep = VerifyOptions { deep: true, ..Default::default() };
    let verified = archive(place).verify(&deep, &AtomicBool::new(false), &|_, _| {}).unwrap();
    assert!(verified.is_sound(), "{verified:?}");
    let all: usize = promised.0.values().map(Vec::len).sum();
    assert!(all > kills as usize / 20, "only {all} captures came to an end");
}

fn create(place: &str) -> &str {
    Archive::create(wherry_archive::open(place).unwrap(), &small(), Some(&key()), 1).unwrap();
    place
}

/// Kills that are asked for, else a number that suits every run of the tests.
fn kills(usual: u64) -> u64 {
    std::env::var("WHERRY_TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(usual)
}

#[test]
fn hundreds_of_kills_lose_nothing() {
    // In memory where there is such a place: what is killed are programs, not the machine.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempdir_in(memory) } else { tempdir() }.unwrap();
    torment(create(folder.path().to_str().unwrap()), kills(500), 25);
}

/// In the environment of the server.
#[test]
fn on_a_server() {
    let (Ok(place), Err(_)) = (std::env::var(PLACE), std::env::var(ORDER)) else { return };
    torment(create(&place), kills(100), 25);
}

#[test]
fn a_hundred_kills_on_a_server_lose_nothing() {
    server().run("kills::on_a_server", &[(PLACE, server().address("kills"))]).unwrap();
}
