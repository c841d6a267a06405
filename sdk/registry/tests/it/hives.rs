//! Hives to read: a small one by hand, and what hivex makes of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use wherry_registry::{Hive, Key, Kind};

pub const BASE: usize = 4096;

/// XOR of the base block's words.
pub fn seal(hive: &mut [u8]) {
    let sum =
        hive[..508].chunks_exact(4).fold(0, |sum, word| sum ^ u32::from_le_bytes(word.try_into().unwrap()));
    hive[508..512].copy_from_slice(&sum.to_le_bytes());
}

/// A hive with a root key and nothing in it.
pub fn empty(minor: u32) -> Vec<u8> {
    let mut hive = vec![0; 2 * BASE];
    let mut put = |at: usize, bytes: &[u8]| hive[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"regf");
    for (at, word) in [(4, 7), (8, 7), (20, 1), (24, minor), (32, 1), (36, 32), (40, 4096), (44, 1)] {
        put(at, &u32::to_le_bytes(word));
    }
    put(BASE, b"hbin");
    put(BASE + 8, &4096u32.to_le_bytes());
    // The root: a cell of 96 bytes, and behind it its security.
    put(BASE + 32, &(-96i32).to_le_bytes());
    put(BASE + 36, b"nk\x2c\0");
    for (at, word) in
        [(16, u32::MAX), (28, u32::MAX), (32, u32::MAX), (40, u32::MAX), (44, 128), (48, u32::MAX)]
    {
        put(BASE + 36 + at, &word.to_le_bytes());
    }
    put(BASE + 36 + 72, &4u16.to_le_bytes());
    put(BASE + 36 + 76, b"ROOT");
    let security = [
        1, 0, 4, 0x80, 20, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 52, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0,
        0, 32, 2, 0, 0, 1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 32, 2, 0, 0, 2, 0, 8, 0, 0, 0, 0, 0,
    ];
    put(BASE + 128, &(-88i32).to_le_bytes());
    put(BASE + 132, b"sk");
    for (at, word) in [(4, 128), (8, 128), (12, 1), (16, security.len() as u32)] {
        put(BASE + 132 + at, &u32::to_le_bytes(word));
    }
    put(BASE + 132 + 20, &security);
    put(BASE + 216, &(4096i32 - 216).to_le_bytes());
    seal(&mut hive);
    hive
}

/// `text` of a `.reg` file, merged into a hive by hivex.
pub fn merged(hive: &[u8], text: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (path, reg) = (folder.path().join("hive"), folder.path().join("a.reg"));
    std::fs::write(&path, hive).unwrap();
    let text = with_parents(text);
    std::fs::write(&reg, format!("Windows Registry Editor Version 5.00\n\n{text}\n")).unwrap();
    let prefix = ["--merge", "--prefix", "HKEY_LOCAL_MACHINE"];
    run("hivexregedit", &[&prefix[..], &[text_of(&path), text_of(&reg)]].concat());
    std::fs::read(path).unwrap()
}

/// hivex wants every key's parent before it, and an empty line between keys.
fn with_parents(text: &str) -> String {
    let (mut known, mut all) = (BTreeSet::new(), String::new());
    for line in text.lines() {
        if let Some(path) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            all += "\n";
            for (at, _) in path.match_indices('\\').skip(1) {
                if known.insert(path[..at].to_owned()) {
                    all += &format!("[{}]\n\n", &path[..at]);
                }
            }
            known.insert(path.to_owned());
        }
        all += line;
        all += "\n";
    }
    all
}

fn text_of(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let done = Command::new(program).args(arguments).output();
    let done =
        done.unwrap_or_else(|e| panic!("{program} (Debian packages libwin-hivex-perl, reglookup): {e}"));
    assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// Every key and value: path, kind and bytes; as far as it can be read.
pub fn dump(hive: &mut Hive<Vec<u8>>) -> wherry_sdk::Result<Vec<String>> {
    let (mut lines, root) = (Vec::new(), hive.root()?);
    let mut pending: Vec<(String, Key, usize)> = vec![(String::new(), root, 0)];
    while let Some((path, key, depth)) = pending.pop() {
        // A hive that goes in circles ends here.
        if depth > 40 || lines.len() > 200_000 {
            return Err(wherry_sdk::Error::corrupt(0, "too deep, or too much"));
        }
        lines.push(format!("{path} class {:?}", hive.class(&key)?));
        for value in hive.values(&key)? {
            lines.push(format!("{path} `{}` {:?} {:?}", value.name, value.kind, hive.data(&value)?));
        }
        let subkeys = hive.subkeys(&key)?;
        pending.extend(subkeys.into_iter().map(|next| (format!("{path}\\{}", next.name), next, depth + 1)));
    }
    lines.sort();
    Ok(lines)
}

/// A hive as hivex exports it: how many keys, and the lines that `dump` has for values.
pub fn exported(hive: &[u8]) -> (usize, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hive");
    std::fs::write(&path, hive).unwrap();
    let text =
        run("hivexregedit", &["--export", "--prefix", "P", "--max-depth", "2000", text_of(&path), "\\"]);
    let (mut keys, mut lines, mut key) = (0, Vec::new(), String::new());
    for line in text.split(|byte| *byte == b'\n') {
        // It writes what needs no more than a byte a letter as Latin-1.
        let line = String::from_utf8(line.to_vec())
            .unwrap_or_else(|bytes| bytes.as_bytes().iter().map(|byte| char::from(*byte)).collect());
        if let Some(path) = line.strip_prefix("[P\\").and_then(|line| line.strip_suffix(']')) {
            keys += 1;
            key = if path.is_empty() { String::new() } else { format!("\\{path}") };
        } else if let Some((name, data)) = line.rsplit_once('=') {
            let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or("");
            let name = name.replace("\\\"", "\"").replace("\\\\", "\\");
            let (kind, bytes) = kind_and_bytes(data);
            lines.push(format!("{key} `{name}` {:?} {bytes:?}", Kind(kind)));
        }
    }
    lines.sort();
    (keys, lines)
}

/// `dword:00000001` or `hex(3):01,02`.
fn kind_and_bytes(data: &str) -> (u32, Vec<u8>) {
    let hex = |text: &str| u32::from_str_radix(text, 16).unwrap();
    if let Some(number) = data.strip_prefix("dword:") {
        return (4, hex(number).to_le_bytes().to_vec());
    }
    let (kind, bytes) = data.strip_prefix("hex(").and_then(|rest| rest.split_once("):")).unwrap();
    let bytes = bytes.split(',').filter(|byte| !byte.is_empty());
    (hex(kind), bytes.map(|byte| hex(byte) as u8).collect())
}

/// How many keys and values reglookup finds.
pub fn looked_up(hive: &[u8]) -> (usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hive");
    std::fs::write(&path, hive).unwrap();
    let lines = String::from_utf8(run("reglookup", &["-H", text_of(&path)])).unwrap();
    let keys = lines.lines().filter(|line| line.contains(",KEY,")).count();
    (keys, lines.lines().count() - keys)
}
