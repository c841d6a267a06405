//! Boot loaders that the operator lends: folders and images with the kind `drivers`, which hold Debian's packages' files or parts
//! of them, under any folder: `monolithic/grubx64.efi` (grub-efi-amd64-bin), `i386-pc` (grub-pc-bin), `shimx64.efi.signed` and
//! `mmx64.efi.signed` (shim-signed), `grubx64.efi.signed` (grub-efi-amd64-signed).

use crate::files::names;
use wherry_sdk::{Kind, Result, Tree};

/// Folders of one volume that are looked at, and how deep.
const FOLDERS: usize = 512;
const DEPTH: usize = 8;
/// The most of a file that is read, in bytes.
const FILE: u64 = 16 << 20;
/// Files that make a folder one with GRUB for BIOS.
const BIOS: [&str; 5] = ["boot.img", "diskboot.img", "kernel.img", "lzma_decompress.img", "moddep.lst"];

/// What was lent, as paths in the guest's tree.
#[derive(Debug, Default, PartialEq)]
pub struct Lent {
    /// GRUB's image for UEFI.
    pub grub: Option<String>,
    /// The same with a signature that a shim accepts.
    pub signed_grub: Option<String>,
    /// A shim signed by Microsoft, and its tool for keys.
    pub shim: Option<String>,
    /// See above.
    pub keys: Option<String>,
    /// The folder with GRUB for BIOS.
    pub bios: Option<String>,
}

impl Lent {
    /// Mounts what was lent and looks through it.
    pub fn find(guest: &dyn Tree) -> Self {
        let mut found = Self::default();
        let lent = guest.volumes().into_iter().filter(|volume| volume.kind == "drivers");
        for (number, volume) in lent.enumerate() {
            let path = format!("/[lent {number}]");
            // mounted by an earlier call already, if it exists
            if guest.mount(&volume.id, &path).is_ok() || guest.stat(&path).is_ok() {
                found.look(guest, &path);
            }
        }
        found
    }

    fn look(&mut self, guest: &dyn Tree, top: &str) {
        let mut pending = vec![(top.to_owned(), 0)];
        let mut seen = 0;
        while let Some((folder, depth)) = pending.pop() {
            seen += 1;
            if seen > FOLDERS {
                return;
            }
            let names = names(guest, &folder);
            if BIOS.iter().all(|name| names.iter().any(|other| other == name)) {
                self.bios.get_or_insert_with(|| folder.clone());
            }
            for name in &names {
                self.take(&folder, name);
            }
            let below = names.into_iter().map(|name| format!("{folder}/{name}"));
            let folders = below.filter(|path| depth < DEPTH && is_folder(guest, path));
            pending.extend(folders.map(|path| (path, depth + 1)).collect::<Vec<_>>().into_iter().rev());
        }
    }

    fn take(&mut self, folder: &str, name: &str) {
        let place = match name {
            "grubx64.efi" => &mut self.grub,
            "grubx64.efi.signed" => &mut self.signed_grub,
            "shimx64.efi.signed" => &mut self.shim,
            "mmx64.efi.signed" => &mut self.keys,
            _ => return,
        };
        place.get_or_insert_with(|| format!("{folder}/{name}"));
    }

    /// What firmware starts, by its name in `EFI/BOOT`, and what that starts; none if nothing fits what the firmware checks.
    pub fn efi(&self, secure: bool) -> Option<Vec<(&str, &'static str)>> {
        if !secure {
            let grub = self.grub.as_ref().or(self.signed_grub.as_ref())?;
            return Some(vec![(grub, "BOOTX64.EFI")]);
        }
        let mut files =
            vec![(self.shim.as_deref()?, "BOOTX64.EFI"), (self.signed_grub.as_deref()?, "grubx64.efi")];
        files.extend(self.keys.as_deref().map(|keys| (keys, "mmx64.efi")));
        Some(files)
    }
}

fn is_folder(guest: &dyn Tree, path: &str) -> bool {
    guest.stat(path).is_ok_and(|meta| meta.kind == Kind::Directory)
}

/// A lent file.
pub fn read(guest: &dyn Tree, path: &str) -> Result<Vec<u8>> {
    guest.read_all(path, FILE).map_err(|error| error.within(path))
}
