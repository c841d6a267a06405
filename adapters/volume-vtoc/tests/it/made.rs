//! Labels made by the documents (illumos' `sys/dklabel.h`).

use wherry_sdk::bytes::{be16_at, put, put_u16, put_u32, u16_at};

/// Tag, flag, first sector, sectors.
pub type Slice = (u16, u16, u32, u32);

/// The sector of a label on x86.
pub fn x86(slices: &[Slice]) -> Vec<u8> {
    let mut label = vec![0; 512];
    put_u32(&mut label, 12, 0x600d_deee);
    put_u32(&mut label, 16, 1);
    put(&mut label, 20, b"rootdisk");
    put_u16(&mut label, 28, 512);
    put_u16(&mut label, 30, 16);
    for (slice, at) in slices.iter().zip((72..).step_by(12)) {
        put_u16(&mut label, at, slice.0);
        put_u16(&mut label, at + 2, slice.1);
        put_u32(&mut label, at + 4, slice.2);
        put_u32(&mut label, at + 8, slice.3);
    }
    put(&mut label, 328, b"DEFAULT cyl 128 alt 2 hd 16 sec 4");
    for (at, value) in [(456, 130), (460, 128), (468, 16), (472, 4)] {
        put_u32(&mut label, at, value);
    }
    put_u16(&mut label, 508, 0xdabe);
    seal(&mut label);
    label
}

/// Puts the sum of the other halfwords into a label.
pub fn seal(label: &mut [u8]) {
    // As the sum is an XOR, it is the same in either byte order.
    if be16_at(label, 508) != 0xdabe && u16_at(label, 508) != 0xdabe {
        put_u16(label, 508, 0xdabe);
    }
    put_u16(label, 510, 0);
    let sum = label.chunks(2).fold(0, |sum, half| sum ^ u16_at(half, 0));
    put_u16(label, 510, sum);
}

/// A Solaris partition of `sectors`: a boot block, the label, nothing.
pub fn partition(slices: &[Slice], sectors: usize) -> Vec<u8> {
    let mut bytes = vec![0; sectors * 512];
    put(&mut bytes, 512, &x86(slices));
    bytes
}
