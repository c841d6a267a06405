//! A metadata area: a header of 512 bytes and a ring buffer of texts; the header's first `raw_locn` says where in the
//! ring the committed one lies (`lib/format_text/layout.h`).

use crate::checksum;
use wherry_sdk::bytes::little;
use wherry_sdk::{Blob, Error, READ_MOST, Range, Result};

const HEADER: u64 = 512;
const MAGIC: &[u8] = b" LVM2 x[5A%r0N*>";
/// `RAW_LOCN_IGNORED`: the tools keep no text here (vgchange --metadatacopies).
const IGNORED: u64 = 1;
/// A thousand logical volumes take about half a MiB; the tools make areas of 1 MiB.
pub const TEXT_MOST: u64 = 8 << 20;

/// The committed text; none where the area holds no volume group or is not used.
pub fn read(device: &dyn Blob, area: &Range) -> Result<Option<Vec<u8>>> {
    let header = device.read(area.offset, HEADER as u32)?;
    let bad = |message: &str| Error::corrupt(area.offset, message);
    if header.get(4..20) != Some(MAGIC) {
        return Err(bad("the metadata area has no header"));
    }
    if u64::from(checksum(header.get(4..).unwrap_or_default())) != little(&header, 0, 4) {
        return Err(bad("the checksum of the metadata area's header is wrong"));
    }
    if little(&header, 20, 4) != 1 {
        return Err(Error::unsupported(format!(
            "version {} of the metadata area is unknown",
            little(&header, 20, 4)
        )));
    }
    if little(&header, 24, 8) != area.offset || little(&header, 32, 8) != area.length {
        return Err(bad("the metadata area's header and the label disagree about its place"));
    }
    let (offset, length) = (little(&header, 40, 8), little(&header, 48, 8));
    if offset == 0 || little(&header, 60, 4) & IGNORED != 0 {
        return Ok(None);
    }
    let text = ring(device, area, offset, length)?;
    if u64::from(checksum(&text)) != little(&header, 56, 4) {
        return Err(bad("the checksum of the metadata text is wrong"));
    }
    Ok(Some(text))
}

/// `length` bytes at `offset` of the area; behind the area's end they go on after its header.
fn ring(device: &dyn Blob, area: &Range, offset: u64, length: u64) -> Result<Vec<u8>> {
    let room = area.length.saturating_sub(HEADER);
    if offset < HEADER || offset >= area.length || length > room {
        let message = format!("a metadata text of {length} bytes at {offset} does not fit its area");
        return Err(Error::corrupt(area.offset, message));
    }
    if length > TEXT_MOST {
        let message = format!("a metadata text of {length} bytes is too long, at most {TEXT_MOST} are read");
        return Err(Error::unsupported(message));
    }
    let first = length.min(area.length - offset);
    let mut text = Vec::with_capacity(length as usize);
    for (from, length) in [(offset, first), (HEADER, length - first)] {
        read_into(device, area.offset + from, length, &mut text)?;
    }
    Ok(text)
}

fn read_into(device: &dyn Blob, from: u64, length: u64, text: &mut Vec<u8>) -> Result<()> {
    let mut done = 0;
    while done < length {
        let piece = (length - done).min(u64::from(READ_MOST));
        text.extend(device.read(from + done, piece as u32)?);
        done += piece;
    }
    Ok(())
}
