//! Disks with sectors of 4096 bytes: their partitions are found, and the new machine has such a disk.

use crate::guest::tool;
use crate::loops::Loop;
use crate::{program, text};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// An MBR or GPT that counts sectors of 4096 bytes, and an ext4 in its first partition.
fn disk(folder: &Path, label: &str) -> PathBuf {
    let path = folder.join(format!("{label}.img"));
    std::fs::File::create(&path).unwrap().set_len(32 << 20).unwrap();
    let keys = format!("{label}\nn\n{}1\n256\n+16M\nw\n", if label == "o" { "p\n" } else { "" });
    let mut fdisk = Command::new("/sbin/fdisk")
        .args(["-b", "4096", "--noauto-pt", "--wipe", "never"])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    fdisk.stdin.take().unwrap().write_all(keys.as_bytes()).unwrap();
    assert!(fdisk.wait().unwrap().success());
    tool("/sbin/mke2fs", &["-q", "-F", "-t", "ext4", "-E", "offset=1048576", path.to_str().unwrap(), "16M"]);
    path
}

fn wherry(arguments: &[&str]) -> Output {
    let mut command = program();
    command.args(arguments).output().unwrap()
}

fn inspect(name: &str) -> Value {
    let shown = wherry(&["--output", "json", "inspect", name]);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    serde_json::from_slice(&shown.stdout).unwrap()
}

/// The first partition, if its file system was found, by size; and the sectors.
fn found(name: &str) -> (u64, Option<u64>) {
    let answer = inspect(name);
    let volumes = answer["volumes"].as_array().unwrap();
    let ext4 = volumes.iter().find(|one| one["kind"] == "partition" && one["facts"]["fs.kind"] == "ext4");
    (answer["sources"][0]["sector-size"].as_u64().unwrap(), ext4.map(|one| one["size"].as_u64().unwrap()))
}

#[test]
fn an_image_is_read_by_the_sectors_that_it_is_said_to_have() {
    let folder = tempfile::tempdir().unwrap();
    for label in ["o", "g"] {
        let path = disk(folder.path(), label);
        let said = format!("raw:{},sector=4096", path.display());
        assert_eq!(found(&said), (4096, Some(16 << 20)), "{label}");
        assert!(inspect(&said)["concerns"].as_array().unwrap().is_empty());
        let packed = folder.path().join(format!("{label}.qcow2"));
        tool("qemu-img", &["convert", "-O", "qcow2", path.to_str().unwrap(), packed.to_str().unwrap()]);
        assert_eq!(found(&format!("qcow2:{},sector=4096", packed.display())), (4096, Some(16 << 20)));
    }
    // Nothing in an MBR says what it counts; a GPT is found all the same, and the way is named.
    let (mbr, gpt) = (folder.path().join("o.img"), folder.path().join("g.img"));
    assert_eq!(found(&format!("raw:{}", mbr.display())), (512, None));
    let plain = format!("raw:{}", gpt.display());
    assert_eq!(found(&plain), (512, Some(16 << 20)));
    let concerns = inspect(&plain)["concerns"].to_string();
    assert!(concerns.contains("partitions.sector-size") && concerns.contains(",sector=4096"), "{concerns}");
    let refused = wherry(&["inspect", &format!("{plain},sector=1024")]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("sector=4096"), "{}", text(&refused.stderr));
    let backing = format!("qcow2:{}.qcow2,backing={plain},sector=4096", gpt.display());
    let refused = wherry(&["inspect", &backing]);
    assert!(refused.status.code() == Some(2) && text(&refused.stderr).contains("backing"), "{refused:?}");
}

#[test]
fn a_device_says_its_own_sectors_and_sfdisk_agrees() {
    let folder = tempfile::tempdir().unwrap();
    for label in ["o", "g"] {
        let Some(device) = Loop::new(&disk(folder.path(), label), 4096) else { return };
        let before = std::fs::read(&device.path).unwrap();
        let sfdisk: Value = serde_json::from_str(&tool("/sbin/sfdisk", &["--json", &device.path])).unwrap();
        let size = sfdisk["partitiontable"]["partitions"][0]["size"].as_u64().unwrap() * 4096;
        assert_eq!(found(&format!("raw:{}", device.path)), (4096, Some(size)), "{label}");
        assert!(std::fs::read(&device.path).unwrap() == before, "a source is never written");
    }
}

#[test]
fn the_new_machine_has_such_a_disk_or_it_is_said_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("raw:{},sector=4096", disk(folder.path(), "o").display());
    let second = format!("raw:{}", disk(folder.path(), "g").display());
    let to = format!("kvm:{}", folder.path().join("out").display());
    let run = |verb: &str, disks: &[&str]| {
        let words = [&[verb, "--to", &to, "--name", "m", "--wish", "format=raw"], disks].concat();
        let shown = wherry(&words);
        (shown.status.code().unwrap(), text(&shown.stdout))
    };
    let (code, said) = run("plan", &[&name]);
    assert!(code == 3 && said.contains("by bios") && said.contains("sectors of 4096 bytes"), "{said}");
    let (code, said) = run("migrate", &[&second, &name]);
    assert_eq!(code, 0, "{said}");
    let read = |name: &str| std::fs::read_to_string(folder.path().join("out").join(name)).unwrap();
    assert_eq!(read("m.sh").matches("logical_block_size=4096").count(), 1);
    let xml = read("m.xml");
    let (first, second) = xml.split_once("m-1.raw").unwrap();
    assert!(!first.contains("blockio") && second.contains("logical_block_size='4096'"), "{xml}");
}

#[test]
fn a_copy_keeps_the_size_of_sectors_or_says_that_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let path = disk(folder.path(), "g");
    let source = format!("raw:{},sector=4096", path.display());
    for format in ["raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx"] {
        let copy = format!("{format}:{}", folder.path().join(format!("copy.{format}")).display());
        let shown = wherry(&["convert", &source, "--to", &copy, "--output", "json"]);
        assert!(shown.status.success(), "{format}: {}", text(&shown.stderr));
        let answer: Value = serde_json::from_slice(&shown.stdout).unwrap();
        let said = answer["concerns"].as_array().unwrap();
        let warned = said.iter().any(|concern| concern["id"] == "copy.sector-size");
        assert_eq!(warned, format != "vhdx", "{format}: {answer}");
        let named = if format == "vhdx" { copy.clone() } else { format!("{copy},sector=4096") };
        assert_eq!(found(&named), (4096, Some(16 << 20)), "{format}");
        let wrong = ["convert", &source, "--to", &format!("{copy}.new"), "--set", "no-such-option=1"];
        assert!(!wherry(&wrong).status.success(), "{format} takes any option");
    }
    let copy = format!("qcow2:{}", folder.path().join("told").display());
    let shown = text(&wherry(&["convert", &source, "--to", &copy]).stdout);
    assert!(shown.contains("warning") && shown.contains("sectors of 4096 bytes"), "{shown}");
}
