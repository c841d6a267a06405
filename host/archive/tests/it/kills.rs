//! Programs that are killed at any moment: this test starts itself as a child that captures, brings a machine up to date or
//! prunes, kills it, and looks whether everything that was promised is still there.

use crate::machine::*;
use crate::s3::server;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tempfile::{tempdir, tempdir_in};
use wherry_archive::{Archive, Options, PruneOptions, Retention, Snapshot, VerifyOptions};

/// Says to a child what to do: `prune`, or one of `CAPTURES` with `MACHINE TIME SEED`.
const ORDER: &str = "WHERRY_TEST_ORDER";
const PLACE: &str = "WHERRY_TEST_PLACE";
/// Without a parent; compared with the parent; told what changed since the parent.
const CAPTURES: [&str; 3] = ["capture", "sync", "sync-changed"];
const MACHINES: u64 = 3;
/// Programs that write at once.
const CLIENTS: u64 = 20;
/// One child of so many is not killed.
const UNDISTURBED: u64 = 10;
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
        how if CAPTURES.contains(&how) => {
            let number = |at: usize| words[at].parse::<u64>().unwrap();
            bring(&archive, how, (number(1), number(2), number(3)));
        }
        "prune" => {
            let retention = Retention { last: KEEP, ..Default::default() };
            let options = PruneOptions { retention, dry_run: false, unused_percent: 5.0 };
            archive.prune(&options, &AtomicBool::new(false), &|_, _| {}).unwrap();
        }
        other => panic!("{other}"),
    }
}

fn bring(archive: &Archive, how: &str, (machine, time, seed): (u64, u64, u64)) {
    let machine = format!("m{machine}");
    let parent = match how {
        "capture" => None,
        _ => archive.snapshots().unwrap().into_iter().rfind(|each| each.machine == machine),
    };
    let disk = content(seed);
    let mut source = source("disk", &disk);
    source.changed = parent.as_ref().filter(|_| how == "sync-changed").map(|parent| changes(parent, &disk));
    let mut about = about(&machine, time);
    about.description["seed"] = seed.into();
    let made = archive.capture(&[source], &about, parent.as_ref(), &Options::default(), &|_| {});
    println!("\ncommitted {}", made.unwrap().id);
}

/// Where a disk differs from the parent's, as something that kept count of writes would know it: by 10,000 bytes.
fn changes(parent: &Snapshot, disk: &[u8]) -> Vec<Range<u64>> {
    let before = content(parent.description["seed"].as_u64().unwrap());
    let pieces = before.chunks(10_000).zip(disk.chunks(10_000)).zip((0..).step_by(10_000));
    pieces.filter(|((one, other), _)| one != other).map(|(_, at)| at..at + 10_000).collect()
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
    let (mut promised, mut killed, mut turn) = (Promised::default(), 0, 1);
    let (mut counts, mut full, started) = (BTreeMap::new(), BTreeMap::new(), Instant::now());
    while killed < kills {
        turn += 1;
        let dice = draw(turn, 1000);
        let (machine, seed) = (dice % MACHINES, draw(turn + 7, 64));
        let how = if dice >= 700 { "prune" } else { CAPTURES[(dice / MACHINES % 3) as usize] };
        let order = match how {
            "prune" => how.to_owned(),
            _ => format!("{how} {machine} {turn} {seed}"),
        };
        // Now and then one comes to its end: nothing blocks it, and it says how long that takes now.
        let long = full.get(how).filter(|_| !turn.is_multiple_of(UNDISTURBED));
        let delay = long.map(|long: &Duration| long.mul_f64(draw(turn + 13, 1100) as f64 / 1000.0));
        let begun = Instant::now();
        let (committed, was_killed) = child(place, &order, delay);
        if delay.is_none() {
            full.insert(how, begun.elapsed());
        }
        if let Some(id) = committed {
            promised.0.entry(machine).or_default().push((id, seed));
        } else if how != "prune" {
            // Committed or not, nobody was told: if it is there it is newer than what was promised.
            let machine_name = format!("m{machine}");
            let found = archive(place).snapshots().unwrap().into_iter().find(|each| each.time == turn);
            if let Some(found) = found.filter(|each| each.machine == machine_name) {
                promised.0.entry(machine).or_default().push((found.id, seed));
            }
        }
        killed += u64::from(was_killed);
        *counts.entry(how).or_insert(0) += u64::from(was_killed);
        if turn.is_multiple_of(check_every) {
            promised.check(place);
        }
    }
    promised.check(place);
    // Nothing blocks the next run, and what was left half-done is in nobody's way.
    child(place, "prune", None);
    promised.check(place);
    sound(place);
    let all: usize = promised.0.values().map(Vec::len).sum();
    println!("{place}: kills {counts:?}, {all} snapshots promised, in {:?}", started.elapsed());
    assert!(all > kills as usize / 20, "only {all} captures came to an end");
    assert!(counts.len() == 1 + CAPTURES.len() || kills < 50, "{counts:?}");
}

/// `CLIENTS` at once, each with a machine of its own and disks that overlap; half of them are killed, and one prunes in
/// every second round. The first and the last round are undisturbed.
fn clients(place: &str, rounds: u64) {
    let (mut promised, mut killed, mut long) = (Promised::default(), 0, Duration::ZERO);
    let started = Instant::now();
    for round in 1..=rounds {
        let calm = round == 1 || round == rounds;
        let run = |client: u64| {
            let how = CAPTURES[((client + round) % 3) as usize];
            let (seed, dice) = (draw(100 * round + client, 64), draw(100 * round + client + 50_000, 1000));
            let prunes = client == 0 && round % 2 == 0;
            let order = if prunes { "prune".into() } else { format!("{how} {client} {round} {seed}") };
            let delay = (!calm && client % 2 == 1).then(|| long.mul_f64(dice as f64 / 1000.0));
            (client, seed, child(place, &order, delay))
        };
        let begun = Instant::now();
        let ended: Vec<_> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || run(client))).collect();
            running.into_iter().map(|client| client.join().unwrap()).collect()
        });
        long = if calm { begun.elapsed() } else { long };
        let untold = archive(place).snapshots().unwrap();
        for (client, seed, (committed, was_killed)) in ended {
            killed += u64::from(was_killed);
            let own = untold.iter().find(|each| each.time == round && each.machine == format!("m{client}"));
            // Told or not: what is there must be whole, and what was told must be there.
            let id = committed.or(own.map(|own| own.id.clone()));
            promised.0.entry(client).or_default().extend(id.map(|id| (id, seed)));
        }
        promised.check(place);
    }
    child(place, "prune", None);
    promised.check(place);
    sound(place);
    let all: usize = promised.0.values().map(Vec::len).sum();
    println!(
        "{place}: {CLIENTS} clients, {rounds} rounds, {killed} killed, {all} snapshots, in {:?}",
        started.elapsed()
    );
    assert!(killed >= (rounds - 2) * CLIENTS / 8, "only {killed} were killed");
}

fn sound(place: &str) {
    let deep = VerifyOptions { deep: true, ..Default::default() };
    let verified = archive(place).verify(&deep, &AtomicBool::new(false), &|_, _| {}).unwrap();
    assert!(verified.is_sound(), "{verified:?}");
}

fn create(place: &str) -> &str {
    Archive::create(wherry_archive::open(place).unwrap(), &small(), Some(&key()), 1).unwrap();
    place
}

/// What the environment asks for, else a number that suits every run of the tests.
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(usual)
}

fn kills(usual: u64) -> u64 {
    number("WHERRY_TEST_KILLS", usual)
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
    let said = server().run("kills::on_a_server", &[(PLACE, server().address("kills"))]).unwrap();
    println!("{said}");
}

/// In the environment of the server.
#[test]
fn clients_on_a_server() {
    let (Ok(place), Err(_)) = (std::env::var(PLACE), std::env::var(ORDER)) else { return };
    clients(create(&place), number("WHERRY_TEST_ROUNDS", 4));
}

#[test]
fn twenty_clients_on_a_server_lose_nothing() {
    let said = server().run("kills::clients_on_a_server", &[(PLACE, server().address("clients"))]).unwrap();
    println!("{said}");
}
