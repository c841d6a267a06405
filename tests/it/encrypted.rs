//! A root that LUKS encrypts (made by cryptsetup, filled by QEMU's own implementation): what the plan says without its key, and what is migrated with it.

use crate::guest::{file_system, partitioned, read, tool, tree};
use crate::migrate::DRIVERS;
use crate::{program, text};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

const MIB: usize = 1 << 20;
const UUID: &str = "77686572-7279-4000-8000-6c756b730001";
/// Where the encrypted partition begins, and the file system in it, in MiB.
const SECOND: usize = 16;
const INSIDE: u64 = 72;

struct Place {
    folder: tempfile::TempDir,
    disk: PathBuf,
}

impl Place {
    /// `/boot` in the clear and a root in LUKS, as Debian's installer lays them out.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = tree(folder.path(), DRIVERS);
        let boot = folder.path().join("boot");
        fs::rename(root.join("boot"), &boot).unwrap();
        fs::create_dir(root.join("boot")).unwrap();
        let table = "/dev/mapper/sda2_crypt / ext4 defaults 0 1\n/dev/sda1 /boot ext4 defaults 0 2\n";
        fs::write(root.join("etc/fstab"), table).unwrap();
        fs::write(root.join("etc/crypttab"), "sda2_crypt /dev/sda2 none luks,discard\n").unwrap();
        let menu = fs::read_to_string(boot.join("grub/grub.cfg")).unwrap().replace("/boot/", "/");
        fs::write(boot.join("grub/grub.cfg"), menu.replace("/dev/sda1", "/dev/mapper/sda2_crypt")).unwrap();
        let disk =
            partitioned(folder.path(), "start=1MiB,size=15MiB,type=83,bootable\nstart=16MiB,type=83\n");
        file_system(&disk, &boot, 1, 15, &[]);
        let plain = folder.path().join("plain");
        fs::File::create(&plain).unwrap().set_len(INSIDE << 20).unwrap();
        file_system(&plain, &root, 0, INSIDE, &[]);
        let (sealed, key) = (folder.path().join("sealed"), folder.path().join("key"));
        fs::File::create(&sealed).unwrap().set_len((INSIDE << 20) + (2 << 20)).unwrap();
        fs::write(&key, "open sesame").unwrap();
        let (from, to) = (plain.to_str().unwrap(), sealed.to_str().unwrap());
        let format =
            ["-q", "luksFormat", "--type", "luks1", "--uuid", UUID, "--pbkdf-force-iterations", "1000"];
        tool("/sbin/cryptsetup", &[&format[..], &[to, key.to_str().unwrap()]].concat());
        let secret = ["--object", "secret,id=s,data=open sesame"];
        let target = format!("driver=luks,key-secret=s,file.driver=file,file.filename={to}");
        let options = ["-n", "-f", "raw", from, "--target-image-opts", &target];
        tool("/usr/bin/qemu-img", &[&["convert"], &secret[..], &options].concat());
        let mut bytes = fs::read(&disk).unwrap();
        let inside = fs::read(&sealed).unwrap();
        bytes[SECOND * MIB..][..inside.len()].copy_from_slice(&inside);
        fs::write(&disk, bytes).unwrap();
        // As a shell writes it: with the end of a line, which is no part of the passphrase.
        fs::write(folder.path().join("key"), "open sesame\n").unwrap();
        fs::write(folder.path().join("wrong"), "open barley\n").unwrap();
        Self { folder, disk }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn key(&self, file: &str) -> String {
        format!("luks:{UUID}={}", self.path(file).display())
    }

    fn wherry(&self, verb: &str, more: &[&str]) -> Output {
        let mut command = program();
        command.arg(verb).arg(format!("raw:{}", self.disk.display())).args(more);
        command.output().unwrap()
    }

    /// The plain text of a disk's encrypted partition, by QEMU.
    fn plain(&self, disk: &Path) -> PathBuf {
        let (sealed, plain) = (self.path("out.sealed"), self.path("out.plain"));
        fs::write(&sealed, &fs::read(disk).unwrap()[SECOND * MIB..]).unwrap();
        let source = format!("driver=luks,key-secret=s,file.driver=file,file.filename={}", sealed.display());
        let words =
            ["convert", "--object", "secret,id=s,data=open sesame", "--image-opts", &source, "-O", "raw"];
        tool("/usr/bin/qemu-img", &[&words[..], &[plain.to_str().unwrap()]].concat());
        plain
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output.stderr)))
}

fn told(output: &Output, code: i32, words: &str) {
    let message = text(&output.stderr);
    assert!(output.status.code() == Some(code) && message.contains(words), "{:?} {message}", output.status);
}

#[test]
fn without_its_key_an_encrypted_device_is_named_and_with_a_wrong_one_nothing_is_done() {
    let place = Place::new();
    let to = format!("kvm:{}", place.path("out").display());
    let plan = json(&place.wherry("plan", &["--to", &to, "--output", "json"]));
    let concerns = plan["plan"]["concerns"].as_array().unwrap();
    let concern = concerns.iter().find(|concern| concern["id"] == "volumes.encrypted").unwrap();
    let remedy = concern["remedy"].as_str().unwrap();
    assert!(remedy.contains(&format!("--key luks:{UUID}=FILE")), "{remedy}");

    let wrong = place.wherry("migrate", &["--to", &to, "--key", &place.key("wrong")]);
    told(&wrong, 1, "opens none of the device's key slots");
    let nowhere = format!("luks:00000000-0000-4000-8000-000000000000={}", place.path("key").display());
    told(&place.wherry("plan", &["--to", &to, "--key", &nowhere]), 2, &format!("luks:{UUID}"));
    told(&place.wherry("plan", &["--to", &to, "--key", "sesame"]), 2, "luks:UUID=FILE");
    told(&place.wherry("plan", &["--to", &to, "--key", &place.key("none")]), 1, "No such file");
    // Standard input is no terminal here: nobody can be asked.
    told(&place.wherry("plan", &["--to", &to, "--key", &format!("luks:{UUID}")]), 2, "nobody can be asked");
    assert!(!place.path("out").exists());
}

#[test]
fn with_its_key_an_encrypted_root_is_read_adapted_and_stays_encrypted() {
    let place = Place::new();
    let before = fs::read(&place.disk).unwrap();
    let key = place.key("key");
    let listed = place.wherry("ls", &["/etc", "--key", &key]);
    assert!(text(&listed.stdout).contains("crypttab"), "{}", text(&listed.stderr));

    let to = format!("kvm:{}", place.path("out").display());
    let words = ["--to", &to, "--key", &key, "--wish", "format=raw", "--verify", "--output", "json"];
    let done = place.wherry("migrate", &words);
    assert!(done.status.success(), "{} {}", text(&done.stdout), text(&done.stderr));
    let plan = &json(&done)["plan"];
    assert!(!plan["concerns"].to_string().contains("encrypted"), "{}", plan["concerns"]);
    assert!(
        plan["bytes"]["unused"].as_u64().unwrap() > 20 << 20,
        "free blocks are left out: {}",
        plan["bytes"]
    );

    let made = place.path("out/small.raw");
    let header = |bytes: &[u8]| bytes[SECOND * MIB..][..MIB].to_vec();
    let after = fs::read(&made).unwrap();
    assert!(header(&before) == header(&after), "the header is the source's");
    let holds = |words: &[u8]| after.windows(words.len()).any(|window| window == words);
    assert!(!holds(b"sda2_crypt UUID="), "nothing plain is on the disk");
    assert!(read(&made, "/grub/grub.cfg").contains("root=/dev/mapper/sda2_crypt"));

    let plain = place.plain(&made);
    tool("/sbin/e2fsck", &["-fn", plain.to_str().unwrap()]);
    let file = |path: &str| tool("/sbin/debugfs", &["-R", &format!("cat {path}"), plain.to_str().unwrap()]);
    assert_eq!(file("/etc/crypttab"), format!("sda2_crypt UUID={UUID} none luks,discard\n"));
    let table = file("/etc/fstab");
    assert!(table.starts_with("/dev/mapper/sda2_crypt / ext4") && table.contains("UUID="), "{table}");
    assert!(fs::read(&place.disk).unwrap() == before, "the source is as it was");
}
