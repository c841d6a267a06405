//! Guests whose file system refuses edits (ext4 with quota files): what the plan says, and what it carries to the first start.

use crate::guest::{file_system, partitioned, read, tool, tree};
use crate::migrate::DRIVERS;
use crate::{program, text};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Output;

const QUOTA: &[&str] = &["-O", "quota"];

fn wherry(verb: &str, folder: &Path, more: &[&str]) -> Output {
    let mut command = program();
    command.arg(verb).arg(format!("raw:{}", folder.join("disk.raw").display()));
    command.arg("--to").arg(format!("kvm:{}", folder.join("out").display())).args(more);
    command.output().unwrap()
}

fn concern<'p>(plan: &'p Value, id: &str) -> Option<&'p Value> {
    plan["concerns"].as_array().unwrap().iter().find(|concern| concern["id"] == id)
}

#[test]
fn a_root_that_refuses_edits_blocks_before_a_byte_is_copied() {
    let folder = tempfile::tempdir().unwrap();
    let tree = tree(folder.path(), DRIVERS);
    let disk = partitioned(folder.path(), "start=1MiB,type=83,bootable\n");
    file_system(&disk, &tree, 1, 95, QUOTA);
    let before = fs::read(&disk).unwrap();
    let answer = wherry("plan", folder.path(), &["--output", "json"]);
    assert_eq!(answer.status.code(), Some(3), "{}", text(&answer.stderr));
    let plan = &serde_json::from_slice::<Value>(&answer.stdout).unwrap()["plan"];
    let concern = concern(plan, "filesystem.refuses-edits").unwrap_or_else(|| panic!("{plan}"));
    assert_eq!(concern["severity"], "blocking");
    assert!(concern["message"].as_str().unwrap().contains("/etc/fstab"), "{concern}");
    let refused = |path: &str| {
        let edits = plan["edits"].as_array().unwrap();
        edits.iter().find(|edit| edit["object"] == path).unwrap()["refused"].clone()
    };
    assert!(refused("/etc/fstab").as_str().unwrap().contains("quota"), "{}", refused("/etc/fstab"));
    assert_eq!(wherry("migrate", folder.path(), &[]).status.code(), Some(3));
    assert!(!folder.path().join("out").exists());
    assert!(fs::read(&disk).unwrap() == before);
}

#[test]
fn a_boot_that_takes_edits_carries_what_the_root_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let root = tree(folder.path(), DRIVERS);
    let boot = folder.path().join("boot");
    fs::rename(root.join("boot"), &boot).unwrap();
    fs::create_dir(root.join("boot")).unwrap();
    fs::write(root.join("etc/fstab"), "/dev/sda2 / ext4 defaults 0 1\n/dev/sda1 /boot ext4 defaults 0 2\n")
        .unwrap();
    let menu = fs::read_to_string(boot.join("grub/grub.cfg")).unwrap().replace("/boot/", "/");
    fs::write(boot.join("grub/grub.cfg"), menu.replace("sda1", "sda2")).unwrap();
    let partitions = "start=1MiB,size=15MiB,type=83,bootable\nstart=16MiB,type=83\n";
    let disk = partitioned(folder.path(), partitions);
    file_system(&disk, &boot, 1, 15, &[]);
    file_system(&disk, &root, 16, 80, QUOTA);
    let answer = wherry("migrate", folder.path(), &["--output", "json", "--wish", "format=raw"]);
    assert!(answer.status.success(), "{} {}", text(&answer.stdout), text(&answer.stderr));
    let plan = &serde_json::from_slice::<Value>(&answer.stdout).unwrap()["plan"];
    assert!(concern(plan, "filesystem.refuses-edits").is_none());
    let told = concern(plan, "filesystem.deferred-edits").unwrap_or_else(|| panic!("{plan}"));
    assert!(told["message"].as_str().unwrap().contains("initrd.img"), "{told}");
    let made = folder.path().join("out/small.raw");
    let image = folder.path().join("initrd");
    let device = format!("{}?offset=1048576", made.display());
    tool("/sbin/debugfs", &["-R", &format!("dump /initrd.img-6.1.0-1-amd64 {}", image.display()), &device]);
    let image = fs::read(image).unwrap();
    let holds = |words: &str| image.windows(words.len()).any(|window| window == words.as_bytes());
    assert!(holds("wherry/first-start") && holds("scripts/init-bottom/ORDER") && holds("UUID="));
    assert!(read(&made, "/grub/grub.cfg").contains("root=UUID="));
    // The root is the source's, bit for bit.
    let (ours, theirs) = (fs::read(&made).unwrap(), fs::read(&disk).unwrap());
    let table = ours.windows(32).position(|window| window == b"/dev/sda2 / ext4 defaults 0 1\n/d");
    assert!(table.is_some() && ours.len() == theirs.len());
}
