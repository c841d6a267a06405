//! What an operator, or the tool or image that he names, says that changed on a disk.

use crate::source::{self, Source};
use crate::{Error, Result};
use block::Ranges;
use runtime::{Adapters, FormatReader};

/// Ranges of one answer.
const PAGE: u32 = 4000;
const HOW: &str = "say bitmap:NAME of a bitmap in the image, or thin-delta:FILE or era-invalidate:BLOCK:FILE with the tool's output, \
                   BLOCK in bytes";

/// What changed on a disk, as `said` (`bitmap:NAME`, `thin-delta:FILE`, `era-invalidate:BLOCK:FILE`) knows it; else as its
/// source knows it.
pub(crate) fn changes(said: Option<&str>, source: &Source, adapters: &Adapters) -> Result<Option<Ranges>> {
    let Some(said) = said else { return Ok(source.changed.clone()) };
    let length = source.disk.length();
    let usage = || Error::usage(format!("`{said}` says no changes: {HOW}"));
    let read = |path: &str| {
        std::fs::read_to_string(path).map_err(|e| Error::failed(format!("cannot read {path}: {e}")))
    };
    let named = |e: block::Error| Error::failed(format!("{said}: {e}"));
    let ranges = match said.split_once(':').ok_or_else(usage)? {
        ("bitmap", name) => marked(name, source, adapters)?,
        ("thin-delta", path) => block::changes::thin_delta(&read(path)?, length).map_err(named)?,
        ("era-invalidate", rest) => {
            let (block, path) = rest.split_once(':').ok_or_else(usage)?;
            let block = block.parse().ok().filter(|block| *block > 0).ok_or_else(usage)?;
            block::changes::era_invalidate(&read(path)?, block, length).map_err(named)?
        }
        _ => return Err(usage()),
    };
    Ok(Some(ranges))
}

/// What was written since a mark in the image was set.
fn marked(mark: &str, source: &Source, adapters: &Adapters) -> Result<Ranges> {
    let (adapter, image) = source::image(&source.name, adapters)?;
    let mut reader = FormatReader::open(adapter, vec![image])?;
    let length = reader.facts()?.virtual_size;
    let (mut all, mut start) = (Vec::new(), 0);
    loop {
        let page = reader.changed(mark, (start, PAGE), length)?;
        let Some(last) = page.last() else { break };
        start = last.offset + last.length;
        all.extend(page.iter().map(|range| range.offset..range.offset + range.length));
    }
    Ok(Ranges::new(all))
}
