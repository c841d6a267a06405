//! Random changes against a model in memory, repeatable by seed.

use super::{Content, Files, Node, from_adapter};
use crate::testing::{MemoryBlob, Random};
use crate::{ErrorKind, FileSystem, Kind, Meta, Result, now_unix};

/// Longer paths are not made.
const PATH_MOST: usize = 600;

/// What differs between file systems.
pub struct Habits {
    /// A new name.
    pub name: fn(&mut Random) -> String,
    /// Another spelling of a path to an existing file, where case does not count.
    pub spell: fn(&str) -> String,
    /// What a new object is to be like, if the test looks at that.
    pub like: fn(&mut Random, Kind) -> Option<Meta>,
    /// There are symbolic links.
    pub links: bool,
    /// Bytes of a block: sizes are near to it.
    pub block: u64,
    /// Bytes of the largest file.
    pub size_most: u64,
    /// The last time that can be stored, in seconds since 1970.
    pub time_most: i64,
}

/// What should be on a file system after the changes that were made.
pub struct Model {
    /// The objects. A directory's `links` stay as they were, since file systems count them in their own ways.
    pub files: Files,
    /// Where chance comes from.
    pub random: Random,
    habits: Habits,
}

fn is_file(node: &Node) -> bool {
    matches!(node.content, Content::File(_))
}

fn is_directory(node: &Node) -> bool {
    node.content == Content::Directory
}

fn now() -> i64 {
    now_unix() as i64
}

/// Both sides must agree on whether a change is possible.
fn agree(what: &str, done: Result<()>, allowed: bool) -> bool {
    assert_eq!(done.is_ok(), allowed, "{what}: {done:?}");
    let refused = [ErrorKind::InvalidInput, ErrorKind::NotFound, ErrorKind::Exists];
    assert!(done.as_ref().err().is_none_or(|error| refused.contains(&error.kind)), "{what}: {done:?}");
    allowed
}

impl Model {
    /// A model of what is there now.
    pub fn new<F: FileSystem>(fs: &mut F, seed: u64, habits: Habits) -> Self {
        Self { files: from_adapter(fs), random: Random::new(seed), habits }
    }

    /// A path for whose object `wanted` holds.
    pub fn pick(&mut self, wanted: impl Fn(&Node) -> bool) -> Option<String> {
        let paths: Vec<&String> =
            self.files.iter().filter(|(_, node)| wanted(node)).map(|(path, _)| path).collect();
        (!paths.is_empty()).then(|| paths[self.random.below(paths.len() as u64) as usize].clone())
    }

    /// The path of a file.
    pub fn pick_file(&mut self) -> Option<String> {
        self.pick(is_file)
    }

    /// Content of a size near one of the limits, or any.
    pub fn content(&mut self) -> Vec<u8> {
        let block = self.habits.block;
        let size = match self.random.below(10) {
            0 => 0,
            1..4 => self.random.below(900),
            4..6 => self.random.below(3 * block).min(20_000),
            6 => (block * self.random.below(4)).min(70_000),
            7 => 60_000 + self.random.below(20_000),
            8 => self.random.below(20_000),
            _ => self.random.below(400_000),
        };
        self.random.bytes(size.min(self.habits.size_most) as usize)
    }

    fn new_path(&mut self) -> String {
        let directory = if self.random.below(4) == 0 { None } else { self.pick(is_directory) };
        let directory = directory.filter(|path| path.len() < PATH_MOST).unwrap_or_default();
        format!("{directory}/{}", (self.habits.name)(&mut self.random))
    }

    fn is_empty(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        !self.files.range(inside.clone()..).next().is_some_and(|(other, _)| other.starts_with(&inside))
    }

    /// One change on both sides.
    ///
    /// # Panics
    /// If they do not agree on whether it is possible.
    pub fn step<F: FileSystem>(&mut self, fs: &mut F) {
        match self.random.below(20) {
            0..5 => self.write(fs),
            5..7 => self.replace(fs),
            7..10 => self.modify(fs),
            10..12 => self.rename(fs),
            12..15 => self.remove(fs),
            15..17 => self.make_directory(fs),
            17 if self.habits.links => self.make_symlink(fs),
            _ => self.set_meta(fs),
        }
    }

    /// A name in this path's directory was added or removed.
    fn touch_parent(&mut self, path: &str) {
        let parent = path.rsplit_once('/').map(|(parent, _)| parent);
        if let Some(node) = parent.and_then(|parent| self.files.get_mut(parent)) {
            node.mtime = now();
        }
    }

    fn add<F: FileSystem>(&mut self, fs: &mut F, path: String, content: Content, like: Option<Meta>) {
        let meta = fs.stat(&path).expect("it was just made");
        self.touch_parent(&path);
        self.files.insert(path.clone(), Node::new(content, &meta));
        if let Some(like) = like {
            self.resemble(fs, &path, &like);
        }
    }

    /// The object was told to be like this.
    fn resemble<F: FileSystem>(&mut self, fs: &mut F, path: &str, like: &Meta) {
        let mtime = like.mtime.min(self.habits.time_most);
        let told = fs.stat(path).map(|meta| (meta.mode, meta.mtime));
        assert_eq!(told, Ok((like.mode, mtime)), "{path}");
        let node = self.files.get_mut(path).expect("it is there");
        let (content, id, links) = (node.content.clone(), node.id, node.links);
        *node = Node { id, links, mtime, ..Node::new(content, like) };
    }

    /// All names of a file get its new content.
    fn set_content(&mut self, path: &str, content: &[u8]) {
        let id = self.files[path].id;
        let linked =
            |(other, node): &(&String, &mut Node)| *other == path || (node.links > 1 && node.id == id);
        for (_, node) in self.files.iter_mut().filter(linked) {
            (node.content, node.mtime) = (Content::File(content.to_vec()), now());
        }
    }

    fn write<F: FileSystem>(&mut self, fs: &mut F) {
        let (path, content) = (self.new_path(), self.content());
        let like = (self.habits.like)(&mut self.random, Kind::File);
        let known = self.files.get(&path).map(is_file);
        let done = fs.write(&path, &MemoryBlob::read_only(content.clone()), like.as_ref());
        if agree(&path, done, known != Some(false)) {
            match known {
                Some(_) => self.set_content(&path, &content),
                None => self.add(fs, path, Content::File(content), like),
            }
        }
    }

    fn replace<F: FileSystem>(&mut self, fs: &mut F) {
        let Some(path) = self.pick_file() else { return };
        let content = self.content();
        let spelled = (self.habits.spell)(&path);
        let id = |fs: &mut F| fs.stat(&path).map(|meta| meta.id);
        let before = id(fs);
        agree(&path, fs.write(&spelled, &MemoryBlob::read_only(content.clone()), None), true);
        assert_eq!(id(fs), before, "{path} stays the same file");
        self.set_content(&path, &content);
    }

    fn modify<F: FileSystem>(&mut self, fs: &mut F) {
        let any = self.random.below(8) == 0;
        let Some(path) = self.pick(|node| any || is_file(node)) else { return };
        let new = self.content();
        let old = self.files[&path].content.clone().into_file();
        let size = old.as_ref().map_or(0, Vec::len);
        let offset = [size, self.random.below(size as u64 + 1) as usize][self.random.below(2) as usize];
        let done = fs.modify(&path, offset as u64, &MemoryBlob::read_only(new.clone()));
        if agree(&path, done, old.is_some()) {
            let mut whole = old.unwrap_or_default();
            whole.resize(size.max(offset + new.len()), 0);
            whole[offset..offset + new.len()].copy_from_slice(&new);
            self.set_content(&path, &whole);
        }
    }

    fn rename<F: FileSystem>(&mut self, fs: &mut F) {
        let any = self.random.below(3) == 0;
        let Some(old) = self.pick(|node| if any { !is_file(node) } else { is_file(node) }) else { return };
        let new = match self.random.below(3) {
            0 => self.pick_file().unwrap_or_else(|| "/x".into()),
            _ => self.new_path(),
        };
        let (source, target) = (&self.files[&old], self.files.get(&new));
        // rename(2) does nothing with two names of one object.
        if old != new && source.links > 1 && target.is_some_and(|target| target.id == source.id) {
            return;
        }
        let fits = target.is_none_or(|target| is_directory(source) == is_directory(target));
        let inside = format!("{old}/");
        let free = old == new || target.is_none() || self.is_empty(&new);
        let allowed = fits && free && !new.starts_with(&inside);
        if !agree(&format!("{old} to {new}"), fs.rename(&old, &new), allowed) || old == new {
            return;
        }
        self.unlink(&new);
        let moved: Vec<String> =
            self.files.keys().filter(|path| **path == old || path.starts_with(&inside)).cloned().collect();
        for path in moved {
            let node = self.files.remove(&path).expect("listed");
            self.files.insert(format!("{new}{}", &path[old.len()..]), node);
        }
        self.touch_parent(&old);
        self.touch_parent(&new);
    }

    /// Takes a name away; the object's others, if there are some, are one fewer.
    fn unlink(&mut self, path: &str) {
        let Some(gone) = self.files.remove(path) else { return };
        let others = self.files.values_mut().filter(|node| is_file(node) && node.links > 1);
        for node in others.filter(|node| node.id == gone.id) {
            node.links -= 1;
        }
    }

    fn remove<F: FileSystem>(&mut self, fs: &mut F) {
        let class = self.random.below(4);
        let wanted = move |node: &Node| match class {
            0 => !is_file(node) && !is_directory(node),
            1 => is_directory(node),
            _ => is_file(node),
        };
        let Some(path) = self.pick(wanted) else { return };
        if agree(&path, fs.remove(&path), self.is_empty(&path)) {
            self.unlink(&path);
            self.touch_parent(&path);
        }
    }

    fn make_directory<F: FileSystem>(&mut self, fs: &mut F) {
        let path = self.new_path();
        let like = (self.habits.like)(&mut self.random, Kind::Directory);
        let allowed = !self.files.contains_key(&path);
        if agree(&path, fs.make_directory(&path, like.as_ref()), allowed) {
            agree(&path, fs.make_directory(&path, None), false);
            self.add(fs, path, Content::Directory, like);
        }
    }

    fn make_symlink<F: FileSystem>(&mut self, fs: &mut F) {
        let path = self.new_path();
        let target = format!("../{}", "t".repeat(self.random.below(250) as usize));
        let like = (self.habits.like)(&mut self.random, Kind::Symlink);
        let allowed = !self.files.contains_key(&path);
        if agree(&path, fs.make_symlink(&path, &target, like.as_ref()), allowed) {
            self.add(fs, path, Content::Link(target), like);
        }
    }

    fn set_meta<F: FileSystem>(&mut self, fs: &mut F) {
        let Some(path) = self.pick(|node| is_directory(node) || node.links == 1) else { return };
        let kind = match self.files[&path].content {
            Content::File(_) => Kind::File,
            Content::Directory => Kind::Directory,
            Content::Link(_) => Kind::Symlink,
            Content::Other => return,
        };
        let Some(mut like) = (self.habits.like)(&mut self.random, kind) else { return };
        if kind == Kind::Symlink {
            like.mode = 0o777;
        }
        agree(&path, fs.set_meta(&path, &like), true);
        self.resemble(fs, &path, &like);
    }
}
