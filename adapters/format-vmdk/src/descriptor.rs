//! Descriptors: text, in a file of its own or embedded in a sparse extent (the specification, "The Descriptor File").

use crate::bytes::Checked;
use wherry_sdk::{Error, ErrorKind, Result};

/// Extents that one image may have: 32 TiB of 2 GiB each.
const EXTENTS_MOST: usize = 16 << 10;
/// `parentCID` where there is no parent.
pub(crate) const NO_PARENT: u32 = u32::MAX;

/// What a descriptor says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Descriptor {
    pub(crate) create_type: String,
    pub(crate) cid: Option<u32>,
    pub(crate) parent_cid: Option<u32>,
    /// `parentFileNameHint`
    pub(crate) parent_name: Option<String>,
    pub(crate) lines: Vec<Line>,
    /// All other `key=value`, without quotes.
    pub(crate) values: Vec<(String, String)>,
}

/// One extent: a line such as `RW 4192256 SPARSE "disk-s001.vmdk"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) access: Access,
    pub(crate) sectors: u64,
    pub(crate) kind: Kind,
    /// Empty where the kind has none; None where it is not UTF-8.
    pub(crate) file: Option<String>,
    /// Of a flat extent in its file, in sectors.
    pub(crate) offset: u64,
}

/// What a guest may do with an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    ReadWrite,
    ReadOnly,
    None,
}

/// How an extent is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// FLAT, VMFS: the bytes as they are.
    Flat,
    /// SPARSE, VMFSSPARSE: either hosted or COWD, by the file's magic number.
    Sparse,
    SeSparse,
    Zero,
    /// A raw device, or a word that is not known here.
    Other(String),
}

/// Whether a file begins as a descriptor does: comments, blank lines, then `version=`, as QEMU wants it; or the
/// comment that VMware writes.
pub(crate) fn is_descriptor(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    if head.get(..21).is_some_and(|start| start.eq_ignore_ascii_case(b"# Disk DescriptorFile")) {
        return true;
    }
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with(b"#"));
    first.is_some_and(|line| matches!(line, b"version=1" | b"version=2" | b"version=3"))
}

impl Descriptor {
    /// Reads a descriptor up to its first NUL. Unknown lines are kept or ignored, as VMware does.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut found = Self::default();
        let mut at = 0;
        for line in wherry_sdk::bytes::until_nul(bytes).split(|byte| *byte == b'\n') {
            let here = at;
            at += line.len() as u64 + 1;
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            match Line::parse(line) {
                Some(Ok(line)) => found.lines.push(line),
                Some(Err(what)) => {
                    let text = String::from_utf8_lossy(line);
                    return Err(Error::corrupt(here, format!("the extent line `{}` {what}", short(&text))));
                }
                None => found.take(line),
            }
            if found.lines.len() > EXTENTS_MOST {
                let message = format!("a descriptor of more than {EXTENTS_MOST} extents");
                return Err(Error::new(ErrorKind::Limit, message));
            }
        }
        Ok(found)
    }

    fn take(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let Some((key, value)) = line.split_once('=') else { return };
        let (key, value) = (key.trim(), value.trim());
        let value = value.strip_prefix('"').and_then(|value| value.split('"').next()).unwrap_or(value);
        let cid = || u32::from_str_radix(value, 16).ok();
        match key.to_ascii_lowercase().as_str() {
            "createtype" => self.create_type = value.into(),
            "cid" => self.cid = cid(),
            "parentcid" => self.parent_cid = cid(),
            "parentfilenamehint" => self.parent_name = Some(value.into()),
            _ => self.values.push((key.into(), value.into())),
        }
    }

    /// The value of a key, whatever its case.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        let found = self.values.iter().find(|(known, _)| known.eq_ignore_ascii_case(key));
        found.map(|(_, value)| value.as_str())
    }

    /// Whether this is a difference to another disk.
    pub(crate) fn has_parent(&self) -> bool {
        self.parent_name.is_some() || self.parent_cid.is_some_and(|cid| cid != NO_PARENT)
    }
}

impl Line {
    /// None: no extent line.
    fn parse(line: &[u8]) -> Option<Checked<Self>> {
        let (word, rest) = word(line)?;
        let access = match word {
            b"RW" => Access::ReadWrite,
            b"RDONLY" => Access::ReadOnly,
            b"NOACCESS" => Access::None,
            _ => return None,
        };
        Some(Self::parse_rest(access, rest))
    }

    fn parse_rest(access: Access, rest: &[u8]) -> Checked<Self> {
        let (sectors, rest) = word(rest).ok_or("has no size")?;
        let sectors = decimal(sectors).filter(|sectors| *sectors > 0).ok_or("has a size that is none")?;
        let (kind, rest) = word(rest).ok_or("has no type")?;
        let kind = match kind {
            b"FLAT" | b"VMFS" => Kind::Flat,
            b"SPARSE" | b"VMFSSPARSE" => Kind::Sparse,
            b"SESPARSE" => Kind::SeSparse,
            b"ZERO" => Kind::Zero,
            other => Kind::Other(String::from_utf8_lossy(other).into_owned()),
        };
        let stored = matches!(kind, Kind::Flat | Kind::Sparse | Kind::SeSparse);
        let rest = rest.trim_ascii_start();
        let quoted = rest.strip_prefix(b"\"").and_then(|rest| {
            let end = rest.iter().position(|byte| *byte == b'"')?;
            Some((rest.get(..end)?, rest.get(end + 1..)?))
        });
        let (file, rest) = match quoted {
            Some(found) => found,
            None if stored => return Err("names no file between quotes"),
            None => (&[][..], rest),
        };
        if stored && file.is_empty() {
            return Err("names an empty file");
        }
        let offset = match word(rest) {
            Some((offset, _)) if kind == Kind::Flat => decimal(offset).ok_or("has an offset that is none")?,
            _ => 0,
        };
        let file = String::from_utf8(file.into()).ok();
        Ok(Self { access, sectors, kind, file, offset })
    }
}

/// The first word and what follows it.
fn word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.trim_ascii_start();
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    (end > 0).then(|| line.split_at(end))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The beginning of a text that may be long.
pub(crate) fn short(text: &str) -> String {
    text.chars().take(80).collect()
}
