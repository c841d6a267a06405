//! Finished files packed into one tar file: POSIX.1-2017, pax, "ustar Interchange Format", sizes beyond 8 GiB as GNU tar
//! writes them (base 256), which importers read that do not know pax headers.

use crate::{Error, Result};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

const BLOCK: usize = 512;
/// A container is filled up to whole records of 20 blocks.
const RECORD: u64 = 20 * BLOCK as u64;
/// The largest size in eleven octal digits.
const OCTAL_MOST: u64 = (1 << 33) - 1;
/// What a name can have without a prefix.
const NAME_MOST: usize = 100;
/// Bytes that are copied between two reports.
const PIECE: u64 = 64 << 20;

/// Packs `members`, plain names in `folder`, into `name` there, durably; the whole is under a temporary name until it is
/// complete. `told` hears of bytes done and in all, and may stop it. The members' paths.
pub(crate) fn pack(
    folder: &Path,
    name: &str,
    members: &[String],
    time: u64,
    told: &mut dyn FnMut(u64, u64) -> Result<()>,
) -> Result<Vec<PathBuf>> {
    let io = |e: std::io::Error| Error::failed(format!("cannot pack {name}: {e}"));
    let plain = |name: &str| !name.is_empty() && ![".", ".."].contains(&name) && !name.contains(['/', '\0']);
    if let Some(odd) = members.iter().map(String::as_str).chain([name]).find(|name| !plain(name)) {
        return Err(Error::failed(format!("the target wants to pack {odd:?}, which is no plain name")));
    }
    let mut files = Vec::new();
    for member in members {
        let file = File::open(folder.join(member)).map_err(|e| Error::failed(format!("{member}: {e}")))?;
        let size = file.metadata().map_err(io)?.len();
        files.push((header(member, size, time)?, file, size));
    }
    let total = files.iter().map(|(_, _, size)| size).sum();
    let temporary = folder.join(format!(".{name}.wherry-partial"));
    let mut out = File::create(&temporary).map_err(io)?;
    let mut done = 0;
    for (header, mut file, size) in files {
        out.write_all(&header).map_err(io)?;
        let mut left = size;
        while left > 0 {
            // The standard library has the kernel copy, where it can: copy_file_range(2).
            let copied = std::io::copy(&mut (&mut file).take(left.min(PIECE)), &mut out).map_err(io)?;
            if copied == 0 {
                return Err(Error::failed(format!(
                    "cannot pack {name}: a file in it became shorter meanwhile"
                )));
            }
            left -= copied;
            done += copied;
            told(done, total)?;
        }
        let rest = size.next_multiple_of(BLOCK as u64) - size;
        out.write_all(&vec![0; rest as usize]).map_err(io)?;
    }
    out.write_all(&[0; 2 * BLOCK]).map_err(io)?;
    let end = out.stream_position().map_err(io)?;
    out.set_len(end.next_multiple_of(RECORD)).and_then(|()| out.sync_all()).map_err(io)?;
    std::fs::rename(&temporary, folder.join(name)).map_err(io)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    Ok(members.iter().map(|member| folder.join(member)).collect())
}

/// Removes what was packed, as far as it is still there.
pub(crate) fn clear(parts: &[PathBuf]) -> Result<()> {
    for part in parts.iter().filter(|part| part.exists()) {
        std::fs::remove_file(part).map_err(|e| {
            Error::failed(format!("{} is packed, and cannot be removed: {e}", part.display()))
        })?;
    }
    Ok(())
}

fn header(name: &str, size: u64, time: u64) -> Result<[u8; BLOCK]> {
    if name.len() > NAME_MOST {
        return Err(Error::failed(format!(
            "{name} is too long for a container; call the machine something shorter"
        )));
    }
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    match size {
        ..=OCTAL_MOST => put(124, format!("{size:011o}\0").as_bytes()),
        _ => put(124, &[&[0x80, 0, 0, 0], size.to_be_bytes().as_slice()].concat()),
    }
    put(136, format!("{:011o}\0", time.min(OCTAL_MOST)).as_bytes());
    put(148, &[b' '; 8]);
    put(156, b"0");
    put(257, b"ustar\x0000");
    put(329, b"0000000\0");
    put(337, b"0000000\0");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn tar(arguments: &[&str], folder: &Path) -> String {
        let output =
            Command::new("tar").args(arguments).current_dir(folder).env("TZ", "UTC").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn tar_reads_what_is_packed_and_finds_it_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for (name, length) in [("a.ovf", 700), ("a.mf", 0), ("a-disk1.vmdk", 3 << 20)] {
            std::fs::write(path.join(name), vec![b'x'; length]).unwrap();
        }
        let names = ["a.ovf", "a.mf", "a-disk1.vmdk"].map(String::from);
        let mut last = (0, 0);
        let parts = pack(path, "a.ova", &names, 1_790_000_000, &mut |done, total| {
            last = (done, total);
            Ok(())
        });
        assert_eq!(last, ((3 << 20) + 700, (3 << 20) + 700));
        assert_eq!(tar(&["-tf", "a.ova"], path), "a.ovf\na.mf\na-disk1.vmdk\n");
        let listed = tar(&["-tvf", "a.ova"], path);
        assert!(listed.starts_with("-rw-r--r-- 0/0             700 2026-09-21"), "{listed}");
        assert!(tar(&["-xOf", "a.ova", "a-disk1.vmdk"], path).into_bytes() == vec![b'x'; 3 << 20]);
        assert_eq!(std::fs::metadata(path.join("a.ova")).unwrap().len() % RECORD, 0);
        clear(&parts.unwrap()).unwrap();
        assert_eq!(std::fs::read_dir(path).unwrap().count(), 1);
    }

    #[test]
    fn nothing_has_its_name_before_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), [1; 9]).unwrap();
        let mut stop = |_, _| Err(Error::failed("stopped"));
        assert!(pack(folder.path(), "b", &["a".into()], 0, &mut stop).is_err());
        assert!(folder.path().join("a").exists() && !folder.path().join("b").exists());
        for odd in ["../a", "", "..", "x/y"] {
            let refused = pack(folder.path(), "b", &[odd.into()], 0, &mut |_, _| Ok(())).unwrap_err();
            assert!(refused.message.contains("no plain name"), "{refused}");
        }
        assert!(header(&"n".repeat(101), 0, 0).is_err());
    }

    #[test]
    fn large_sizes_are_as_tar_writes_them() {
        let folder = tempfile::tempdir().unwrap();
        let size: u64 = 9 << 30;
        File::create(folder.path().join("big")).unwrap().set_len(size).unwrap();
        let script = "tar -cf - --format gnu --owner 0 --group 0 --numeric-owner big | head -c 512 > header";
        let shell = Command::new("sh").args(["-c", script]).current_dir(folder.path()).status().unwrap();
        assert!(shell.success());
        let theirs = std::fs::read(folder.path().join("header")).unwrap();
        let ours = header("big", size, 0).unwrap();
        assert_eq!(ours[124..136], theirs[124..136]);
    }
}
