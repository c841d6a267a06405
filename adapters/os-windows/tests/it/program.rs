//! Small real programs: PE images of one section, with a signature or without.

/// `IMAGE_FILE_HEADER.Machine`.
pub const I386: u16 = 0x14c;
pub const AMD64: u16 = 0x8664;

/// Names in signatures that Windows accepts in its kernel.
pub const MICROSOFT: &str = "Microsoft Windows Hardware Compatibility Publisher";
pub const CROSS: &str = "Microsoft Code Verification Root";

const ALIGNMENT: usize = 0x200;

/// A native driver (Microsoft, "PE Format") with one section that holds `text`.
pub fn unsigned(machine: u16, text: &str) -> Vec<u8> {
    let wide = machine != I386;
    let code = text.as_bytes();
    let mut bytes = b"MZ".to_vec();
    bytes.resize(0x3c, 0);
    bytes.extend(0x40_u32.to_le_bytes());
    bytes.extend(b"PE\0\0");
    let optional = if wide { 240_u16 } else { 224 };
    let flags = if wide { 0x22_u16 } else { 0x102 };
    for number in [machine, 1, 0, 0, 0, 0, 0, 0, optional, flags] {
        bytes.extend(number.to_le_bytes());
    }
    let mut long = |all: &[u32]| bytes.extend(all.iter().flat_map(|number| number.to_le_bytes()));
    let (head, size) = (ALIGNMENT as u32, code.len().next_multiple_of(ALIGNMENT) as u32);
    // Magic and linker, code and data, entry, bases.
    long(&[if wide { 0x20b } else { 0x10b }, size, 0, 0, 0x1000, 0x1000]);
    long(if wide { &[0x10000, 0] } else { &[0, 0x10000] });
    // Alignments, versions, sizes, subsystem NATIVE, stack and heap, directories.
    long(&[0x1000, ALIGNMENT as u32, 6, 0, 6, 0, 0x2000, head, 0, 1]);
    long(&vec![0; if wide { 9 } else { 5 }]);
    long(&[16]);
    long(&[0; 32]);
    bytes.extend(b".text\0\0\0");
    let section = [code.len() as u32, 0x1000, size, head, 0, 0, 0, 0x6000_0020];
    bytes.extend(section.iter().flat_map(|number: &u32| number.to_le_bytes()));
    bytes.resize(ALIGNMENT, 0);
    bytes.extend(code);
    bytes.resize(ALIGNMENT + size as usize, 0);
    bytes
}

/// The same with a signature, of which nothing but what the adapter looks at is real: an algorithm and a name.
pub fn signed(machine: u16, text: &str, signature: &[u8]) -> Vec<u8> {
    let mut bytes = unsigned(machine, text);
    let (start, length) = (bytes.len() as u32, (8 + signature.len()) as u32);
    let entry = 0x40 + 24 + if machine == I386 { 96 } else { 112 } + 4 * 8;
    bytes[entry..entry + 4].copy_from_slice(&start.to_le_bytes());
    bytes[entry + 4..entry + 8].copy_from_slice(&length.next_multiple_of(8).to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend([0, 2, 2, 0]);
    bytes.extend(signature);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// What stands for a signature by `name`, with digests by SHA-1 or SHA-2.
pub fn signature(name: &str, sha2: bool) -> Vec<u8> {
    let algorithm: &[u8] =
        if sha2 { b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01" } else { b"\x06\x05\x2b\x0e\x03\x02\x1a" };
    [b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", algorithm, name.as_bytes()].concat()
}

/// A driver that every Windows of these processors loads: signed by Microsoft, by SHA-1.
pub fn driver(machine: u16, text: &str) -> Vec<u8> {
    signed(machine, text, &signature(MICROSOFT, false))
}
