//! What changed on a volume of the device mapper, as `thin_delta` and `era_invalidate` of thin-provisioning-tools (0.9
//! and 1.x) print it. The XML is theirs alone: elements with attributes, no text. A change that is not understood, or an
//! end that is missing, is an error, since a change that is overlooked is a change that is lost.

use crate::{Error, Ranges, Result};

/// What the device mapper counts in, whatever the disk's sectors are.
const SECTOR: u64 = 512;

/// An element's beginning, or its end (`/name`).
struct Tag<'a> {
    name: &'a str,
    attributes: &'a str,
}

impl Tag<'_> {
    /// A number among the attributes; none if there is no such attribute. `end = "8"` has spaces in real output.
    fn number(&self, key: &str) -> Result<Option<u64>> {
        let mut rest = self.attributes;
        while let Some((name, after)) = rest.split_once('=') {
            let quoted = after.trim_start().strip_prefix('"').and_then(|value| value.split_once('"'));
            let Some((value, after)) = quoted else { break };
            if name.trim() == key {
                let number = value.parse().ok();
                let wrong = || Error::new(format!("<{} {key}=\"{value}\">: no number", self.name));
                return number.map(Some).ok_or_else(wrong);
            }
            rest = after;
        }
        Ok(None)
    }

    fn must(&self, key: &str) -> Result<u64> {
        self.number(key)?.ok_or_else(|| Error::new(format!("<{}> has no {key}", self.name)))
    }
}

/// The elements of a document whose outermost one is `root`, which has to end where the text does.
fn tags<'a>(xml: &'a str, root: &str) -> Result<Vec<Tag<'a>>> {
    let mut list = Vec::new();
    let mut rest = xml.trim();
    while let Some(body) = rest.strip_prefix('<') {
        let (body, after) =
            body.split_once('>').ok_or_else(|| Error::new(format!("<{root}> ends within an element")))?;
        let body = body.strip_suffix('/').unwrap_or(body);
        let (name, attributes) = body.split_once(char::is_whitespace).unwrap_or((body, ""));
        list.push(Tag { name, attributes });
        rest = after.trim_start();
    }
    let begins = list.first().is_some_and(|tag| tag.name == root);
    let ends = list.last().is_some_and(|tag| tag.name.strip_prefix('/') == Some(root));
    if !begins || !ends || !rest.is_empty() {
        let what = format!("no complete <{root}> with nothing around it");
        return Err(Error::new(format!("{what}; run the tool again and keep all that it prints")));
    }
    Ok(list)
}

/// Blocks as bytes of a volume of `length` bytes.
struct Blocks {
    size: u64,
    length: u64,
    list: Vec<std::ops::Range<u64>>,
}

impl Blocks {
    /// What lies beyond the volume's end is cut off: its last block may, and so does what was there before it shrank.
    fn push(&mut self, begin: u64, end: u64) -> Result<()> {
        if begin > end {
            return Err(Error::new(format!("changed blocks {begin} to {end} end before they begin")));
        }
        let bytes = |block: u64| block.saturating_mul(self.size).min(self.length);
        self.list.push(bytes(begin)..bytes(end));
        Ok(())
    }
}

fn unknown(name: &str, root: &str) -> Error {
    Error::new(format!("<{name}> within <{root}> says something that is not known here"))
}

/// What differs between two thin volumes, by `thin_delta`'s output (with `--verbose` or without): blocks that only one
/// of them has too. `length`: bytes of the newer volume.
pub fn thin_delta(xml: &str, length: u64) -> Result<Ranges> {
    let mut blocks = Blocks { size: 0, length, list: Vec::new() };
    let mut changed = None;
    for tag in tags(xml, "superblock")? {
        match tag.name {
            "superblock" => {
                let sectors = tag.must("data_block_size")?;
                blocks.size = sectors.saturating_mul(SECTOR);
                if sectors == 0 {
                    return Err(Error::new("<superblock> has blocks of no size"));
                }
            }
            "same" | "different" | "left_only" | "right_only" => {
                changed = Some(tag.name != "same");
                if let (Some(begin), true) = (tag.number("begin")?, tag.name != "same") {
                    blocks.push(begin, begin.saturating_add(tag.must("length")?))?;
                }
            }
            "range" => match changed {
                Some(false) => {}
                Some(true) => {
                    let begin = tag.must("begin")?;
                    blocks.push(begin, begin.saturating_add(tag.must("length")?))?;
                }
                None => return Err(unknown("range", "superblock")),
            },
            "diff" => {}
            end if end.starts_with('/') => changed = None,
            other => return Err(unknown(other, "superblock")),
        }
    }
    Ok(Ranges::new(blocks.list))
}

/// What was written since an era, by `era_invalidate --written-since`. The output does not say how large a block is:
/// `block` is the target's, in bytes. `length`: bytes of the volume.
pub fn era_invalidate(xml: &str, block: u64, length: u64) -> Result<Ranges> {
    if block == 0 {
        return Err(Error::new("blocks of no size"));
    }
    let mut blocks = Blocks { size: block, length, list: Vec::new() };
    for tag in tags(xml, "blocks")? {
        match tag.name {
            // The end is the first block that was not written.
            "range" => blocks.push(tag.must("begin")?, tag.must("end")?)?,
            "block" => {
                let one = tag.must("block")?;
                blocks.push(one, one.saturating_add(1))?;
            }
            "blocks" => {}
            end if end.starts_with('/') => {}
            other => return Err(unknown(other, "blocks")),
        }
    }
    Ok(Ranges::new(blocks.list))
}
