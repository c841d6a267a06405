//! Random changes against a model, then everything that can go wrong with room, indexes and protection.

use crate::images::{FLAVOURS, Flavour, Image, find, make, make_with};
use crate::tools::{check, debugfs, dump, mounted, tool};
use crate::tree::{compared, dumped, from_adapter, from_directory};
use fs_ext4::Ext4;
use std::path::Path;
use wherry_sdk::testing::filesystem::{Content, Files, Habits, Model, assert_same, read_all, sequences};
use wherry_sdk::testing::{FileBlob, MemoryBlob, Random, noise, run, run_to};
use wherry_sdk::{ErrorKind, FileSystem, Kind, Meta, now_unix};

/// A file system that is changed, and what it should contain.
struct Bench {
    image: Image,
    device: FileBlob,
    fs: Ext4,
    model: Model,
}

fn meta(random: &mut Random, kind: Kind) -> Meta {
    let mut attributes = vec![("security.selinux".to_owned(), b"system_u:object_r:boot_t:s0\0".to_vec())];
    if random.below(3) == 0 {
        let length = random.below(600) as usize;
        attributes.push(("user.more".into(), random.bytes(length)));
    }
    // The kernel has no user attributes on symbolic links, though ext4 could store them.
    if random.below(4) == 0 || kind == Kind::Symlink {
        attributes.clear();
    }
    Meta {
        kind: Kind::Other,
        size: 77,
        mode: random.below(0o10000) as u32,
        uid: random.below(200_000) as u32,
        gid: random.below(200_000) as u32,
        mtime: random.below(1 << 35) as i64 - (1 << 31),
        id: 1,
        links: 9,
        attributes,
    }
}

fn name(random: &mut Random) -> String {
    format!("n{:x}{}", random.next_u64(), "é".repeat(random.below(60) as usize))
}

impl Bench {
    fn new(flavour: &Flavour, seed: u64) -> Self {
        let image = make(flavour);
        let device = FileBlob::open(&image.path).unwrap();
        let mut fs = Ext4::mount(Box::new(device.clone()), true).unwrap();
        // 2038 in short inodes, else 2310.
        let short = ["ext3-4k", "ext2-old"].contains(&flavour.name);
        let time_most = if short { i64::from(i32::MAX) } else { (2 << 32) + i64::from(i32::MAX) };
        let block = u64::from(Ext4::probe(&device).unwrap().unwrap().block);
        let spell = |path: &str| path.to_owned();
        let habits = Habits {
            name,
            spell,
            like: |random, kind| Some(meta(random, kind)),
            links: true,
            block,
            size_most: 400_000,
            time_most,
        };
        let mut model = Model::new(&mut fs, seed, habits);
        // e2fsck wants it to stay.
        model.files.remove("/lost+found");
        Self { image, device, fs, model }
    }

    fn step(&mut self) {
        self.model.step(&mut self.fs);
        if self.model.random.below(37) == 0 {
            self.fs.sync().unwrap();
        }
    }

    /// What should be there, with the number of names of each directory.
    fn expected(&self) -> Files {
        let mut files = compared(self.model.files.clone());
        let directories = files.iter().filter(|(_, node)| node.content == Content::Directory);
        let parents: Vec<String> =
            directories.map(|(path, _)| path.rsplit_once('/').unwrap().0.to_owned()).collect();
        for (path, node) in files.iter_mut().filter(|(_, node)| node.content == Content::Directory) {
            node.links = 2 + parents.iter().filter(|parent| *parent == path).count() as u32;
        }
        files
    }

    /// Writes everything back and asks e2fsck, the adapter, the kernel; then lets the kernel write, and asks again.
    fn verify(mut self, name: &str) {
        let model = self.expected();
        assert_same(&model, &from_adapter(&mut self.fs), name);
        self.fs.sync().unwrap();
        let path = self.image.copy("edited");
        self.device.apply(&path).unwrap();
        check(&path);
        assert_same(&model, &adapter_tree(&path), name);
        let Some(mount) = mounted(&path, "ro") else {
            let target = self.image.beside("dumped");
            dump(&path, &target);
            assert_same(&dumped(&model), &dumped(&from_directory(&target)), name);
            return;
        };
        assert_same(&model, &from_directory(&mount.path), name);
        drop(mount);
        let mount = mounted(&path, "rw").unwrap();
        change_by_kernel(&mount.path, &model);
        let tree = from_directory(&mount.path);
        drop(mount);
        check(&path);
        assert_same(&tree, &adapter_tree(&path), name);
    }
}

fn adapter_tree(path: &Path) -> Files {
    from_adapter(&mut Ext4::mount(Box::new(FileBlob::open(path).unwrap()), false).unwrap())
}

/// The kernel adds, removes, lengthens and shortens in every directory.
fn change_by_kernel(root: &Path, model: &Files) {
    for (index, (path, node)) in model.iter().enumerate() {
        let path = root.join(&path[1..]);
        match &node.content {
            Content::Directory => {
                std::fs::write(path.join("by the kernel"), noise(index as u64, index * 37)).unwrap();
            }
            Content::File(_) if index % 5 == 0 => std::fs::remove_file(path).unwrap(),
            Content::File(old) if index % 7 == 0 => {
                let mut content = old.clone();
                content.extend(noise(index as u64, 5000));
                std::fs::write(path, content).unwrap();
            }
            _ => {}
        }
    }
}

fn random_edits(flavours: impl Iterator<Item = &'static Flavour>) {
    for (seed, flavour) in flavours.filter(|flavour| flavour.writable).enumerate() {
        eprintln!("{} with seed {seed}", flavour.name);
        let mut bench = Bench::new(flavour, seed as u64);
        for _ in 0..160 {
            bench.step();
        }
        bench.verify(flavour.name);
    }
}

#[test]
fn random_edits_of_even_flavours() {
    random_edits(FLAVOURS.iter().step_by(2));
}

#[test]
fn random_edits_of_odd_flavours() {
    random_edits(FLAVOURS.iter().skip(1).step_by(2));
}

/// After each single change `e2fsck` finds nothing.
#[test]
fn single_changes() {
    let layouts = FLAVOURS.iter().filter(|flavour| flavour.writable);
    for (number, flavour) in (500..).zip(layouts.take(if sequences().is_some() { usize::MAX } else { 3 })) {
        for sequence in 0..sequences().unwrap_or(1) {
            let mut bench = Bench::new(flavour, number + 100 * sequence);
            let path = bench.image.copy("step");
            for _ in 0..40 {
                bench.model.step(&mut bench.fs);
                bench.fs.sync().unwrap();
                bench.device.apply(&path).unwrap();
                check(&path);
            }
        }
    }
}

#[test]
fn append_writes_only_what_is_new() {
    for name in ["default", "ext3", "1k"] {
        let mut bench = Bench::new(find(name), 1);
        let mut content = read_all(&mut bench.fs, "/boot/initrd", (1 << 20) + 5000);
        for seed in 0..3 {
            let more = noise(seed, 1_500_001);
            bench.fs.append("/boot/initrd", &MemoryBlob::read_only(more.clone())).unwrap();
            content.extend(more);
        }
        bench.fs.sync().unwrap();
        let written = bench.device.overlay_bytes();
        assert!((4_500_000..4_800_000).contains(&written), "{name}: {written} bytes written");
        let node = bench.model.files.get_mut("/boot/initrd").unwrap();
        node.content = Content::File(content);
        node.mtime = now_unix() as i64;
        bench.verify(name);
    }
}

/// Every other block is free, so that a file of 3 MiB is in thousands of pieces.
#[test]
fn fragments() {
    for name in ["1k", "default", "ext3", "mapped-sums"] {
        let mut bench = Bench::new(find(name), 2);
        let block = if name == "default" { 4096 } else { 1024 };
        let small = MemoryBlob::read_only(vec![7; block]);
        bench.fs.make_directory("/holes", None).unwrap();
        for index in 0..2600 {
            bench.fs.write(&format!("/holes/{index}"), &small, None).unwrap();
        }
        let free = bench.fs.room().unwrap().free as usize - block * 800;
        bench.fs.write("/filler", &MemoryBlob::read_only(vec![1; free]), None).unwrap();
        for index in (0..2600).step_by(2) {
            bench.fs.remove(&format!("/holes/{index}")).unwrap();
        }
        let content = noise(5, 1280 * block + 5);
        bench.fs.write("/pieces", &MemoryBlob::read_only(content.clone()), None).unwrap();
        bench.fs.remove("/filler").unwrap();
        bench.fs.append("/pieces", &small).unwrap();
        bench.fs.sync().unwrap();
        let path = bench.image.copy("pieces");
        bench.device.apply(&path).unwrap();
        check(&path);
        let mut reread = Ext4::mount(Box::new(FileBlob::open(&path).unwrap()), false).unwrap();
        let mut expected = content;
        expected.extend(vec![7; block]);
        assert!(read_all(&mut reread, "/pieces", expected.len() as u64) == expected);
        if let Some(mount) = mounted(&path, "ro") {
            assert!(std::fs::read(mount.path.join("pieces")).unwrap() == expected, "{name}");
        }
        for index in (1..2600).step_by(2) {
            bench.fs.remove(&format!("/holes/{index}")).unwrap();
        }
        bench.fs.write("/pieces", &small, None).unwrap();
        bench.fs.remove("/pieces").unwrap();
        bench.fs.remove("/holes").unwrap();
        bench.verify(name);
    }
}

/// Indexes of one and two levels under every hash; names with characters whose sign matters.
#[test]
fn indexes_under_every_hash() {
    for (hash, flags) in
        [("half_md4", 1), ("half_md4", 2), ("tea", 1), ("tea", 2), ("legacy", 1), ("legacy", 2)]
    {
        let image = make(find("1k"));
        run(tool("tune2fs").args(["-E", &format!("hash_alg={hash}")]).arg(&image.path));
        debugfs(&image.path, &format!("set_super_value flags {flags}\n"));
        run_to(tool("e2fsck").args(["-fyD"]).arg(&image.path), &[0, 1]);
        let device = FileBlob::open(&image.path).unwrap();
        let mut fs = Ext4::mount(Box::new(device.clone()), true).unwrap();
        let empty = MemoryBlob::read_only(Vec::new());
        let name = |index: u64| format!("/few/{index}{}", "ÿ".repeat(20 + (index % 80) as usize));
        for index in 0..1500 {
            fs.write(&name(index), &empty, None).unwrap();
            fs.make_symlink(&format!("/many/{index}"), "x", None).unwrap();
        }
        for index in (0..1500).step_by(3) {
            fs.remove(&name(index)).unwrap();
        }
        fs.sync().unwrap();
        device.apply(&image.path).unwrap();
        check(&image.path);
        let mut fs = Ext4::mount(Box::new(device), false).unwrap();
        for index in 0..1500 {
            assert_eq!(fs.stat(&name(index)).is_ok(), index % 3 != 0, "{}", name(index));
        }
        if let Some(mount) = mounted(&image.path, "ro") {
            for index in 0..1500 {
                let path = mount.path.join(&name(index)[1..]);
                assert_eq!(path.exists(), index % 3 != 0, "{hash} {flags} {}", path.display());
                assert!(mount.path.join(format!("many/{index}")).is_symlink());
            }
        }
    }
}

/// A new index in an empty directory, up to the limit of two levels.
#[test]
fn an_index_that_is_full() {
    let image =
        make_with(&["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^64bit", "-I", "128", "-N", "40000"]);
    let device = FileBlob::open(&image.path).unwrap();
    let mut fs = Ext4::mount(Box::new(device.clone()), true).unwrap();
    let name = |index: u64| format!("/empty/{index:07}{}", "n".repeat(247));
    let mut made = 0;
    let error = loop {
        match fs.make_symlink(&name(made), "x", None) {
            Ok(()) => made += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind, ErrorKind::NoSpace);
    assert!(error.message.contains("large_dir"), "{} after {made}", error.message);
    assert!(made > 20_000);
    assert_eq!(
        fs.sync().unwrap_err().kind,
        ErrorKind::Failed,
        "a change that failed half-way is not written"
    );
    assert_eq!(device.overlay_bytes() >> 20, 0, "nothing of it");
}

#[test]
fn no_room() {
    for name in ["default", "ext2", "small-groups"] {
        let mut bench = Bench::new(find(name), 3);
        let free = bench.fs.room().unwrap().free;
        let before = bench.device.overlay_bytes();
        let big = MemoryBlob::read_only(vec![3; free as usize + 1]);
        assert_eq!(bench.fs.write("/big", &big, None).unwrap_err().kind, ErrorKind::NoSpace);
        assert_eq!(bench.fs.append("/etc/fstab", &big).unwrap_err().kind, ErrorKind::NoSpace);
        assert_eq!(bench.device.overlay_bytes(), before);
        let piece = MemoryBlob::read_only(vec![4; 300_000]);
        let mut index = 0;
        let error = loop {
            match bench.fs.write(&format!("/few/fill{index}"), &piece, None) {
                Ok(()) => index += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind, ErrorKind::NoSpace);
        bench.fs.sync().unwrap();
        let path = bench.image.copy("full");
        bench.device.apply(&path).unwrap();
        check(&path);
        for index in 0..index {
            bench.fs.remove(&format!("/few/fill{index}")).unwrap();
        }
        assert!(bench.fs.room().unwrap().free + (64 << 10) >= free);
        bench.model.files.get_mut("/few").unwrap().mtime = now_unix() as i64;
        bench.verify(name);
    }
}

#[test]
fn refusals_change_nothing() {
    let image = make(find("default"));
    debugfs(
        &image.path,
        "set_inode_field /etc/big flags 0x80010\nset_inode_field /boot/initrd flags 0x80020\n\
         set_inode_field /few links_count 64999\n",
    );
    let device = FileBlob::open(&image.path).unwrap();
    let mut fs = Ext4::mount(Box::new(device.clone()), true).unwrap();
    let empty = MemoryBlob::read_only(Vec::new());
    let bad = |name: &str| Meta {
        attributes: vec![(name.into(), vec![1])],
        ..meta(&mut Random::new(1), Kind::File)
    };
    let results = [
        (fs.write("/etc/big", &empty, None), ErrorKind::Denied),
        (fs.append("/etc/big", &empty), ErrorKind::Denied),
        (fs.write("/boot/initrd", &empty, None), ErrorKind::Denied),
        (fs.remove("/boot/initrd"), ErrorKind::Denied),
        (fs.rename("/etc/big", "/x"), ErrorKind::Denied),
        (fs.remove("/"), ErrorKind::InvalidInput),
        (fs.remove("/missing"), ErrorKind::NotFound),
        (fs.remove("/etc"), ErrorKind::Exists),
        (fs.write("/etc", &empty, None), ErrorKind::InvalidInput),
        (fs.append("/short", &empty), ErrorKind::InvalidInput),
        (fs.append("/missing", &empty), ErrorKind::NotFound),
        (fs.write("/missing/file", &empty, None), ErrorKind::NotFound),
        (fs.make_directory("/etc", None), ErrorKind::Exists),
        (fs.make_symlink("/new", "", None), ErrorKind::InvalidInput),
        (fs.make_symlink("/new", &"x".repeat(4096), None), ErrorKind::InvalidInput),
        (fs.rename("/etc", "/etc/in/itself"), ErrorKind::NotFound),
        (fs.rename("/var", "/var/lib/x"), ErrorKind::InvalidInput),
        (fs.rename("/short", "/empty"), ErrorKind::Exists),
        (fs.rename("/empty", "/short"), ErrorKind::Exists),
        (fs.rename("/empty", "/many"), ErrorKind::Exists),
        (fs.set_meta("/etc/fstab", &bad("unknown.name")), ErrorKind::InvalidInput),
        (fs.set_meta("/etc/fstab", &bad("system.data")), ErrorKind::InvalidInput),
        (fs.write("/new", &empty, Some(&bad("unknown.name"))), ErrorKind::InvalidInput),
    ];
    for (index, (result, kind)) in results.into_iter().enumerate() {
        assert_eq!(result.unwrap_err().kind, kind, "case {index}");
    }
    fs.sync().unwrap();
    assert_eq!(device.overlay_bytes(), 0);
    fs.make_directory("/few/one more", None).unwrap();
    assert_eq!(fs.stat("/few").unwrap().links, 1, "too many to be counted");
    fs.remove("/few/one more").unwrap();
    assert_eq!(fs.stat("/few").unwrap().links, 1);
}

/// Hard links, shared blocks of attributes, attributes that do not fit, access control lists.
#[test]
fn links_and_attributes() {
    let mut bench = Bench::new(find("ext3-4k"), 4);
    let fs = &mut bench.fs;
    fs.write("/etc/fstab", &MemoryBlob::read_only(b"both".to_vec()), None).unwrap();
    assert_eq!(fs.read("/etc/fstab.link", 0, 10).unwrap(), b"both");
    fs.remove("/etc/fstab").unwrap();
    assert_eq!(fs.stat("/etc/fstab.link").unwrap().links, 1);
    fs.rename("/etc/fstab.link", "/etc/fstab").unwrap();
    let mut meta = fs.stat("/etc/fstab").unwrap();
    assert_eq!(meta.attributes.len(), 2, "the label stays: {:?}", meta.attributes);
    let acl = [
        2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 232, 3, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255,
        16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
    ];
    meta.attributes.push(("system.posix_acl_access".into(), acl.to_vec()));
    meta.mode = 0o640;
    fs.set_meta("/etc/fstab", &meta).unwrap();
    let again = fs.stat("/etc/fstab").unwrap();
    assert!(again.attributes.contains(&("system.posix_acl_access".into(), acl.to_vec())));
    meta.attributes.push(("user.too-long".into(), vec![0; 4096]));
    assert_eq!(fs.set_meta("/etc/fstab", &meta).unwrap_err().kind, ErrorKind::NoSpace);
    let mut attributes = again.attributes;
    attributes.sort();
    let model = &mut bench.model.files;
    model.remove("/etc/fstab.link");
    let node = model.get_mut("/etc/fstab").unwrap();
    (node.content, node.links, node.attributes) = (Content::File(b"both".to_vec()), 1, attributes);
    node.mtime = now_unix() as i64;
    model.get_mut("/etc").unwrap().mtime = node.mtime;
    bench.verify("attributes");
}
