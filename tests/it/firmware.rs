//! Machines that get another firmware: partitions are made, disks grow, boot code is written, as the real tools see it.

use crate::guest::{file_system, partitioned, read, tool, tree};
use crate::migrate::DRIVERS;
use crate::{program, text};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

const EFI: &str = "/usr/lib/grub/x86_64-efi/monolithic";
const BIOS: &str = "/usr/lib/grub/i386-pc";
const MIB: u64 = 1 << 20;

fn wherry(verb: &str, folder: &Path, more: &[&str]) -> Output {
    let mut command = program();
    command.arg(verb).arg(format!("raw:{}", folder.join("disk.raw").display()));
    command.arg("--to").arg(format!("kvm:{}", folder.join("out").display()));
    command.args(["--output", "json", "--wish", "format=raw"]).args(more);
    command.output().unwrap()
}

fn report(answer: &Output) -> Value {
    serde_json::from_slice(&answer.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&answer.stderr)))
}

fn blocking(plan: &Value) -> Vec<String> {
    let all = plan["concerns"].as_array().unwrap().iter();
    let blocking = all.filter(|concern| concern["severity"] == "blocking");
    blocking.map(|concern| concern["id"].as_str().unwrap().to_owned()).collect()
}

/// A part of an image as a file.
fn part(image: &Path, offset: u64, length: u64) -> PathBuf {
    let bytes = fs::read(image).unwrap();
    let file = image.with_extension("part");
    fs::write(&file, &bytes[offset as usize..(offset + length) as usize]).unwrap();
    file
}

#[test]
fn an_esp_on_a_disk_that_grows() {
    let folder = tempfile::tempdir().unwrap();
    let root = tree(folder.path(), DRIVERS);
    let disk = partitioned(folder.path(), "start=1MiB,type=83,bootable\n");
    file_system(&disk, &root, 1, 95, &[]);
    let before = fs::read(&disk).unwrap();
    let uefi = ["--wish", "firmware=uefi"];
    let answer = wherry("plan", folder.path(), &uefi);
    assert_eq!(answer.status.code(), Some(3), "{}", text(&answer.stderr));
    assert_eq!(blocking(&report(&answer)["plan"]), ["linux.firmware.mismatch"]);
    assert!(text(&answer.stdout).contains("--drivers"), "the remedy names the option");
    let lent = [&uefi[..], &["--drivers", EFI]].concat();
    let answer = wherry("migrate", folder.path(), &lent);
    assert!(answer.status.success(), "{} {}", text(&answer.stdout), text(&answer.stderr));
    let plan = &report(&answer)["plan"];
    let edits: Vec<String> = plan["edits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edit| format!("{} {}", edit["action"].as_str().unwrap(), edit["object"].as_str().unwrap()))
        .collect();
    assert_eq!(edits[..3], ["lengthen disk:0", "add-partition disk:0", "format disk:0"]);
    assert!(edits.contains(&"write /boot/efi/EFI/BOOT/BOOTX64.EFI".into()), "{edits:?}");
    assert!(fs::read(&disk).unwrap() == before, "the source is never written");
    let made = folder.path().join("out/small.raw");
    assert_eq!(fs::metadata(&made).unwrap().len(), (96 + 302) * MIB);
    let said = tool("/sbin/sfdisk", &["--verify", "--no-reread", made.to_str().unwrap()]);
    assert!(said.contains("No errors detected"), "{said}");
    let esp = part(&made, 96 * MIB, 300 * MIB);
    tool("/usr/sbin/fsck.fat", &["-n", esp.to_str().unwrap()]);
    let list = tool("mdir", &["-/", "-b", "-i", esp.to_str().unwrap(), "::"]);
    for name in ["::/EFI/BOOT/BOOTX64.EFI", "::/EFI/BOOT/grub.cfg", "::/EFI/debian/grub.cfg"] {
        assert!(list.lines().any(|line| line == name), "{list}");
    }
    assert!(read(&made, "/etc/fstab").contains(" /boot/efi vfat umask=0077,nofail 0 0\n"));
    let again = wherry("migrate", folder.path(), &lent);
    assert_eq!(report(&again)["outcome"]["already-done"], true, "{}", text(&again.stdout));
}

#[test]
fn four_primary_partitions_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let root = tree(folder.path(), DRIVERS);
    let four = "start=1MiB,size=80MiB,type=83\nstart=81MiB,size=1MiB\nstart=82MiB,size=1MiB\nstart=83MiB,size=1MiB\n";
    let disk = partitioned(folder.path(), four);
    file_system(&disk, &root, 1, 80, &[]);
    let answer = wherry("plan", folder.path(), &["--wish", "firmware=uefi", "--drivers", EFI]);
    assert_eq!(answer.status.code(), Some(3), "{}", text(&answer.stderr));
    let plan = &report(&answer)["plan"];
    assert_eq!(blocking(plan), ["disk.no-partition", "linux.firmware.no-esp"]);
    assert!(text(&answer.stdout).contains("all four entries of its MBR are used"));
}

#[test]
fn boot_code_where_the_host_read_the_menu() {
    let folder = tempfile::tempdir().unwrap();
    let root = tree(folder.path(), DRIVERS);
    let menu = fs::read_to_string(root.join("boot/grub/grub.cfg")).unwrap();
    let line = |word: &str| menu.lines().find_map(|line| line.trim().strip_prefix(word)).unwrap();
    let legacy = format!(
        "default 0\ntitle Linux\nroot (hd0,0)\nkernel {}\ninitrd {}\n",
        line("linux "),
        line("initrd ")
    );
    fs::remove_dir_all(root.join("boot/grub")).unwrap();
    fs::create_dir(root.join("boot/grub")).unwrap();
    fs::write(root.join("boot/grub/menu.lst"), legacy).unwrap();
    let disk = partitioned(folder.path(), "start=1MiB,type=83,bootable\n");
    file_system(&disk, &root, 1, 95, &[]);
    let before = fs::read(&disk).unwrap();
    let answer = wherry("migrate", folder.path(), &["--drivers", BIOS]);
    assert!(answer.status.success(), "{} {}", text(&answer.stdout), text(&answer.stderr));
    let made = fs::read(folder.path().join("out/small.raw")).unwrap();
    assert!(made[440..512] == before[440..512], "the table stays");
    assert_eq!((&made[..2], made[0x5c]), (&fs::read(format!("{BIOS}/boot.img")).unwrap()[..2], 1));
    assert!(made[512..1024] != before[512..1024] && made[MIB as usize - 512..MIB as usize] == [0; 512]);
    let menu = read(&folder.path().join("out/small.raw"), "/boot/grub/grub.cfg");
    assert!(
        menu.contains("search --no-floppy --fs-uuid --set=root ") && menu.contains("root=UUID="),
        "{menu}"
    );
    let modules = read(&folder.path().join("out/small.raw"), "/boot/grub/i386-pc/moddep.lst");
    assert_eq!(modules, fs::read_to_string(format!("{BIOS}/moddep.lst")).unwrap());
}
