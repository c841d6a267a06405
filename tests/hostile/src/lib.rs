//! An adapter that misbehaves as the first byte of its device says, for the tests of the sandbox.

use wherry_sdk::volume::{Layout, Part, Segment};
use wherry_sdk::{Blob, Level, Result, VolumeMap, log};

/// The misbehaviour.
pub struct Hostile;

impl VolumeMap for Hostile {
    fn scan(devices: &[Box<dyn Blob>]) -> Result<Layout> {
        let Some(device) = devices.first() else { return Ok(nothing()) };
        let size = device.size();
        match device.read(0, 1)?.first() {
            Some(b'l') => spin(),
            Some(b'm') => memory_bomb(),
            Some(b'p') => panic!("a bug in the adapter"),
            Some(b'r') => device.read(size - 1, 2).map(|_| nothing()),
            Some(b'R') => device.read(0, u32::MAX).map(|_| nothing()),
            Some(b'a') => loop {
                device.read(0, 1 << 20)?;
            },
            Some(b'w') => device.write(0, b"x").map(|()| nothing()),
            Some(b'g') => log_flood(),
            Some(b's') => Ok(outside(size)),
            _ => Ok(nothing()),
        }
    }
}

fn nothing() -> Layout {
    Layout { parts: Vec::new(), concerns: Vec::new() }
}

fn spin() -> ! {
    let mut n = 0u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

fn memory_bomb() -> ! {
    let mut held = Vec::new();
    loop {
        held.push(std::hint::black_box(vec![1u8; 16 << 20]));
    }
}

fn log_flood() -> ! {
    let line = "x".repeat(64 << 10);
    loop {
        log(Level::Debug, &line, &[]);
    }
}

/// A part that reaches beyond its device.
fn outside(size: u64) -> Layout {
    let segment = Segment { logical: 0, length: size, device: 0, offset: 1 };
    let part =
        Part { id: "bad".into(), kind: "partition".into(), segments: vec![segment], facts: Vec::new() };
    Layout { parts: vec![part], concerns: Vec::new() }
}

wherry_sdk::register_volume_map!(Hostile, "../adapter.toml");
