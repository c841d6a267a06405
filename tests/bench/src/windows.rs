//! Inspecting and adapting a Windows with many files and a large SOFTWARE hive, on an NTFS volume that ntfs-3g made.

#[allow(dead_code, missing_docs, clippy::unwrap_used, reason = "the adapter's own tests use all of it")]
#[path = "../../../adapters/os-windows/tests/it/generations.rs"]
mod generations;

use crate::program::run;
use crate::table::median;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use wherry_registry::{Hive, Kind};
use wherry_sdk::Tree;
use wherry_sdk::testing::MemoryTree;

const START: u64 = 1 << 20;
const SIZE: u64 = 3 << 30;
/// Files of a directory.
const EACH: u64 = 200;

fn tool(name: &str, arguments: &[&str]) -> Result<()> {
    let ran =
        Command::new(name).args(arguments).output().with_context(|| format!("{name} is not installed"))?;
    ensure!(ran.status.success(), "{name} {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    Ok(())
}

fn copy_out(tree: &MemoryTree, from: &str, to: &Path) -> Result<()> {
    for entry in tree.entries(from).map_err(|e| anyhow::anyhow!(e.message))? {
        let (inner, outer) = (format!("{}/{}", from.trim_end_matches('/'), entry.name), to.join(&entry.name));
        if entry.meta.kind == wherry_sdk::Kind::Directory {
            fs::create_dir_all(&outer)?;
            copy_out(tree, &inner, &outer)?;
        } else {
            fs::write(&outer, tree.read_all(&inner, 1 << 30).map_err(|e| anyhow::anyhow!(e.message))?)?;
        }
    }
    Ok(())
}

/// A SOFTWARE hive of about so many MiB.
fn software(small: Vec<u8>, mib: u64) -> Result<Vec<u8>> {
    let told = |e: wherry_sdk::Error| anyhow::anyhow!(e.message);
    let mut hive = Hive::open(small, &[]).map_err(told)?;
    hive.quiet();
    // Classes with a few values each, as most of such a hive is.
    for number in 0..mib * 1024 {
        let path = format!(
            r"Classes\Filler{:03}\{{{number:08x}-0000-0000-c000-000000000046}}\InprocServer32",
            number / 1024
        );
        hive.set(&path, "", Kind::EXPAND_SZ, &[b'x'; 500]).map_err(told)?;
        hive.set(&path, "ThreadingModel", Kind::SZ, &[b'B'; 100]).map_err(told)?;
    }
    hive.bytes().map_err(told)
}

/// A disk with one partition that holds a Windows and `files` more files.
fn disk(folder: &Path, files: u64, mib: u64) -> Result<PathBuf> {
    let volume = folder.join("volume");
    File::create(&volume)?.set_len(SIZE - START)?;
    let path = volume.to_str().context("UTF-8")?;
    tool("mkntfs", &["-q", "-F", "-L", "System", "-p", "2048", "-H", "255", "-S", "63", path])?;
    let mounted = folder.join("mounted");
    fs::create_dir(&mounted)?;
    tool("ntfs-3g", &[path, mounted.to_str().context("UTF-8")?])?;
    let filled = fill(&mounted, files, mib);
    tool("umount", &[mounted.to_str().context("UTF-8")?])?;
    filled?;
    let disk = folder.join("disk.raw");
    let target = File::create(&disk)?;
    let mut head = vec![0; 512];
    head[440..444].copy_from_slice(&0x1234_5678_u32.to_le_bytes());
    (head[446], head[450]) = (0x80, 7);
    head[454..458].copy_from_slice(&((START / 512) as u32).to_le_bytes());
    head[458..462].copy_from_slice(&(((SIZE - START) / 512) as u32).to_le_bytes());
    head[510..512].copy_from_slice(&[0x55, 0xaa]);
    target.write_all_at(&head, 0)?;
    target.set_len(SIZE)?;
    tool(
        "dd",
        &[
            "if=".to_owned() + path,
            "of=".to_owned() + disk.to_str().context("UTF-8")?,
            "bs=1M".into(),
            "seek=1".into(),
            "conv=notrunc,sparse".into(),
        ]
        .each_ref()
        .map(String::as_str),
    )?;
    fs::remove_file(volume)?;
    Ok(disk)
}

fn fill(mounted: &Path, files: u64, mib: u64) -> Result<()> {
    let one = generations::find("2016");
    let tree = generations::tree(one);
    tree.mount("part:1", "/").map_err(|e| anyhow::anyhow!(e.message))?;
    copy_out(&tree, "/", mounted)?;
    let hive = mounted.join("Windows/System32/config/SOFTWARE");
    fs::write(&hive, software(fs::read(&hive)?, mib)?)?;
    for number in 0..files {
        let folder = mounted.join(format!("Windows/WinSxS/folder-{:05}", number / EACH));
        if number % EACH == 0 {
            fs::create_dir_all(&folder)?;
        }
        fs::write(folder.join(format!("file-{number:06}.dll")), number.to_le_bytes())?;
    }
    Ok(())
}

/// Measures and prints.
pub fn bench(folder: &Path, files: u64, mib: u64, rounds: usize) -> Result<Value> {
    eprintln!("making an NTFS volume with {files} files and a SOFTWARE hive of {mib} MiB");
    let source = format!("raw:{}", disk(folder, files, mib)?.display());
    let to = format!("kvm:{}", folder.join("machine").display());
    let cache = folder.join("cache");
    run(&["inspect", &source], &cache)?;
    let (mut inspect, mut plan, mut share, mut edits) = (vec![], vec![], vec![], 0);
    for _ in 0..rounds {
        inspect.push(run(&["inspect", &source], &cache)?.0);
        let (seconds, answer) = run(&["plan", &source, "--to", &to, "--name", "bench"], &cache)?;
        plan.push(seconds);
        share.push(answer["adapter-calls"]["seconds"].as_f64().context("adapter-calls.seconds")?);
        edits = answer["plan"]["edits"].as_array().map_or(0, Vec::len);
    }
    let figures = json!({
        "files": files,
        "software-mib": mib,
        "inspect-seconds": median(inspect.into_iter()),
        "plan-seconds": median(plan.into_iter()),
        "adapter-seconds": median(share.into_iter()),
        "edits": edits,
    });
    println!("\na Windows with {files} files and a SOFTWARE hive of {mib} MiB, medians of {rounds}");
    for (name, value) in figures.as_object().into_iter().flatten() {
        println!("{name:<24} {:>10.3}", value.as_f64().unwrap_or_default());
    }
    Ok(figures)
}
