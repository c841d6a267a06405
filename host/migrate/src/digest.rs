//! Digests of files, as manifests have them: read once, in order, for any number of algorithms.

use crate::{Error, Result};
use block::Disk;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use std::sync::Arc;

/// Bytes that are read at once.
const PIECE: u64 = 1 << 20;

/// A file and what it has to hash to.
#[derive(Clone)]
pub(crate) struct Checked {
    /// For messages.
    pub name: String,
    pub disk: Arc<dyn Disk>,
    /// Algorithm (`sha1`, `sha256`, `sha512`) and lower-case hexadecimal digits.
    pub digests: Vec<(String, String)>,
}

/// One computation.
enum Sum {
    One(Sha1),
    Two(Sha256),
    Five(Sha512),
}

impl Sum {
    fn new(algorithm: &str) -> Result<Self> {
        match algorithm {
            "sha1" => Ok(Self::One(Sha1::new())),
            "sha256" => Ok(Self::Two(Sha256::new())),
            "sha512" => Ok(Self::Five(Sha512::new())),
            other => Err(Error::failed(format!("this host does not compute the digest {other}"))),
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::One(sum) => sum.update(bytes),
            Self::Two(sum) => sum.update(bytes),
            Self::Five(sum) => sum.update(bytes),
        }
    }

    fn hex(self) -> String {
        let bytes = match self {
            Self::One(sum) => sum.finalize().to_vec(),
            Self::Two(sum) => sum.finalize().to_vec(),
            Self::Five(sum) => sum.finalize().to_vec(),
        };
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The digests of all bytes; `told` hears of every MiB, and may stop it.
pub(crate) fn digests(
    disk: &dyn Disk,
    algorithms: &[&str],
    told: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Vec<String>> {
    let mut sums = algorithms.iter().map(|one| Sum::new(one)).collect::<Result<Vec<_>>>()?;
    let (mut at, length) = (0, disk.length());
    let mut piece = vec![0; PIECE.min(length) as usize];
    while at < length {
        let bytes = &mut piece[..PIECE.min(length - at) as usize];
        disk.read_at(at, bytes)?;
        sums.iter_mut().for_each(|sum| sum.add(bytes));
        at += bytes.len() as u64;
        told(at)?;
    }
    Ok(sums.into_iter().map(Sum::hex).collect())
}

impl Checked {
    /// An error if a digest is another.
    pub(crate) fn check(&self, told: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        if self.digests.is_empty() {
            return Ok(());
        }
        let algorithms: Vec<&str> = self.digests.iter().map(|(algorithm, _)| algorithm.as_str()).collect();
        let found = digests(self.disk.as_ref(), &algorithms, told)?;
        for ((algorithm, said), found) in self.digests.iter().zip(found) {
            if *said != found {
                return Err(Error::failed(format!(
                    "{}: its {algorithm} is {found}, and the manifest says {said}: it was changed or damaged on its way; \
                     fetch it again, or say ,manifest=ignore behind the path if you trust it",
                    self.name
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::MemoryDisk;

    #[test]
    fn digests_are_those_of_the_standard() {
        // FIPS 180-2, appendices A.1, B.1, C.1: "abc".
        let disk = Arc::new(MemoryDisk::new(*b"abc"));
        let found = digests(disk.as_ref(), &["sha1", "sha256", "sha512"], &mut |_| Ok(())).unwrap();
        assert_eq!(found[0], "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert!(found[1].starts_with("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
        assert!(found[2].starts_with("ddaf35a193617abacc417349ae204131") && found[2].len() == 128);
        let checked = |hex: &str| {
            let digests = vec![("sha1".to_owned(), hex.to_owned())];
            Checked { name: "a".into(), disk: disk.clone(), digests }.check(&mut |_| Ok(()))
        };
        assert!(checked(&found[0]).is_ok());
        let refused = checked(&"0".repeat(40)).unwrap_err();
        assert!(
            refused.message.contains("its sha1 is a9993e") && refused.message.contains("a: "),
            "{refused}"
        );
        assert!(digests(disk.as_ref(), &["md5"], &mut |_| Ok(())).is_err());
    }
}
