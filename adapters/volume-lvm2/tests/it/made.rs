//! Physical volumes made by hand, with right checksums, so that the parsers behind those get something to read.

/// Where the only metadata area lies.
pub const AREA: usize = 4096;
/// Its length: it ends where `pe_start = 2048` lets the data begin.
pub const AREA_LENGTH: usize = (1 << 20) - AREA;

/// LVM's checksum, bit by bit.
pub fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xf597_a6cf, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// The uuid that `pad` makes of a short name.
pub fn uuid(name: &str) -> String {
    format!("{name:_<32}")
}

/// A physical volume of 2 MiB whose metadata area holds this text, once.
pub fn physical(name: &str, text: &[u8]) -> Vec<u8> {
    let mut disk = vec![0; 2 << 20];
    let text = &text[..text.len().min(AREA_LENGTH - 512)];
    put(&mut disk, 512, b"LABELONE");
    put(&mut disk, 520, &1u64.to_le_bytes());
    put(&mut disk, 532, &32u32.to_le_bytes());
    put(&mut disk, 536, b"LVM2 001");
    put(&mut disk, 544, uuid(name).as_bytes());
    put(&mut disk, 576, &(2u64 << 20).to_le_bytes());
    put(&mut disk, 584, &(1u64 << 20).to_le_bytes());
    put(&mut disk, 616, &(AREA as u64).to_le_bytes());
    put(&mut disk, 624, &(AREA_LENGTH as u64).to_le_bytes());
    put(&mut disk, AREA + 4, b" LVM2 x[5A%r0N*>");
    put(&mut disk, AREA + 20, &1u32.to_le_bytes());
    put(&mut disk, AREA + 24, &(AREA as u64).to_le_bytes());
    put(&mut disk, AREA + 32, &(AREA_LENGTH as u64).to_le_bytes());
    put(&mut disk, AREA + 40, &512u64.to_le_bytes());
    put(&mut disk, AREA + 48, &(text.len() as u64).to_le_bytes());
    put(&mut disk, AREA + 512, text);
    repair(&mut disk);
    disk
}

fn put(disk: &mut [u8], at: usize, bytes: &[u8]) {
    disk[at..at + bytes.len()].copy_from_slice(bytes);
}

fn get(disk: &[u8], at: usize) -> usize {
    u64::from_le_bytes(disk[at..at + 8].try_into().expect("eight bytes")) as usize
}

/// Makes the checksums of label, metadata area and text right, as far as the numbers in them make sense.
pub fn repair(disk: &mut [u8]) {
    if disk.len() < 8192 {
        return;
    }
    let label = checksum(&disk[532..1024]);
    put(disk, 528, &label.to_le_bytes());
    let (offset, length) = (get(disk, AREA + 40), get(disk, AREA + 48));
    let area = get(disk, AREA + 32).min(disk.len() - AREA);
    if (512..area).contains(&offset) && length <= area - 512 {
        let first = length.min(area - offset);
        let mut text = disk[AREA + offset..][..first].to_vec();
        text.extend_from_slice(&disk[AREA + 512..][..length - first]);
        put(disk, AREA + 56, &checksum(&text).to_le_bytes());
    }
    let header = checksum(&disk[AREA + 4..AREA + 512]);
    put(disk, AREA, &header.to_le_bytes());
}

/// A group `vg` of extents of 64 KiB with these physical volumes (16 extents each) and this `logical_volumes` text.
pub fn group(members: &[&str], seqno: u64, logicals: &str) -> String {
    let members: String = (0..)
        .zip(members)
        .map(|(index, name)| {
            let uuid = uuid(name);
            format!(
                "pv{index} {{ id = \"{uuid}\" status = [\"ALLOCATABLE\"] pe_start = 2048 pe_count = 16 }}\n"
            )
        })
        .collect();
    format!(
        "vg {{ id = \"group\" seqno = {seqno} format = \"lvm2\" status = [\"READ\", \"WRITE\"] extent_size = 128\n\
         physical_volumes {{ {members} }}\nlogical_volumes {{ {logicals} }} }}\n\
         contents = \"Text Format Volume Group\"\nversion = 1\n"
    )
}

/// A visible logical volume of these segments, with a uuid that lvm2 accepts.
pub fn logical(name: &str, segments: &[&str]) -> String {
    let letters = name.chars().rev().filter(char::is_ascii_alphanumeric).chain(std::iter::repeat('a'));
    let id: String = letters.take(6).collect();
    let count = segments.len();
    let segments: String =
        (1..).zip(segments).map(|(index, body)| format!("segment{index} {{ {body} }}\n")).collect();
    format!(
        "{name} {{ id = \"{id}-QV02-QM3B-WuKE-D9fj-0WbE-rxDmYv\" status = [\"READ\", \"WRITE\", \"VISIBLE\"]\n\
         flags = [] segment_count = {count} {segments} }}\n"
    )
}

/// An inner volume of one segment.
pub fn hidden(name: &str, segment: &str) -> String {
    logical(name, &[segment]).replace(", \"VISIBLE\"", "")
}

/// A segment's body: extents `start..start + count`, linear on `stripes` or striped by 64 KiB.
pub fn striped(start: u64, count: u64, stripes: &[(&str, u64)]) -> String {
    let list: Vec<String> = stripes.iter().map(|(on, extent)| format!("\"{on}\", {extent}")).collect();
    format!(
        "start_extent = {start} extent_count = {count} type = \"striped\" stripe_count = {} stripe_size = 128 stripes = [{}]",
        stripes.len(),
        list.join(", ")
    )
}
