//! A definition adapter that misbehaves as the first byte of its file says.

use wherry_sdk::definition::{Digest, Disk, Machine, Member, Place};
use wherry_sdk::{Blob, Fact, MachineDefinition, Range, Result};

/// The misbehaviour.
pub struct Hostile;

impl MachineDefinition for Hostile {
    fn companions(word: &str, _name: &str) -> Vec<String> {
        match word {
            "away" => vec!["../etc/passwd".into()],
            "many" => (0..1000).map(|number| number.to_string()).collect(),
            _ => Vec::new(),
        }
    }

    fn read(_word: &str, files: &[(String, Box<dyn Blob>)], _options: &[Fact]) -> Result<Machine> {
        let Some((_, file)) = files.first() else { return Ok(machine(Vec::new(), &[])) };
        let size = file.size();
        let good = || member(Place::Beside("a.vmdk".into()), "sha256", 64);
        let within = |offset, length| member(Place::Within(Range { offset, length }), "sha1", 40);
        Ok(match file.read(0, 1)?.first() {
            Some(b'a') => machine(vec![member(Place::Beside("../../etc/passwd".into()), "sha1", 40)], &[]),
            Some(b'A') => machine(vec![member(Place::Beside("/etc/shadow".into()), "sha1", 40)], &[]),
            Some(b'b') => machine(vec![within(size, 1)], &[]),
            Some(b'B') => machine(vec![within(u64::MAX, 2)], &[]),
            Some(b'd') => machine(vec![good()], &[1]),
            Some(b'D') => machine(vec![good()], &[0, 0]),
            Some(b'h') => machine(vec![member(Place::Beside("a".into()), "md5", 32)], &[]),
            Some(b'H') => machine(vec![member(Place::Beside("a".into()), "sha256", 63)], &[]),
            Some(b'm') => machine((0..5000).map(|_| good()).collect(), &[]),
            Some(b't') => Machine { name: Some("x".repeat(8 << 20)), ..machine(Vec::new(), &[]) },
            _ => machine(vec![good(), within(0, size)], &[0, 1]),
        })
    }
}

fn member(at: Place, algorithm: &str, digits: usize) -> Member {
    let digest = Digest { algorithm: algorithm.into(), hex: "0".repeat(digits) };
    Member { name: "a".into(), at, digests: vec![digest] }
}

fn machine(members: Vec<Member>, disks: &[u32]) -> Machine {
    let disk =
        |member: &u32| Disk { member: *member, format: "raw".into(), capacity: None, facts: Vec::new() };
    Machine {
        name: None,
        cpus: None,
        memory_mib: None,
        firmware: None,
        members,
        disks: disks.iter().map(disk).collect(),
        nics: Vec::new(),
        facts: Vec::new(),
        concerns: Vec::new(),
    }
}

wherry_sdk::register_machine_definition!(Hostile, "../adapter.toml");
