//! The files of a package: the descriptor, its manifest, and where the others are. Names from inside are compared with
//! names, and never lead anywhere.

use crate::container::{Entry, entries};
use crate::manifest::Manifest;
use wherry_sdk::definition::{Member, Place};
use wherry_sdk::{Blob, Concern, Error, ErrorKind, READ_MOST, Range, Result, Severity, concern};

/// A descriptor has some KiB, with a licence text some hundred.
const DESCRIPTOR_MOST: u64 = 4 << 20;
const MANIFEST_MOST: u64 = 1 << 20;

/// An opened package.
pub struct Package {
    /// The descriptor's name.
    pub name: String,
    /// Its bytes.
    pub descriptor: Vec<u8>,
    /// What was odd so far.
    pub concerns: Vec<Concern>,
    at: Range,
    manifest: Option<Manifest>,
    /// None: files beside the descriptor.
    members: Option<Vec<Entry>>,
}

impl Package {
    /// A descriptor beside its files.
    pub fn beside(name: &str, file: &dyn Blob, companions: &[(String, Box<dyn Blob>)]) -> Result<Self> {
        let at = Range { offset: 0, length: file.size() };
        let descriptor = whole(file, &at, DESCRIPTOR_MOST).map_err(|e| e.within(name))?;
        if wherry_sdk::bytes::field(&descriptor, 257, 5) == b"ustar" {
            let message = format!("{name} is a container, not a descriptor; name it as ova:{name}");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let mut package =
            Self { name: name.into(), descriptor, concerns: Vec::new(), at, manifest: None, members: None };
        if let Some((name, file)) = companions.first() {
            let range = Range { offset: 0, length: file.size() };
            package.check_by(&whole(file.as_ref(), &range, MANIFEST_MOST).map_err(|e| e.within(name))?);
        }
        Ok(package.complete())
    }

    /// All of it in one tar file; the first `.ovf` is the descriptor.
    pub fn container(file: &dyn Blob) -> Result<Self> {
        let start = file.read(0, file.size().min(5) as u32)?;
        if start.starts_with(b"<") || start.starts_with(b"\xef\xbb\xbf<") {
            let message = "this is a descriptor, not a container; name it as ovf:...";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let members = entries(file)?;
        let plain = |name: &str| !name.contains(['/', '\\']);
        let ends = |entry: &&Entry, end: &str| {
            entry.regular && plain(&entry.name) && entry.name.to_ascii_lowercase().ends_with(end)
        };
        let mut descriptors = members.iter().filter(|entry| ends(entry, ".ovf"));
        let Some(first) = descriptors.next().cloned() else {
            let message = "the container has no descriptor (*.ovf) at its top";
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        let mut concerns = Vec::new();
        if let Some(other) = descriptors.next() {
            let message =
                format!("the container has another descriptor, {}; {} is read", other.name, first.name);
            concerns.push(concern(Severity::Warning, "ovf.several-descriptors", message, None));
        }
        concerns.extend(outside(&members));
        let stem = first.name.get(..first.name.len() - 4).unwrap_or_default();
        let own = |entry: &&Entry| entry.regular && entry.name == format!("{stem}.mf");
        let manifest = members.iter().find(own).or_else(|| members.iter().find(|entry| ends(entry, ".mf")));
        let manifest = manifest.map(|entry| whole(file, &entry.range, MANIFEST_MOST)).transpose()?;
        let descriptor = whole(file, &first.range, DESCRIPTOR_MOST)?;
        let (at, name) = (first.range, first.name);
        let mut package = Self { name, descriptor, concerns, at, manifest: None, members: Some(members) };
        if let Some(bytes) = manifest {
            package.check_by(&bytes);
        }
        Ok(package.complete())
    }

    fn check_by(&mut self, manifest: &[u8]) {
        let (manifest, concerns) = Manifest::parse(manifest);
        self.manifest = Some(manifest);
        self.concerns.extend(concerns);
    }

    fn complete(mut self) -> Self {
        if self.manifest.is_none() {
            let message = "there is no manifest, so nothing shows whether the files arrived unchanged";
            self.concerns.push(concern(Severity::Information, "ovf.no-manifest", message, None));
        }
        let signed = |entry: &Entry| entry.name.ends_with(".cert");
        if self.members.iter().flatten().any(signed) {
            let message = "the package is signed; the signature is not checked here";
            self.concerns.push(concern(Severity::Information, "ovf.signature", message, None));
        }
        self
    }

    /// The descriptor as a member.
    pub fn own(&self) -> Member {
        self.member(&self.name, Place::Within(self.at))
    }

    /// The file that the descriptor calls `href`, with its length where that is known.
    pub fn file(&self, href: &str) -> Result<(Member, Option<u64>)> {
        let decoded = decoded(href);
        let refuse = |what: &str| {
            let next = "only files of the package are read";
            Err(Error::new(ErrorKind::Denied, format!("{href:?} {what}; {next}")))
        };
        let plain =
            |name: &str| !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0']);
        if !plain(href) || !plain(&decoded) {
            return refuse("is no plain name");
        }
        let Some(members) = &self.members else {
            return Ok((self.member(&decoded, Place::Beside(decoded.clone())), None));
        };
        let found = |name: &str| members.iter().filter(|entry| entry.name == name).collect::<Vec<_>>();
        let exact = found(href);
        let matching = if exact.is_empty() { found(&decoded) } else { exact };
        match matching.as_slice() {
            [] => Err(Error::new(ErrorKind::NotFound, format!("{href:?} is not in the container"))),
            [one] if one.regular => {
                Ok((self.member(&one.name, Place::Within(one.range)), Some(one.range.length)))
            }
            [_] => refuse("is a link, a device or a directory in the container"),
            _ => Err(Error::new(ErrorKind::Corrupt, format!("{href:?} is in the container more than once"))),
        }
    }

    fn member(&self, name: &str, at: Place) -> Member {
        let digests = self.manifest.as_ref().map(|manifest| manifest.of(name)).unwrap_or_default();
        Member { name: name.into(), at, digests }
    }

    /// A warning if there is a manifest that lacks this file.
    pub fn gap(&self, member: &Member) -> Option<Concern> {
        let name = &member.name;
        let message = format!("the manifest lacks {name:?}, so nothing shows whether it arrived unchanged");
        let gap = self.manifest.is_some() && member.digests.is_empty();
        gap.then(|| concern(Severity::Warning, "ovf.no-digest", message, None))
    }
}

/// Members that could not be unpacked safely; they are ignored.
fn outside(members: &[Entry]) -> Option<Concern> {
    let odd = |entry: &&Entry| !entry.regular || entry.name.contains(['/', '\\']) || entry.name == "..";
    let first = members.iter().find(odd)?;
    let count = members.iter().filter(odd).count();
    let message = format!(
        "the container has {count} members that are no plain files at its top, such as {:?}; they are ignored",
        first.name.chars().take(80).collect::<String>()
    );
    Some(concern(Severity::Warning, "ovf.odd-member", message, None))
}

fn whole(file: &dyn Blob, range: &Range, most: u64) -> Result<Vec<u8>> {
    if range.length > most {
        let message = format!("{} bytes, more than the {most} that such a file has", range.length);
        return Err(Error::new(ErrorKind::Limit, message));
    }
    let mut bytes = Vec::with_capacity(range.length as usize);
    while (bytes.len() as u64) < range.length {
        let done = bytes.len() as u64;
        let length = (range.length - done).min(u64::from(READ_MOST));
        bytes.extend(file.read(range.offset.saturating_add(done), length as u32)?);
    }
    Ok(bytes)
}

/// A reference is a URI, in which a blank may be `%20` (RFC 3986, section 2.1).
fn decoded(href: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(href.len()), href.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| href.to_owned())
}
