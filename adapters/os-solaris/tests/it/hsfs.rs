//! Files replaced in images by mkisofs and xorriso, which are then read by isoinfo.

use crate::hsfs_exercise::{exercise, patched, replace};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const OLD: &str = "\"/pci@0,0\" 0 \"pci\"\n";

/// An image by a tool, of a tree as a boot archive has it.
pub fn image(tool: &str, options: &[&str]) -> Vec<u8> {
    image_with(tool, options, "pci-ide \"pciclass,0101\"\n")
}

/// See [`image`], with this table of drivers.
pub fn image_with(tool: &str, options: &[&str], aliases: &str) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let tree = folder.path().join("tree");
    for (path, content) in [
        ("etc/path_to_inst", OLD),
        ("etc/name_to_major", "rootnex 0\n"),
        ("etc/driver_aliases", aliases),
        ("boot/solaris/bootenv.rc", "setprop bootpath '/x:a'\n"),
        ("platform/i86pc/kernel/amd64/unix", "ELF"),
    ] {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    // more names than one sector of a directory holds
    for number in 0..120 {
        fs::write(tree.join(format!("etc/a_rather_long_name_{number}")), "").unwrap();
    }
    let path = folder.path().join("image");
    let done = Command::new(tool).args(options).arg("-o").arg(&path).arg(&tree).output().unwrap();
    assert!(done.status.success(), "{tool}: {}", String::from_utf8_lossy(&done.stderr));
    fs::read(path).unwrap()
}

/// The tools, with the options of bootadm (`-dlrDJN -relaxed-filenames`) and others.
const TOOLS: &[(&str, &[&str])] = &[
    ("genisoimage", &["-quiet", "-dlrDJN", "-relaxed-filenames"]),
    ("genisoimage", &["-quiet", "-R"]),
    ("genisoimage", &["-quiet", "-l", "-relaxed-filenames", "-allow-lowercase"]),
    ("xorrisofs", &["-quiet", "-R", "-J"]),
];

/// What a file in an image says.
pub fn isoinfo(image: &Path, tree: &str, path: &str) -> String {
    let mut command = Command::new("isoinfo");
    command.arg("-i").arg(image).args(["-x", path]);
    if !tree.is_empty() {
        command.arg(tree);
    }
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

fn check(image: &[u8], options: &[&str], content: &str) {
    let new = patched(image, &replace(image, "etc/path_to_inst", content.as_bytes()).unwrap());
    assert!(replace(&new, "etc/path_to_inst", content.as_bytes()).unwrap().is_empty(), "twice is not once");
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("image");
    fs::write(&path, &new).unwrap();
    let joined = options.join(" ");
    let rock_ridge = joined.contains("-R") || joined.contains("-dlr");
    if rock_ridge {
        assert_eq!(isoinfo(&path, "-R", "/etc/path_to_inst"), content);
        assert_eq!(isoinfo(&path, "-R", "/etc/name_to_major"), "rootnex 0\n");
    }
    if joined.contains("-J") || joined.contains("DJ") {
        assert_eq!(isoinfo(&path, "-J", "/etc/path_to_inst"), content);
    }
    if !rock_ridge {
        let listed = Command::new("isoinfo").arg("-i").arg(&path).arg("-f").output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let name = listed.lines().find(|line| line.to_lowercase().contains("path_to_inst")).unwrap();
        assert_eq!(isoinfo(&path, "", name), content);
    }
    assert_eq!(new.len() % 2048, 0);
    let blocks = u32::from_le_bytes(new[0x8050..0x8054].try_into().unwrap());
    assert!(u64::from(blocks) * 2048 <= new.len() as u64);
}

#[test]
fn files_are_replaced_in_place_and_at_the_end() {
    for (tool, options) in TOOLS {
        let image = image(tool, options);
        for content in ["#path_to_inst_bootstrap_1\n", OLD, &"x".repeat(2048), &"y".repeat(9000)] {
            check(&image, options, content);
        }
    }
}

#[test]
fn two_files_are_put_at_the_end_one_after_the_other() {
    let (first, second) = ("x".repeat(5000), "y".repeat(9000));
    for (tool, options) in [TOOLS[0], TOOLS[3]] {
        let mut old = image(tool, options);
        // an end that is not a sector's
        old.extend(b"end");
        let read = |offset: u64, length: u64| {
            let part = old.get(offset as usize..(offset + length) as usize).map(<[u8]>::to_vec);
            part.ok_or_else(|| wherry_sdk::Error::corrupt(offset, "beyond the end"))
        };
        let mut editor = os_solaris::hsfs::Image::open(&read, old.len() as u64).unwrap();
        let mut patches = editor.replace("etc/path_to_inst", first.as_bytes()).unwrap();
        patches.extend(editor.replace("etc/driver_aliases", second.as_bytes()).unwrap());
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("image");
        let new = patched(&old, &patches);
        fs::write(&path, &new).unwrap();
        for names in ["-R", "-J"] {
            assert!(isoinfo(&path, names, "/etc/path_to_inst") == first);
            assert!(isoinfo(&path, names, "/etc/driver_aliases") == second);
            assert_eq!(isoinfo(&path, names, "/etc/name_to_major"), "rootnex 0\n");
        }
        let blocks = u32::from_le_bytes(new[0x8050..0x8054].try_into().unwrap());
        assert_eq!(u64::from(blocks) * 2048, new.len() as u64);
    }
}

#[test]
fn what_is_not_there_is_refused() {
    let image = image("genisoimage", &["-quiet", "-R"]);
    for path in ["etc/missing", "missing/path_to_inst", "etc", "etc/path_to_inst/x"] {
        assert!(replace(&image, path, b"x").is_err(), "{path}");
    }
    assert!(replace(b"", "a", b"").is_err());
    assert!(replace(&[0; 40000], "a", b"").is_err());
}

#[test]
fn damaged_images() {
    for (n, (tool, options)) in TOOLS.iter().enumerate() {
        let image = image(tool, options);
        // descriptors, path tables and directories are at the beginning
        let end = image.len().min(120 << 10) as u64;
        for seed in 0..150 {
            let mut bytes = image.clone();
            wherry_sdk::testing::damage(&mut bytes, 0x8000, end as usize, seed * 10 + n as u64);
            exercise(&bytes);
        }
        for length in (0x8000..image.len()).step_by(1021) {
            exercise(&image[..length]);
        }
    }
}
