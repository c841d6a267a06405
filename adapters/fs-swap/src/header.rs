//! The first page of a swap area.
//!
//! Sources: Linux, `include/linux/swap.h` (`union swap_header`) and `kernel/power/swap.c` (`struct swsusp_header`); util-linux,
//! `libblkid/src/superblocks/swap.c` (sizes of pages, signatures of images) and `disk-utils/mkswap.c` (what is zero).

use wherry_sdk::bytes::{big, field, little, text};
use wherry_sdk::image::Uuid;
use wherry_sdk::{Blob, Result};

/// Sizes of pages that kernels of any machine have.
const PAGES: [usize; 5] = [4096, 8192, 16384, 32768, 65536];
/// Fewer pages are no swap area.
const PAGES_LEAST: u64 = 10;
/// Where version 1 has its fields: before them there is room for a boot loader.
const FIELDS: usize = 1024;
const VERSION: usize = FIELDS;
const LAST_PAGE: usize = FIELDS + 4;
const BAD_COUNT: usize = FIELDS + 8;
const UUID: usize = FIELDS + 12;
const LABEL: usize = FIELDS + 28;
const LABEL_LENGTH: usize = 16;
const PADDING: usize = LABEL + LABEL_LENGTH;
const BAD_PAGES: usize = FIELDS + 512;
/// Bytes at the page's end that hibernation writes to and leaves behind; the signature is the last of them.
const TAIL: usize = 64;
const SIGNATURE: usize = 10;
const OLD: &[u8] = b"SWAP-SPACE";
const NEW: &[u8] = b"SWAPSPACE2";
/// In place of the signature: a system sleeps in this area.
const IMAGES: [&str; 4] = ["S1SUSPEND", "S2SUSPEND", "ULSUSPEND", "LINHIB0001"];
/// TuxOnIce leaves the signature, and begins the page with this.
const TUX_ON_ICE: &[u8] = b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c";

/// What is known of an area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// 0 or 1.
    pub version: u8,
    /// Bytes of a page.
    pub page: u32,
    /// Bytes of the area; all of the device where the header does not tell, or tells more than there is.
    pub size: u64,
    /// Whether a machine wrote it that is big-endian.
    pub big: bool,
    /// Pages that the device cannot hold.
    pub bad: u64,
    /// None where `mkswap` was told to leave it out.
    pub uuid: Option<Uuid>,
    /// What the area is called.
    pub label: Option<String>,
    /// The sign of a system that sleeps in it.
    pub image: Option<&'static str>,
    /// Whether the page is what `mkswap` writes, but for the end, and nobody sleeps: then nothing behind it is needed.
    pub is_free: bool,
}

/// The header of a swap area; none if this is not one.
pub fn read(device: &dyn Blob) -> Result<Option<Header>> {
    let length = (PAGES[4] as u64).min(device.size());
    let bytes = device.read(0, length as u32)?;
    let mut found = PAGES.iter().filter_map(|page| parse(field(&bytes, 0, *page), device.size()));
    let Some(mut first) = found.next() else { return Ok(None) };
    // A signature of another page size is from another time.
    first.is_free &= found.next().is_none();
    Ok(Some(first))
}

/// The header that fills `page`, on a device of `device` bytes.
fn parse(page: &[u8], device: u64) -> Option<Header> {
    let length = page.len() as u64;
    if length == 0 || device / length < PAGES_LEAST {
        return None;
    }
    let signature = page.get(page.len() - SIGNATURE..)?;
    let sleeping = IMAGES.into_iter().find(|image| signature.starts_with(image.as_bytes()));
    let image = if page.starts_with(TUX_ON_ICE) { Some("TuxOnIce") } else { sleeping };
    let big_endian =
        [little(page, VERSION, 4), big(page, VERSION, 4)].iter().position(|version| *version == 1);
    let number = |at| if big_endian == Some(1) { big(page, at, 4) } else { little(page, at, 4) };
    let mut header = Header {
        version: 0,
        page: length as u32,
        size: device,
        big: false,
        bad: 0,
        uuid: None,
        label: None,
        image,
        is_free: false,
    };
    let is_new = big_endian.is_some() && number(LAST_PAGE) > 0;
    match signature {
        OLD => return Some(header),
        NEW if is_new => {}
        _ if sleeping.is_some() && is_new => {}
        _ if sleeping.is_some() => return Some(header),
        _ => return None,
    }
    header.version = 1;
    header.big = big_endian == Some(1);
    header.bad = number(BAD_COUNT);
    let told = number(LAST_PAGE).saturating_add(1).saturating_mul(length);
    header.size = told.min(device);
    header.uuid = field(page, UUID, 16).try_into().ok().map(Uuid).filter(|uuid| *uuid != Uuid::NIL);
    header.label = Some(text(field(page, LABEL, LABEL_LENGTH))).filter(|label| !label.is_empty());
    header.is_free = image.is_none() && told <= device && is_plain(page, header.bad);
    Some(header)
}

/// Whether all is zero that `mkswap` leaves so: a file system that was made here later and spared the signature is not.
fn is_plain(page: &[u8], bad: u64) -> bool {
    let zero =
        |from: usize, to: usize| page.get(from..to).is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0));
    let listed = bad.saturating_mul(4).saturating_add(BAD_PAGES as u64);
    let listed = usize::try_from(listed).unwrap_or(usize::MAX);
    zero(0, FIELDS) && zero(PADDING, BAD_PAGES) && zero(listed, page.len() - TAIL)
}
