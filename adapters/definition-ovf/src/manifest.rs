//! The manifest: a line `SHA256(name)= hex` for each file. DSP0243 2.1, section 5.1 (`OVF package structure`).

use wherry_sdk::definition::Digest;
use wherry_sdk::{Concern, Severity, concern};

const ALGORITHMS: [(&str, &str, usize); 3] =
    [("SHA1", "sha1", 40), ("SHA256", "sha256", 64), ("SHA512", "sha512", 128)];
const LINES_MOST: usize = 4096;

/// Names and their digests.
#[derive(Default)]
pub struct Manifest(Vec<(String, Digest)>);

impl Manifest {
    /// Lines that make no sense are concerns: what they are about is not checked.
    pub fn parse(bytes: &[u8]) -> (Self, Vec<Concern>) {
        let (mut list, mut odd) = (Vec::new(), Vec::new());
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        for line in lines.take(LINES_MOST) {
            match entry(line) {
                Some(entry) => list.push(entry),
                None => odd.push(line.chars().take(80).collect::<String>()),
            }
        }
        let tell = |line: &String| {
            let message = format!("a line of the manifest is not understood, so it checks nothing: {line}");
            concern(Severity::Warning, "ovf.manifest-line", message, None)
        };
        (Self(list), odd.first().map(tell).into_iter().collect())
    }

    /// All digests of one file.
    pub fn of(&self, name: &str) -> Vec<Digest> {
        self.0.iter().filter(|(other, _)| other == name).map(|(_, digest)| digest.clone()).collect()
    }
}

fn entry(line: &str) -> Option<(String, Digest)> {
    let (left, hex) = line.rsplit_once('=')?;
    let (algorithm, name) = left.trim_end().strip_suffix(')')?.split_once('(')?;
    let word = algorithm.trim().replace('-', "");
    let (_, algorithm, length) =
        ALGORITHMS.into_iter().find(|(other, ..)| word.eq_ignore_ascii_case(other))?;
    let hex = hex.trim().to_ascii_lowercase();
    let sound = hex.len() == length && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    sound.then(|| (name.to_owned(), Digest { algorithm: algorithm.into(), hex }))
}
