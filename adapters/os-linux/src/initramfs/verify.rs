//! The proof before anything is written: the extension is unpacked over the base by the kernel's rules and looked at.

use super::family::Files;
use super::index::Index;
use super::installed::{Installed, in_order};
use super::library::Library;
use super::rootfs::{Node, Rootfs};

/// What the extension is meant to do.
pub struct Promise<'a> {
    /// the image without the extension
    pub base: &'a Rootfs,
    /// the image with it
    pub merged: &'a Rootfs,
    /// the files of the extension, by canonical path
    pub files: &'a Files,
    /// modules that must be found and complete
    pub wanted: &'a [String],
    /// modules that were added
    pub added: &'a [String],
    /// the guest's modules
    pub library: &'a Library<'a>,
    /// kernel release
    pub release: &'a str,
}

impl Promise<'_> {
    /// Ok, or the first broken promise.
    pub fn check(&self) -> Result<(), String> {
        self.nothing_lost()?;
        self.everything_arrived()?;
        self.modules_load()
    }

    /// Every name of the base is still there, of the same type, and holds the same file unless it was replaced.
    fn nothing_lost(&self) -> Result<(), String> {
        if self.merged.lost.len() > self.base.lost.len() {
            return Err("a file's parent directory is missing".to_owned());
        }
        for (path, node) in self.base.nodes() {
            let same = match (node, self.merged.node(path)) {
                (Node::File(_), Some(Node::File(_))) if self.files.contains_key(path) => true,
                (old, Some(new)) => old == new,
                (_, None) => false,
            };
            if !same {
                return Err(format!("/{path} of the image would be lost"));
            }
            let (old, new) = (self.base.regular(path), self.merged.regular(path));
            let changed =
                old.zip(new).is_some_and(|(old, new)| old.size != new.size || old.content != new.content);
            let replaced = self.base.resolve(path).is_some_and(|path| self.files.contains_key(&path));
            if changed && !replaced {
                return Err(format!("/{path} of the image would be overwritten through another name"));
            }
        }
        Ok(())
    }

    fn everything_arrived(&self) -> Result<(), String> {
        for (path, content) in self.files {
            let Some(Node::File(_)) = self.merged.node(path) else {
                return Err(format!("/{path} would not arrive"));
            };
            let file = self.merged.regular(path);
            let right = |kept: &Vec<u8>| kept == content;
            if !file.is_some_and(|f| f.size as usize == content.len() && f.content.as_ref().is_none_or(right))
            {
                return Err(format!("/{path} would arrive damaged"));
            }
        }
        Ok(())
    }

    /// Every wanted module is found by name and by device, its needs are there, and they load in order.
    fn modules_load(&self) -> Result<(), String> {
        if self.wanted.is_empty() {
            return Ok(());
        }
        let installed = Installed::look(self.merged, self.release).map_err(|error| error.message)?;
        let all: Vec<String> = self.wanted.iter().chain(self.added).cloned().collect();
        if let Some(module) = installed.incomplete(&all, self.library).first() {
            return Err(format!("module {module} would not be found"));
        }
        let get =
            |name: &str| Ok(self.merged.content(&format!("{}/{name}", installed.folder)).map(<[u8]>::to_vec));
        let forms = [Index::from_texts(&get), Index::from_tries(&get)];
        let forms = forms.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| error.message)?;
        let indexes: Vec<Index> = forms.iter().flatten().cloned().collect();
        // an image to which no module is added may have the form alone that its own tools read
        if indexes.is_empty() || !self.added.is_empty() && indexes.len() < forms.len() {
            return Err("an index would be missing".to_owned());
        }
        for index in indexes {
            if let Some(module) = all.iter().find(|module| !in_order(&index, module)) {
                return Err(format!("the modules that {module} needs would load in the wrong order"));
            }
        }
        Ok(())
    }
}
