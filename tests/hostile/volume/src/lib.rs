//! A volume adapter that misbehaves as the first byte of its device says.

use wherry_sdk::volume::{Layout, Part, Segment};
use wherry_sdk::{Blob, Level, Result, VolumeMap, log, progress};

/// The misbehaviour.
pub struct Hostile;

impl VolumeMap for Hostile {
    fn scan(devices: &[Box<dyn Blob>]) -> Result<Layout> {
        let Some(device) = devices.first() else { return Ok(layout(Vec::new())) };
        let size = device.size();
        let segment = |logical, length, offset| Segment { logical, length, device: 0, offset };
        match device.read(0, 1)?.first() {
            // Using up what is limited.
            Some(b'l') => spin(),
            Some(b'm') => memory_bomb(),
            Some(b'S') => Ok(layout(vec![part(&recurse(1).to_string(), Vec::new())])),
            Some(b'a') => loop {
                device.read(0, 1 << 20)?;
            },
            Some(b'g') => flood(|line| log(Level::Debug, line, &[])),
            Some(b'G') => flood(|line| progress(1, 2, line)),
            Some(b'p') => panic!("a bug in the adapter"),
            // Reaching beyond what was lent.
            Some(b'r') => device.read(size - 1, 2).map(|_| layout(Vec::new())),
            Some(b'R') => device.read(0, u32::MAX).map(|_| layout(Vec::new())),
            Some(b'w') => device.write(0, b"x").map(|()| layout(Vec::new())),
            // Answers that cannot be.
            Some(b's') => Ok(layout(vec![part("bad", vec![segment(0, size, 1)])])),
            Some(b'd') => {
                let other = Segment { device: 7, ..segment(0, 512, 0) };
                Ok(layout(vec![part("bad", vec![other])]))
            }
            Some(b'n') => Ok(layout(vec![part("bad", vec![segment(0, u64::MAX, u64::MAX)])])),
            Some(b'o') => Ok(layout(vec![part("bad", vec![segment(512, 512, 0), segment(0, 512, 512)])])),
            Some(b'h') => Ok(layout(vec![part("bad", vec![segment(0, 512, 0), segment(1024, 512, 512)])])),
            Some(b'z') => Ok(layout(vec![part("bad", vec![segment(0, 0, 0)])])),
            Some(b'D') => Ok(layout(vec![part("twice", Vec::new()), part("twice", Vec::new())])),
            // Answers that are too large.
            Some(b't') => Ok(layout(vec![part(&"x".repeat(8 << 20), Vec::new())])),
            Some(b'T') => {
                let many = (0..1_200_000).map(|number| segment(number, 1, number)).collect();
                Ok(layout(vec![part("bad", many)]))
            }
            Some(b'H') => Ok(layout(vec![part(&"x".repeat(140 << 20), Vec::new())])),
            _ => Ok(layout(Vec::new())),
        }
    }
}

fn layout(parts: Vec<Part>) -> Layout {
    Layout { parts, concerns: Vec::new() }
}

fn part(id: &str, segments: Vec<Segment>) -> Part {
    Part { id: id.into(), kind: "partition".into(), segments, facts: Vec::new() }
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

/// Deeper than any stack. Little of a frame lies in linear memory, whose end would be met first otherwise.
fn recurse(depth: u64) -> u64 {
    if std::hint::black_box(depth) == 0 { 0 } else { recurse(depth + 1).wrapping_add(depth) }
}

fn flood(mut emit: impl FnMut(&str)) -> ! {
    let line = "x".repeat(64 << 10);
    loop {
        emit(&line);
    }
}

wherry_sdk::register_volume_map!(Hostile, "../adapter.toml");
