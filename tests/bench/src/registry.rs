//! A large hive, made and edited natively: time, and what is read of it.

use crate::table::median;
use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;
use wherry_registry::{Hive, Kind, Storage, data};
use wherry_sdk::{Error, ErrorKind};

/// Values of a component, and components of a product.
const VALUES: u64 = 6;
const COMPONENTS: u64 = 40;

/// A hive in a file.
struct OnDisk(File, u64);

impl Storage for OnDisk {
    fn size(&self) -> u64 {
        self.1
    }
    fn read(&self, offset: u64, length: u32) -> wherry_sdk::Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        let read = self.0.read_exact_at(&mut bytes, offset);
        read.map(|()| bytes).map_err(|e| Error::new(ErrorKind::Io, e.to_string()))
    }
}

fn told(e: Error) -> anyhow::Error {
    anyhow!(e.message)
}

fn product(number: u64, component: u64) -> String {
    format!(r"Microsoft\Windows\CurrentVersion\Installer\Product{number:05}\Component{component:04}")
}

/// A SOFTWARE hive of at least `mib` MiB; how many products it has.
fn make(mib: u64) -> Result<(Vec<u8>, u64)> {
    let mut hive = Hive::empty(5).map_err(told)?;
    hive.quiet();
    let text = data::sz(r"C:\Program Files\Vendor\Product\Component\file.dll");
    let each = COMPONENTS * VALUES * 170;
    let products = (mib << 20).div_ceil(each);
    for number in 0..products {
        for component in 0..COMPONENTS {
            let path = product(number, component);
            for value in 0..VALUES {
                hive.set(&path, &format!("Value {value}"), Kind::SZ, &text).map_err(told)?;
            }
        }
    }
    Ok((hive.bytes().map_err(told)?, products))
}

/// What adapting a guest does to this hive: some keys all over it, a few values each.
fn edit(path: &Path, products: u64) -> Result<(f64, u64, usize)> {
    let begun = Instant::now();
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut hive = Hive::open(OnDisk(file, size), &[]).map_err(told)?;
    hive.set_time(0x01dc_0000_0000_0000);
    for number in 0..40 {
        let path = product(number * products / 40, 7);
        hive.set(&path, "Added", Kind::DWORD, &data::dword(1)).map_err(told)?;
        hive.set(&format!(r"{path}\New"), "", Kind::SZ, &data::sz("new")).map_err(told)?;
        hive.unset(&path, "Value 3").map_err(told)?;
    }
    let taken = hive.take(r"HKEY_LOCAL_MACHINE\SOFTWARE").map_err(told)?;
    let written = taken.patches.iter().map(|patch| patch.bytes.len()).sum();
    Ok((begun.elapsed().as_secs_f64(), hive.reads(), written))
}

/// Measures and prints.
pub fn bench(folder: &Path, mib: u64, rounds: usize) -> Result<Value> {
    let begun = Instant::now();
    let (bytes, products) = make(mib)?;
    let made = begun.elapsed().as_secs_f64();
    let path = folder.join("SOFTWARE");
    std::fs::write(&path, &bytes)?;
    let runs = (0..rounds).map(|_| edit(&path, products)).collect::<Result<Vec<_>>>()?;
    let (_, reads, written) = runs.first().copied().unwrap_or_default();
    let seconds = median(runs.iter().map(|run| run.0));
    println!(
        "a hive of {} MiB: made in {made:.2} s; 120 edits in {:.1} ms, {reads} reads of 64 KiB, {written} bytes of patches",
        bytes.len() >> 20,
        1000.0 * seconds
    );
    Ok(json!({
        "bytes": bytes.len(),
        "made-seconds": made,
        "edit-seconds": seconds,
        "reads": reads,
        "patched-bytes": written,
    }))
}
