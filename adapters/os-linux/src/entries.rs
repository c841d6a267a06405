//! Everything that can be booted: the entries of every boot loader's menu, and kernels that no menu names.

use crate::files::{exists, file, listed, natural, text};
use crate::grub::{self, Menu, Raw, Variables};
use crate::{lilo, loaders};
use wherry_sdk::Tree;

/// Entries in all.
const ENTRIES: usize = 512;
/// Where an EFI system partition can be mounted.
pub const ESPS: [&str; 3] = ["/boot/efi", "/efi", "/boot"];

/// One thing that can be booted.
#[derive(Debug)]
pub struct Entry {
    /// What the menu shows, or the kernel's path.
    pub title: String,
    /// The file that says so.
    pub source: String,
    /// The kernel's path without links; none if there is no such file.
    pub kernel: Option<String>,
    /// The kernel's path as it is written.
    pub kernel_text: String,
    /// Paths without links of the images that are there.
    pub initrds: Vec<String>,
    /// Images that are named but missing.
    pub missing: Vec<String>,
    /// The kernel's command line.
    pub arguments: String,
    /// Whether it starts by itself.
    pub default: bool,
    /// Xen starts before the kernel.
    pub hypervisor: bool,
    /// A unified kernel image: kernel, initramfs and command line in one signed file.
    pub unified: bool,
}

impl Entry {
    /// Whether it can be a tester of memory or the like: it is given neither an initramfs nor a root.
    pub fn starts_no_system(&self) -> bool {
        let root = self.arguments.split(' ').any(|word| word.starts_with("root="));
        self.initrds.is_empty()
            && self.missing.is_empty()
            && !root
            && self.kernel.as_ref() != Some(&self.source)
    }

    /// Whether the boot loader knows kernel and initramfs by their sectors only.
    pub fn mapped(&self) -> bool {
        self.source == lilo::FILE
    }
}

/// Menus of GRUB, new and old, without duplicates.
pub fn grub_menus(guest: &dyn Tree) -> Vec<String> {
    let fixed =
        ["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/grub/menu.lst", "/boot/grub/grub.conf"];
    let vendors = ["/boot/efi/EFI", "/efi/EFI"].iter().flat_map(|folder| {
        let vendors = crate::files::names(guest, folder).into_iter().take(64);
        // GRUB legacy of RHEL 6 for UEFI has its menu there
        vendors
            .flat_map(move |vendor| ["grub.cfg", "grub.conf"].map(|name| format!("{folder}/{vendor}/{name}")))
    });
    distinct(guest, fixed.into_iter().map(str::to_owned).chain(vendors))
}

/// Menus of SYSLINUX, without duplicates.
pub fn extlinux_menus(guest: &dyn Tree) -> Vec<String> {
    let paths = [
        "/boot/extlinux/extlinux.conf",
        "/boot/extlinux.conf",
        "/boot/syslinux/syslinux.cfg",
        "/boot/syslinux/extlinux.conf",
        "/extlinux.conf",
    ];
    distinct(guest, paths.into_iter().map(str::to_owned))
}

/// Settings of LILO, and of ELILO, which reads them when it starts.
pub fn lilo_menus(guest: &dyn Tree) -> Vec<String> {
    let vendors = ["/boot/efi/EFI", "/efi/EFI"].iter().flat_map(|folder| {
        let vendors = crate::files::names(guest, folder).into_iter().take(64);
        vendors.map(move |vendor| format!("{folder}/{vendor}/elilo.conf"))
    });
    distinct(guest, ["/etc/lilo.conf".to_owned()].into_iter().chain(vendors))
}

/// Files of BLS entries.
pub fn bls_files(guest: &dyn Tree) -> Vec<String> {
    let all = ESPS.iter().flat_map(|esp| listed(guest, &format!("{esp}/loader/entries"), ".conf"));
    distinct(guest, all.take(ENTRIES))
}

/// GRUB's environment blocks.
pub fn environments(guest: &dyn Tree) -> Vec<String> {
    distinct(guest, ["/boot/grub2/grubenv", "/boot/grub/grubenv"].into_iter().map(str::to_owned))
}

/// Paths without links of those that are files.
fn distinct(guest: &dyn Tree, paths: impl Iterator<Item = String>) -> Vec<String> {
    let mut found = Vec::new();
    for real in paths.filter_map(|path| file(guest, &path)) {
        if !found.contains(&real) {
            found.push(real);
        }
    }
    found
}

/// The variables of GRUB's environment block.
pub fn variables(guest: &dyn Tree) -> Variables {
    let blocks = environments(guest).into_iter().filter_map(|path| text(guest, &path));
    blocks.flat_map(|block| grub::environment(&block)).collect()
}

/// Files of variables that a menu of GRUB loads (`load_env -f FILE`): Photon's kernel, initramfs and command line.
fn loaded(guest: &dyn Tree, source: &str, menu: &str) -> Vec<String> {
    let names = menu.lines().filter_map(|line| line.trim().strip_prefix("load_env -f "));
    let files = names.take(16).filter_map(|name| locate(guest, source, name.trim().trim_matches('"')));
    files.filter(|path| !path.ends_with("/grubenv")).collect()
}

/// The same of all menus, without duplicates.
pub fn loaded_everywhere(guest: &dyn Tree) -> Vec<String> {
    let menus = grub_menus(guest).into_iter().filter_map(|path| text(guest, &path).map(|text| (path, text)));
    let files = menus.flat_map(|(path, text)| loaded(guest, &path, &text));
    distinct(guest, files.collect::<Vec<_>>().into_iter())
}

/// Everything that can be booted, in the order of the menus.
pub fn entries(guest: &dyn Tree) -> Vec<Entry> {
    let variables = variables(guest);
    let mut all = Vec::new();
    for path in grub_menus(guest) {
        let content = text(guest, &path).unwrap_or_default();
        let own = loaded(guest, &path, &content).into_iter().filter_map(|path| text(guest, &path));
        let mut known = variables.clone();
        own.for_each(|block| known.extend(grub::environment(&block)));
        let mut menu = grub::menu(&content, &known);
        if menu.default.is_none() {
            menu.default = variables.get("saved_entry").cloned();
        }
        add(guest, &path, &menu, !menu.bls, &mut all);
    }
    for path in extlinux_menus(guest) {
        add(guest, &path, &loaders::extlinux(&text(guest, &path).unwrap_or_default()), true, &mut all);
    }
    // a lilo.conf that was left behind by a move to GRUB says nothing
    for path in
        lilo_menus(guest).into_iter().filter(|path| *path != lilo::FILE || all.is_empty()).collect::<Vec<_>>()
    {
        add(guest, &path, &loaders::lilo(&text(guest, &path).unwrap_or_default()), true, &mut all);
    }
    bls(guest, &variables, &mut all);
    unified(guest, &mut all);
    unlisted(guest, &mut all);
    all
}

fn add(guest: &dyn Tree, source: &str, menu: &Menu, has_default: bool, all: &mut Vec<Entry>) {
    let default = menu.default_entry().filter(|_| has_default);
    for (n, raw) in menu.entries.iter().enumerate() {
        if all.len() < ENTRIES && raw.kernel.is_some() {
            all.push(entry(guest, source, raw, default == Some(n)));
        }
    }
}

fn entry(guest: &dyn Tree, source: &str, raw: &Raw, default: bool) -> Entry {
    let kernel_text = raw.kernel.clone().unwrap_or_default();
    let found = raw.initrds.iter().map(|path| (path, locate(guest, source, path)));
    let (here, missing): (Vec<_>, Vec<_>) = found.partition(|(_, real)| real.is_some());
    let title = if raw.title.is_empty() { raw.id.clone() } else { raw.title.clone() };
    Entry {
        title,
        source: source.to_owned(),
        kernel: locate(guest, source, &kernel_text),
        kernel_text,
        initrds: here.into_iter().filter_map(|(_, real)| real).collect(),
        missing: missing.into_iter().map(|(path, _)| path.clone()).collect(),
        arguments: raw.arguments.clone(),
        default,
        hypervisor: raw.hypervisor,
        unified: false,
    }
}

/// The file that a menu means: its paths begin at the file system that the boot loader reads, or at the menu's folder.
fn locate(guest: &dyn Tree, source: &str, path: &str) -> Option<String> {
    // `($root)/vmlinuz`, `(hd0,1)/vmlinuz`
    let path = if path.starts_with('(') { path.split_once(')')?.1 } else { path };
    let folder = source.rsplit_once('/').map_or("", |(folder, _)| folder);
    if !path.starts_with('/') {
        return file(guest, &format!("{folder}/{path}"));
    }
    let base = ["/boot/efi", "/efi"].into_iter().find(|esp| source.starts_with(esp)).unwrap_or("/boot");
    let bases = [base, "/boot", "", "/boot/efi", "/efi"];
    let found = |path: &str| bases.iter().find_map(|base| file(guest, &format!("{base}{path}")));
    found(path).or_else(|| found(below_subvolume(path)?))
}

/// GRUB counts from the top of a btrfs volume: `/@rootfs/boot/vmlinuz`, `/@boot/vmlinuz`.
fn below_subvolume(path: &str) -> Option<&str> {
    let boot = path.find("/boot/").filter(|at| *at > 0);
    let first = || path.starts_with("/@").then(|| path.get(1..)?.find('/').map(|at| at + 1)).flatten();
    path.get(boot.or_else(first)?..)
}

fn bls(guest: &dyn Tree, variables: &Variables, all: &mut Vec<Entry>) {
    let files = bls_files(guest);
    let id = |path: &String| path.rsplit('/').next().unwrap_or_default().trim_end_matches(".conf").to_owned();
    let configured = ESPS.iter().find_map(|esp| text(guest, &format!("{esp}/loader/loader.conf")));
    let pattern = configured.and_then(|text| {
        let value = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("default ").map(str::trim).map(str::to_owned))?;
        Some(value.trim_end_matches(".conf").to_owned())
    });
    let saved = variables.get("saved_entry").or(pattern.as_ref());
    let matches = |path: &&String| {
        saved.is_some_and(|name| {
            let id = id(path);
            id == *name || name.strip_suffix('*').is_some_and(|start| id.starts_with(start))
        })
    };
    // the newest by name, rescue images aside
    let newest = || {
        let names = files.iter().filter(|path| !path.contains("rescue"));
        names.max_by(|a, b| natural(&id(a), &id(b)))
    };
    let default = files.iter().find(matches).or_else(newest).or_else(|| files.first());
    for path in &files {
        let raw = loaders::bls(&id(path), &text(guest, path).unwrap_or_default(), variables);
        if all.len() < ENTRIES && raw.kernel.is_some() {
            all.push(entry(guest, path, &raw, default == Some(path)));
        }
    }
}

/// Unified kernel images (BLS type 2) in an EFI system partition.
fn unified(guest: &dyn Tree, all: &mut Vec<Entry>) {
    let images = ESPS.iter().flat_map(|esp| listed(guest, &format!("{esp}/EFI/Linux"), ".efi"));
    for path in distinct(guest, images) {
        let raw = Raw { title: path.clone(), kernel: Some(path.clone()), ..Raw::default() };
        let entry = entry(guest, &path, &raw, false);
        all.push(Entry { kernel: Some(path), unified: true, ..entry });
    }
}

/// Kernels in `/boot` that no menu names; they come into a menu when it is made again.
fn unlisted(guest: &dyn Tree, all: &mut Vec<Entry>) {
    let kernels = ["vmlinuz-", "vmlinux-", "kernel-"];
    for path in listed(guest, "/boot", "") {
        let name = path.trim_start_matches("/boot/");
        let Some(version) = kernels.iter().find_map(|prefix| name.strip_prefix(prefix)) else { continue };
        let Some(real) = file(guest, &path).filter(|_| all.len() < ENTRIES) else { continue };
        if all.iter().any(|entry| entry.kernel.as_ref() == Some(&real)) {
            continue;
        }
        let patterns = ["initrd.img-V", "initramfs-V.img", "initrd-V", "initrd-V.img", "initramfs-V"];
        let mut images = patterns.iter().map(|pattern| format!("/boot/{}", pattern.replace('V', version)));
        let initrd = images.find(|path| exists(guest, path));
        let raw = Raw { kernel: Some(path.clone()), initrds: initrd.into_iter().collect(), ..Raw::default() };
        all.push(Entry { title: path.clone(), ..entry(guest, &path, &raw, false) });
    }
}
