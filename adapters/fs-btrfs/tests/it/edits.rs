//! Random changes against a model, in a volume and in a subvolume that snapshots share; then what btrfs and Linux say.

use crate::images::{Flavour, Image, check, find, flavours, make};
use crate::reading::compared;
use fs_btrfs::Driver;
use std::path::Path;
use std::process::Command;
use wherry_sdk::filesystem::Identity;
use wherry_sdk::testing::filesystem::{
    Content, Files, Habits, Model, assert_same, attributes, from_adapter, from_directory, sequences,
};
use wherry_sdk::testing::{FileBlob, MemoryBlob, Mount, Random, noise, run};
use wherry_sdk::{Blob, EntryPage, ErrorKind, FileSystem, Kind, Meta, Range, Result, Room};

/// What a volume holds before it is changed.
const FLAT: &str = r#"
mkdir -p etc var/lib many
printf 'UUID=x / btrfs defaults 0 1\n' > etc/fstab
setfattr -n security.selinux -v 'system_u:object_r:etc_t:s0' etc/fstab
for size in 0 1 2047 2048 2049 4096 70000 131073 1048576; do
	head -c $size "$NOISE" > etc/noise-$size
	yes "line $size" | head -c $size > etc/text-$size || true
done
truncate -s 1M etc/hole; printf middle | dd of=etc/hole bs=1 seek=700001 conv=notrunc status=none
fallocate -l 300000 etc/ahead; printf 'start' | dd of=etc/ahead conv=notrunc status=none
ln etc/noise-4096 var/lib/second
ln -s ../etc/fstab var/table
cp --reflink=always etc/noise-1048576 etc/clone
dd if="$NOISE" of=etc/clone bs=4096 count=3 seek=100 conv=notrunc status=none
for i in $(seq 300); do echo $i > "many/$i-a_rather_long_name_so_that_one_leaf_is_not_enough"; done
"#;

/// One directory of a file system as if it were the whole.
struct Inside {
    fs: Driver,
    top: &'static str,
}

impl Inside {
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.top)
    }
}

impl FileSystem for Inside {
    fn probe(_: &dyn Blob) -> Result<Option<Identity>> {
        Ok(None)
    }
    fn mount(_: Box<dyn Blob>, _: bool) -> Result<Self> {
        Err(wherry_sdk::Error::unsupported("made by hand"))
    }
    fn stat(&mut self, path: &str) -> Result<Meta> {
        self.fs.stat(&self.at(path))
    }
    fn entries(&mut self, path: &str, start: u64, most: u32) -> Result<EntryPage> {
        self.fs.entries(&self.at(path), start, most)
    }
    fn read(&mut self, path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.fs.read(&self.at(path), offset, length)
    }
    fn read_link(&mut self, path: &str) -> Result<String> {
        self.fs.read_link(&self.at(path))
    }
    fn room(&mut self) -> Result<Room> {
        self.fs.room()
    }
    fn write(&mut self, path: &str, content: &dyn Blob, like: Option<&Meta>) -> Result<()> {
        self.fs.write(&self.at(path), content, like)
    }
    fn modify(&mut self, path: &str, offset: u64, content: &dyn Blob) -> Result<()> {
        self.fs.modify(&self.at(path), offset, content)
    }
    fn rename(&mut self, old: &str, new: &str) -> Result<()> {
        self.fs.rename(&self.at(old), &self.at(new))
    }
    fn remove(&mut self, path: &str) -> Result<()> {
        self.fs.remove(&self.at(path))
    }
    fn make_directory(&mut self, path: &str, like: Option<&Meta>) -> Result<()> {
        self.fs.make_directory(&self.at(path), like)
    }
    fn make_symlink(&mut self, path: &str, target: &str, like: Option<&Meta>) -> Result<()> {
        self.fs.make_symlink(&self.at(path), target, like)
    }
    fn set_meta(&mut self, path: &str, meta: &Meta) -> Result<()> {
        self.fs.set_meta(&self.at(path), meta)
    }
    fn used(&mut self, start: u64, most: u32) -> Result<Vec<Range>> {
        self.fs.used(start, most)
    }
    fn sync(&mut self) -> Result<()> {
        self.fs.sync()
    }
}

fn meta(random: &mut Random, kind: Kind) -> Meta {
    let mut attributes = vec![("security.selinux".to_owned(), b"system_u:object_r:boot_t:s0\0".to_vec())];
    if random.below(3) == 0 {
        let length = random.below(600) as usize;
        attributes.push(("user.more".into(), random.bytes(length)));
    }
    // The kernel has no user attributes on symbolic links.
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

/// A file system that is changed, and what it should contain.
struct Bench {
    image: Image,
    device: FileBlob,
    fs: Inside,
    model: Model,
}

impl Bench {
    fn new(flavour: &Flavour, script: &str, top: &'static str, seed: u64) -> Option<Self> {
        let image = make(flavour, script)?;
        let device = FileBlob::open(&image.path).unwrap();
        let fs = Driver::mount(Box::new(device.clone()), true).unwrap();
        let mut fs = Inside { fs, top };
        let habits = Habits {
            name,
            spell: |path| path.to_owned(),
            like: |random, kind| Some(meta(random, kind)),
            links: true,
            block: 4096,
            size_most: 400_000,
            time_most: i64::MAX,
        };
        let model = Model::new(&mut fs, seed, habits);
        Some(Self { image, device, fs, model })
    }

    fn step(&mut self) {
        self.model.step(&mut self.fs);
        if self.model.random.below(37) == 0 {
            self.fs.sync().unwrap();
        }
    }

    /// Writes everything back and asks btrfs, the adapter, Linux; then lets Linux write, and asks again.
    fn verify(&mut self, name: &str) {
        let model = compared(self.model.files.clone());
        assert_same(&model, &compared(from_adapter(&mut self.fs)), name);
        self.fs.sync().unwrap();
        let path = self.image.beside("edited");
        run(Command::new("cp").args(["--sparse=always"]).arg(&self.image.path).arg(&path));
        self.device.apply(&path).unwrap();
        check(&path);
        let mounted = Mount::by_kernel("btrfs", &path, "rw,subvolid=5").unwrap();
        let top = mounted.path.join(self.fs.top.trim_start_matches('/'));
        let mut there = compared(from_directory(&top));
        for (path, node) in &mut there {
            node.attributes = attributes(&top.join(path.trim_start_matches('/')));
        }
        assert_same(&model, &there, name);
        change_by_kernel(&top, &self.model.files);
        let after = compared(from_directory(&top));
        drop(mounted);
        check(&path);
        let fs = Driver::mount(Box::new(FileBlob::open(&path).unwrap()), false).unwrap();
        let mut fs = Inside { fs, top: self.fs.top };
        let mut ours = compared(from_adapter(&mut fs));
        ours.values_mut().for_each(|node| node.attributes.clear());
        assert_same(&ours, &after, name);
    }
}

/// The kernel adds, removes and lengthens in every directory.
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

#[test]
fn random_edits() {
    for (seed, flavour) in (1..).zip(flavours()) {
        let Some(mut bench) = Bench::new(flavour, FLAT, "", seed) else { return };
        for round in 0..3 {
            (0..60).for_each(|_| bench.step());
            bench.verify(&format!("{} round {round}", flavour.name));
        }
    }
}

/// All blocks of a subvolume are shared with two snapshots, which must stay as they are.
#[test]
fn snapshots_stay_as_they_are() {
    let script = format!(
        "btrfs -q subvolume create @\ncd @\n{FLAT}\ncd ..\nbtrfs -q subvolume snapshot @ one\n\
         echo more > @/etc/more\nbtrfs -q subvolume snapshot -r @ two\n"
    );
    for (seed, flavour) in (100..).zip(flavours()) {
        let Some(mut bench) = Bench::new(flavour, &script, "/@", seed) else { return };
        let snapshots = |fs: &mut Inside| {
            let mut files = Files::new();
            for top in ["/one", "/two"] {
                fs.top = top;
                files.extend(from_adapter(fs).into_iter().map(|(path, node)| (format!("{top}{path}"), node)));
            }
            fs.top = "/@";
            files
        };
        let before = snapshots(&mut bench.fs);
        for round in 0..2 {
            (0..40).for_each(|_| bench.step());
            bench.verify(&format!("{} round {round}", flavour.name));
            assert_same(&snapshots(&mut bench.fs), &before, flavour.name);
        }
    }
}

/// After each single change, `btrfs check` finds nothing.
#[test]
fn single_changes() {
    let few = |flavour: &Flavour| ["default", "small-nodes", "old"].contains(&flavour.name);
    for seed in 0..sequences().unwrap_or(1) {
        let all = (1..).zip(flavours());
        for (index, flavour) in all.filter(|(_, flavour)| sequences().is_some() || few(flavour)) {
            let Some(mut bench) = Bench::new(flavour, FLAT, "", 1000 * index + seed) else { return };
            let path = bench.image.beside("step");
            run(Command::new("cp").args(["--sparse=always"]).arg(&bench.image.path).arg(&path));
            for change in 0..40 {
                eprintln!("{}, seed {seed}, change {change}", flavour.name);
                bench.model.step(&mut bench.fs);
                bench.fs.sync().unwrap();
                bench.device.apply(&path).unwrap();
                check(&path);
            }
            bench.verify(&format!("{}, seed {seed}", flavour.name));
        }
    }
}

#[test]
fn what_is_refused() {
    let script = "btrfs -q subvolume create sub; echo x > sub/file; btrfs -q subvolume snapshot -r sub frozen; echo y > file; chattr +i sub/file";
    let Some(image) = make(find("default"), script) else { return };
    let mut fs = Driver::mount(Box::new(FileBlob::open(&image.path).unwrap()), true).unwrap();
    let new = MemoryBlob::read_only(b"new".to_vec());
    use ErrorKind::{Denied, InvalidInput, Unsupported};
    let kinds = [
        fs.write("/frozen/file", &new, None),
        fs.rename("/file", "/sub/other"),
        fs.remove("/sub"),
        fs.write("/sub/file", &new, None),
        fs.modify("/file", 3, &new),
        fs.write("/sub", &new, None),
    ]
    .map(|result| result.unwrap_err().kind);
    assert_eq!(kinds, [Unsupported, Unsupported, Unsupported, Denied, InvalidInput, InvalidInput]);
    fs.modify("/file", 2, &new).unwrap();
    assert_eq!(fs.read("/file", 0, 100).unwrap(), b"y\nnew");
    let full = fs.write("/large", &MemoryBlob::read_only(vec![1; 200 << 20]), None).unwrap_err();
    assert_eq!(full.kind, ErrorKind::NoSpace, "{full:?}");
    assert!(fs.sync().is_ok());
}
