//! The initramfs engine against real modules, real archives and the real kmod.

use crate::initramfs_guest::*;
use os_linux::initramfs::{Outcome, Segment, extend};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Controllers: modules, and the names by which devices ask for them.
const CONTROLLERS: &[(&[&str], &[&str])] = &[
    (
        &["virtio_pci", "virtio_blk"],
        &["pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00", "virtio:d00000002v00001AF4"],
    ),
    (
        &["virtio-pci", "virtio_scsi", "sd_mod"],
        &[
            "pci:v00001AF4d00001048sv00001AF4sd00001100bc01sc00i00",
            "virtio:d00000008v00001AF4",
            "scsi:t-0x00",
        ],
    ),
    (&["nvme"], &["pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02"]),
    (&["ahci", "sd_mod"], &["pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01"]),
    (&["ata_piix", "sd_mod"], &["pci:v00008086d00007010sv00001AF4sd00001100bc01sc01i80"]),
    (&["mptspi", "sd_mod"], &["pci:v00001000d00000030sv00001000sd00000000bc01sc00i00"]),
    (&["hv_vmbus", "hv_storvsc", "sd_mod"], &["vmbus:d96361baa104294db60572e2ffb1dc7f"]),
    (&["xen_blkfront"], &["xen:vbd"]),
    (&["vmw_pvscsi", "sd_mod"], &["pci:v000015ADd000007C0sv000015ADsd000007C0bc01sc07i00"]),
];

/// What a MODULES=dep image of a VMware guest has.
const OLD: &[&str] = &["vmw_pvscsi", "sd_mod", "ext4"];

/// The answer of modprobe in an unpacked image, the folder's own path taken out; errors are part of the answer.
fn modprobe(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("modprobe");
    command.arg("-d").arg(folder).args(["-S", &kernel().0]).args(arguments);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    text.replace(folder.to_str().unwrap(), "")
}

/// A base archive and its segment, unpacked by cpio one after the other.
fn unpacked(base: &[u8], segment: &[u8]) -> TempDir {
    let folder = TempDir::new().unwrap();
    unpack(base, folder.path());
    let zeros = segment.iter().take_while(|byte| **byte == 0).count();
    unpack(&segment[zeros..], folder.path());
    folder
}

/// The merged image must answer as one in which depmod itself ran.
fn as_depmod_says(folder: &Path, modules: &[&str], devices: &[&str]) {
    let again = TempDir::new().unwrap();
    run(Command::new("cp").arg("-a").arg(folder.join(".")).arg(again.path()));
    depmod(again.path());
    for module in modules {
        let answer = modprobe(folder, &["--show-depends", module]);
        assert!(answer.contains("insmod"), "{module}: {answer}");
        assert_eq!(lines(&answer), lines(&modprobe(again.path(), &["--show-depends", module])));
        in_order(folder, &answer);
    }
    for device in devices {
        let answer = modprobe(folder, &["-R", device]);
        assert!(!answer.is_empty() && !answer.contains("not found"), "{device}: {answer}");
        assert_eq!(answer, modprobe(again.path(), &["-R", device]));
    }
    let place = Path::new("lib/modules").join(&kernel().0);
    let [ours, theirs] =
        [folder, again.path()].map(|f| fs::read(f.join(&place).join("modules.alias")).unwrap());
    assert!(ours == theirs, "modules.alias differs from depmod's");
    // The whole content of the binary indexes, as kmod reads them.
    let [ours, theirs] = [folder, again.path()].map(|f| modprobe(f, &["--showconfig"]));
    assert!(ours.contains("alias symbol:virtio_") || !modules.contains(&"virtio_blk"), "{ours}");
    assert_eq!(lines(&ours), lines(&theirs));
    // Needs that do not depend on each other may be written in any order.
    let needs = |f: &Path| -> Vec<BTreeSet<String>> {
        let text = fs::read_to_string(f.join(&place).join("modules.dep")).unwrap();
        text.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
    };
    assert_eq!(needs(folder), needs(again.path()));
    for name in ["modules.symbols", "modules.softdep"] {
        let [ours, theirs] =
            [folder, again.path()].map(|f| fs::read_to_string(f.join(&place).join(name)).unwrap());
        assert_eq!(lines(&ours), lines(&theirs), "{name}");
    }
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

/// Each file that modprobe would load is there, after everything that the module itself says it depends on.
fn in_order(folder: &Path, answer: &str) {
    let mut loaded = BTreeSet::new();
    for line in answer.lines().filter(|line| !line.starts_with("builtin")) {
        let path = folder.join(line.trim_start_matches("insmod /").trim());
        let fields = run(Command::new("modinfo").args(["-F", "depends"]).arg(&path));
        for name in fields.trim().split(',').filter(|name| !name.is_empty()) {
            assert!(loaded.contains(&name.replace('-', "_")), "{name} comes too late in {answer}");
        }
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        loaded.insert(file.split(".ko").next().unwrap().replace('-', "_"));
    }
}
#[test]
fn every_controller_becomes_loadable() {
    let base = Base::new(true).initramfs_tools().modules(OLD);
    let image = base.pack();
    for (modules, devices) in CONTROLLERS {
        let outcome = look(&image, &guest(), modules);
        let has_it = modules[0] == "vmw_pvscsi";
        assert_eq!(matches!(outcome, Outcome::Sufficient), has_it, "{modules:?}");
        if has_it {
            as_depmod_says(base.folder.path(), modules, devices);
            continue;
        }
        let segment = segment(outcome);
        assert_eq!((segment.family, segment.glued), ("initramfs-tools", false));
        let folder = unpacked(&image, &segment.bytes);
        as_depmod_says(folder.path(), modules, devices);
        as_depmod_says(folder.path(), OLD, &["scsi:t-0x00"]);
        let list = fs::read_to_string(folder.path().join("conf/modules")).unwrap();
        let expected: Vec<String> = modules.iter().map(|module| module.replace('-', "_")).collect();
        assert_eq!(list, format!("# loaded early\next4\n{}\n", expected.join("\n")));
    }
}

/// Nothing of the base is lost or changed, and nothing is done a second time.
#[test]
fn the_base_stays_and_a_second_run_does_nothing() {
    for merged in [true, false] {
        let base = Base::new(merged).initramfs_tools().modules(OLD);
        let image = base.pack();
        let segment = segment(look(&image, &guest(), &["virtio_pci", "virtio_blk"]));
        let folder = unpacked(&image, &segment.bytes);
        let after = listing(folder.path());
        for old in listing(base.folder.path()) {
            let new = after.iter().find(|new| new.0 == old.0).expect(&old.0);
            let replaced = segment.replaced.contains(&old.0);
            assert!(new.1 == old.1 && (replaced || new.2 == old.2), "{}", old.0);
        }
        let again = [image, segment.bytes].concat();
        assert!(matches!(look(&again, &guest(), &["virtio_pci", "virtio_blk"]), Outcome::Sufficient));
        let more = look(&again, &guest(), &["nvme"]);
        assert!(
            matches!(more, Outcome::Append(Segment { ref added, .. }) if added.contains(&"nvme".to_owned()))
        );
    }
}

/// The compressors of the kernel's build and of the generators, by their own command lines.
const CODECS: &[&[&str]] = &[
    &["gzip", "-n", "-9"],
    &["bzip2"],
    &["xz", "--check=crc32", "--x86", "--lzma2=dict=1MiB"],
    &["xz", "--format=lzma"],
    &["zstd", "-q", "-19"],
    &["zstd", "-q", "-T0", "--no-check"],
    &["lz4", "-l", "-9"],
    &["lzop", "-9"],
    &["lzop", "-1"],
    &["cat"],
];

#[test]
fn any_compression_of_the_base() {
    let base = Base::new(true).initramfs_tools().modules(&["vmw_pvscsi"]);
    let archive = base.pack();
    let early = Base::empty();
    early.file("kernel/x86/microcode/AuthenticAMD.bin", "microcode");
    let early = early.pack();
    let mut results = Vec::new();
    for codec in CODECS {
        let packed = filter(Command::new(codec[0]).args(&codec[1..]), &archive);
        let image = [&early[..], &packed].concat();
        let segment = segment(look(&image, &guest(), &["virtio_pci", "virtio_blk"]));
        let glued = codec[0] == "lz4";
        assert_eq!(segment.glued, glued, "{codec:?}");
        let whole = [&image[..], &segment.bytes].concat();
        assert!(matches!(look(&whole, &guest(), &["virtio_pci", "virtio_blk"]), Outcome::Sufficient));
        let segment = if glued {
            // The real lz4 reads both members as one stream.
            let stream = filter(Command::new("lz4").args(["-dc"]), &whole[early.len()..]);
            assert!(stream.starts_with(&archive));
            stream[archive.len()..].to_vec()
        } else {
            segment.bytes
        };
        let zeros = segment.iter().take_while(|byte| **byte == 0).count();
        assert!(glued || (image.len() + zeros).is_multiple_of(4));
        results.push(segment[zeros..].to_vec());
    }
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "the result depends on the compression");
    let folder = unpacked(&archive, &results[0]);
    as_depmod_says(folder.path(), &["virtio_blk", "virtio_pci"], CONTROLLERS[0].1);
}

#[test]
fn lzo_and_junk_are_refused() {
    let archive = Base::new(true).initramfs_tools().modules(OLD).pack();
    let with = |tail: &[u8]| reason(look(&[&archive, tail].concat(), &guest(), &["nvme"]));
    assert!(with(b"\x89LZO").contains("lzo"), "{}", with(b"\x89LZO"));
    assert!(with(b"junk").contains("neither cpio nor a known compression"));
    let cut = look(&archive[..archive.len() / 2], &guest(), &["nvme"]);
    assert!(reason(cut).contains("cpio segment at byte 0"));
    let packed = filter(Command::new("zstd").arg("-q"), &archive);
    let cut = look(&packed[..packed.len() / 2], &guest(), &["nvme"]);
    assert!(reason(cut).contains("zstd segment at byte 0"));
}

/// The guest's modules with those of disk controllers packed.
fn packed_guest(packer: &[&str], suffix: &str) -> (TempDir, Folder) {
    let (release, home) = kernel();
    let folder = TempDir::new().unwrap();
    let modules = folder.path().join("lib/modules").join(release);
    fs::create_dir_all(&modules).unwrap();
    run(Command::new("cp").arg("-a").arg(home.join("lib/modules").join(release).join(".")).arg(&modules));
    let script = "for module in $(find kernel -name '*.ko' | grep -E 'virtio|nvme|t10|crc|pvscsi|scsi_|sd_mod'); do
        $PACKER -c $module > $module$SUFFIX; rm $module; sed -i \"s|$module|&$SUFFIX|g\" modules.dep; done; rm *.bin";
    let mut pack = Command::new("sh");
    pack.args(["-c", script]).env("PACKER", packer.join(" ")).env("SUFFIX", suffix);
    run(pack.current_dir(&modules));
    (folder, Folder(modules))
}

/// The guest packs its modules: they are unpacked for an image with plain ones, and kept for one with packed ones.
#[test]
fn packed_modules() {
    let inside = Path::new("lib/modules").join(&kernel().0);
    let nvme = "kernel/drivers/nvme/host/nvme.ko";
    for (suffix, packer) in
        [(".xz", &["xz", "--check=crc32"][..]), (".zst", &["zstd", "-q"]), (".gz", &["gzip", "-n"])]
    {
        let (_folder, modules) = packed_guest(packer, suffix);
        let base = Base::new(true).initramfs_tools().modules(OLD);
        let image = base.pack();
        let into_plain = segment(look(&image, &modules, &["nvme", "virtio_blk"]));
        let merged = unpacked(&image, &into_plain.bytes);
        as_depmod_says(merged.path(), &["nvme", "virtio_blk", "vmw_pvscsi"], CONTROLLERS[2].1);
        let plain = fs::read(guest().0.join(nvme)).unwrap();
        assert!(fs::read(merged.path().join(&inside).join(nvme)).unwrap() == plain);

        let old = format!("kernel/drivers/scsi/vmw_pvscsi.ko{suffix}");
        base.file(inside.join(&old).to_str().unwrap(), fs::read(modules.0.join(&old)).unwrap());
        let image = base.pack();
        let into_packed = segment(look(&image, &modules, &["nvme"]));
        let merged = unpacked(&image, &into_packed.bytes);
        let path = format!("{nvme}{suffix}");
        let [ours, theirs] =
            [&merged.path().join(&inside), &modules.0].map(|f| fs::read(f.join(&path)).unwrap());
        assert!(ours == theirs);
        let answer = modprobe(merged.path(), &["--show-depends", "nvme"]);
        assert!(answer.contains(&path), "{answer}");
    }
}

/// An image whose index is damaged, or that has none, gets a complete one.
#[test]
fn damaged_indexes_are_made_anew() {
    let folder = format!("usr/lib/modules/{}", kernel().0);
    for damaged in ["modules.dep.bin", "modules.alias.bin"] {
        let base = Base::new(true).initramfs_tools().modules(&["virtio_pci", "virtio_blk"]);
        assert!(matches!(look(&base.pack(), &guest(), &["virtio_blk"]), Outcome::Sufficient));
        base.file(&format!("{folder}/{damaged}"), "short");
        let segment = segment(look(&base.pack(), &guest(), &["virtio_blk"]));
        assert_eq!(segment.added, Vec::<String>::new());
        as_depmod_says(
            unpacked(&base.pack(), &segment.bytes).path(),
            &["virtio_blk", "virtio_pci"],
            CONTROLLERS[0].1,
        );
    }
    let base = Base::new(true).initramfs_tools().modules(OLD);
    run(Command::new("sh")
        .arg("-c")
        .arg(format!("rm {folder}/modules.[ads]*"))
        .current_dir(base.folder.path()));
    let segment = segment(look(&base.pack(), &guest(), &["nvme"]));
    as_depmod_says(
        unpacked(&base.pack(), &segment.bytes).path(),
        &["nvme", "vmw_pvscsi", "ext4"],
        CONTROLLERS[2].1,
    );
}

#[test]
fn what_cannot_be_is_said() {
    let image = Base::new(true).initramfs_tools().modules(OLD).pack();
    let missing = reason(look(&image, &guest(), &["virtio_blk", "no_such_driver"]));
    assert_eq!(missing, format!("kernel {} has no module no_such_driver", kernel().0));

    let other = Base::new(true).initramfs_tools();
    fs::remove_dir(other.folder.path().join("usr/lib/modules").join(&kernel().0)).unwrap();
    other.file("usr/lib/modules/4.0.0/modules.dep", "");
    assert!(reason(look(&other.pack(), &guest(), &["nvme"])).contains("it is for kernel 4.0.0"));

    let nash = Base::new(false).modules(OLD);
    nash.file("init", "#!/bin/nash\ninsmod /lib/vmw_pvscsi.ko\n");
    assert!(reason(look(&nash.pack(), &guest(), &["nvme"])).contains("makes the device of the root"));

    let bare = Base::new(false).modules(OLD);
    assert!(
        reason(look(&bare.pack(), &guest(), &["nvme"])).contains("nothing in it is known to load drivers")
    );
    bare.file("sbin/udevd", "");
    bare.file("etc/udev/rules.d/50-udev-default.rules", "KERNEL==\"null\", MODE=\"0666\"\n");
    assert!(
        reason(look(&bare.pack(), &guest(), &["nvme"])).contains("nothing in it is known to load drivers")
    );
    let rule = "ENV{MODALIAS}==\"?*\", RUN{builtin}+=\"kmod load\"\n";
    bare.file("lib/udev/rules.d/80-drivers.rules", rule);
    assert_eq!(segment(look(&bare.pack(), &guest(), &["nvme"])).family, "an unknown program");

    let barred = Base::new(true).initramfs_tools().modules(OLD);
    barred.file("etc/modprobe.d/hardening.conf", "install virtio_blk /bin/false\n");
    assert!(
        reason(look(&barred.pack(), &guest(), &["virtio_blk"])).contains("install virtio_blk /bin/false")
    );
}

/// A module of another kernel under this kernel's name is found out by its vermagic.
#[test]
fn modules_of_another_kernel() {
    struct Wrong(Folder);
    impl os_linux::initramfs::ModuleTree for Wrong {
        fn read(&self, path: &str) -> wherry_sdk::Result<Option<Vec<u8>>> {
            let mut bytes = self.0.read(path)?;
            if path.ends_with("/virtio_blk.ko") {
                let bytes = bytes.as_mut().unwrap();
                let at = bytes.windows(9).position(|window| window == b"vermagic=").unwrap();
                bytes[at + 9] = b'9';
            }
            Ok(bytes)
        }
    }
    let image = Base::new(true).initramfs_tools().modules(OLD).pack();
    assert!(
        reason(look(&image, &Wrong(guest()), &["virtio_blk"])).contains("module virtio_blk is for kernel")
    );
}

#[test]
fn built_in_drivers_need_nothing() {
    let list = fs::read_to_string(guest().0.join("modules.builtin")).unwrap();
    let name = list.lines().next().unwrap().rsplit('/').next().unwrap().trim_end_matches(".ko").to_owned();
    for image in [&b""[..], b"junk", &Base::new(true).pack()] {
        assert!(matches!(look(image, &guest(), &[&name]), Outcome::Sufficient));
    }
    // Waits for the old hardware are neutralised all the same.
    let waiting = Base::new(true).dracut();
    waiting.file("etc/cmdline.d/95root-dev.conf", "root=/dev/sda1 ro\n");
    let image = waiting.pack();
    let segment = segment(look(&image, &guest(), &[&name]));
    assert_eq!(segment.replaced, ["etc/cmdline.d/95root-dev.conf"]);
    let merged = unpacked(&image, &segment.bytes);
    assert_eq!(fs::read_to_string(merged.path().join(&segment.replaced[0])).unwrap(), "ro\n");
}

/// dracut's images wait for devices of the old hardware; software's and file systems' names stay.
#[test]
fn dracut_stops_waiting_for_old_hardware() {
    let path = r"dev-disk-by\x2dpath-pci\x2d0000:03:00.0\x2dscsi\x2d0:0:0:0.device.d/timeout.conf";
    let uuid = r"dev-disk-by\x2duuid-0815.device.d/timeout.conf";
    let endless = "[Unit]\nJobTimeoutSec=0\nJobRunningTimeoutSec=0\n";
    let base = Base::new(true).dracut().modules(&["virtio_pci", "virtio_blk", "sd_mod"]);
    base.file(
        "etc/cmdline.d/95root-dev.conf",
        " root=/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:0:0-part1 rootfstype=ext4 \n",
    )
    .file("etc/cmdline.d/90lvm.conf", " rd.lvm.lv=vg/root \n")
    .file("etc/cmdline.d/95resume.conf", " resume=UUID=0815\n")
    .file(&format!("etc/systemd/system/{path}"), endless)
    .file(
        r"usr/lib/dracut/hooks/initqueue/finished/devexists-\x2fdev\x2fdisk\x2fby-id\x2fwwn-0x5.sh",
        "[ -e \"/dev/disk/by-id/wwn-0x5\" ]\n",
    )
    .file(
        r"usr/lib/dracut/hooks/initqueue/finished/devexists-\x2fdev\x2fdisk\x2fby-id\x2fdm-uuid-LVM-x.sh",
        "[ -e \"/dev/disk/by-id/dm-uuid-LVM-x\" ]\n",
    );
    // dracut makes one file with two names of files with the same content.
    let folder = base.folder.path().join("etc/systemd/system");
    fs::create_dir(folder.join(r"dev-disk-by\x2duuid-0815.device.d")).unwrap();
    fs::hard_link(folder.join(path), folder.join(uuid)).unwrap();
    let image = base.pack();
    let segment = segment(look(&image, &guest(), &["virtio_blk"]));
    assert_eq!(
        (segment.family, segment.added.len(), segment.replaced.len()),
        ("dracut", 0, 3),
        "{segment:?}"
    );
    let merged = unpacked(&image, &segment.bytes);
    let read = |path: &str| fs::read_to_string(merged.path().join(path)).unwrap();
    assert_eq!(read("etc/cmdline.d/95root-dev.conf"), " rootfstype=ext4 \n");
    assert_eq!(read("etc/cmdline.d/90lvm.conf"), " rd.lvm.lv=vg/root \n");
    // it has the driver, and loads it when it finds the disk
    assert!(!merged.path().join("etc/cmdline.d/99-wherry.conf").exists());
    assert!(read(&format!("etc/systemd/system/{path}")).contains("JobTimeoutSec=1\n"));
    assert_eq!(read(&format!("etc/systemd/system/{uuid}")), endless);
    assert_eq!(
        read(r"usr/lib/dracut/hooks/initqueue/finished/devexists-\x2fdev\x2fdisk\x2fby-id\x2fwwn-0x5.sh"),
        ":\n"
    );
    let again = [image, segment.bytes].concat();
    assert!(matches!(look(&again, &guest(), &["virtio_blk"]), Outcome::Sufficient));
}

#[test]
fn lists_of_the_other_families() {
    let arch = Base::new(true).modules(OLD);
    arch.file("config", "MODULES=\"ext4\"\nEARLYHOOKS=\"udev\"")
        .file("buildconfig", "")
        .file("init_functions", "");
    let image = arch.pack();
    let segment_ = segment(look(&image, &guest(), &["virtio_pci", "virtio_blk"]));
    let merged = unpacked(&image, &segment_.bytes);
    let shell =
        Command::new("sh").args(["-c", ". ./config; echo $MODULES"]).current_dir(merged.path()).output();
    assert_eq!(String::from_utf8(shell.unwrap().stdout).unwrap(), "ext4 virtio_pci virtio_blk\n");

    let alpine = Base::new(false).modules(OLD);
    alpine.file("sbin/nlplug-findfs", "");
    let image = alpine.pack();
    let segment = segment(look(&image, &guest(), &["nvme"]));
    assert_eq!(segment.family, "mkinitfs");
    let merged = unpacked(&image, &segment.bytes);
    assert_eq!(fs::read_to_string(merged.path().join("etc/modules")).unwrap(), "nvme\n");
    as_depmod_says(merged.path(), &["nvme"], CONTROLLERS[2].1);
}

/// Through the guest's tree, where an image is longer than one read.
#[test]
fn from_the_guests_files() {
    use wherry_sdk::testing::{MemoryTree, MemoryVolume};
    let image = Base::new(true).initramfs_tools().modules(OLD).pack();
    assert!(image.len() > 2 << 20);
    let (release, home) = kernel();
    let mut volume = MemoryVolume::new("root", &[("fs.kind", "ext4")]).file("/boot/initrd.img", &image);
    for (path, kind, content) in listing(&home.join("lib/modules")) {
        if kind == "file" {
            volume = volume.file(&format!("/usr/lib/modules/{path}"), content);
        }
    }
    let tree = MemoryTree::new(vec![volume.symlink("/lib", "usr/lib")]);
    wherry_sdk::Tree::mount(&tree, "root", "/").unwrap();
    let modules = format!("/lib/modules/{release}");
    let outcome = extend(&tree, release, &modules, "/boot/initrd.img", &["virtio_blk"]).unwrap();
    assert_eq!(segment(outcome).bytes, segment(look(&image, &guest(), &["virtio_blk"])).bytes);
    let error = extend(&tree, release, &modules, "/boot/other.img", &["virtio_blk"]).unwrap_err();
    assert_eq!(error.kind, wherry_sdk::ErrorKind::NotFound);
}
