//! The modules that an unpacked image holds for one kernel, and whether its tools will find them.

use super::index::{Dependency, Index, module_name};
use super::library::Library;
use super::rootfs::{Node, Rootfs};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use wherry_sdk::{Error, Result};

/// The image's module directory.
pub struct Installed {
    /// canonical path of the directory, which may not exist yet
    pub folder: String,
    /// file of each module, relative to the directory
    pub files: BTreeMap<String, String>,
    /// every file's path
    paths: BTreeSet<String>,
    /// the indexes that are there, texts first
    indexes: Vec<Index>,
    /// An index is damaged, so that nothing counts as indexed.
    damaged: bool,
}

impl Installed {
    /// Looks into the image for the modules of `release`.
    pub fn look(rootfs: &Rootfs, release: &str) -> Result<Self> {
        let folder = folder(rootfs, release)?;
        let inside = |path: &str| path.get(folder.len() + 1..).map(str::to_owned);
        let below =
            rootfs.below(&folder).filter(|(_, node)| matches!(node, Node::File(_) | Node::Symlink(_)));
        let paths: BTreeSet<String> = below.filter_map(|(path, _)| inside(path)).collect();
        let get = |name: &str| Ok(rootfs.content(&format!("{folder}/{name}")).map(<[u8]>::to_vec));
        let (texts, tries) = (Index::from_texts(&get), Index::from_tries(&get));
        let damaged = texts.is_err() || tries.is_err();
        let indexes: Vec<Index> =
            [texts, tries].into_iter().filter_map(|index| index.ok().flatten()).collect();
        // Where a module is there twice, plain and packed, the index says which one counts.
        let named = indexes.iter().rev().flat_map(|index| &index.files).map(|line| &line.path);
        let files = paths.iter().chain(named.filter(|path| paths.contains(*path)));
        let files = files.filter_map(|path| Some((module_name(path)?, path.clone()))).collect();
        Ok(Self { folder, files, paths, indexes, damaged })
    }

    /// Whether a module with this suffix (`.xz`) is there, so that the image's tools can read it.
    pub fn uses(&self, suffix: &str) -> bool {
        self.paths.iter().any(|path| module_name(path).is_some() && path.ends_with(suffix))
    }

    /// The index to extend.
    pub fn index(&self) -> Index {
        self.indexes.first().cloned().unwrap_or_default()
    }

    /// Those of `modules` that are not there, or whose needs are not, or that an index does not name.
    pub fn incomplete<'a>(&self, modules: &'a [String], library: &Library<'_>) -> Vec<&'a str> {
        let by_name: Vec<_> = self.indexes.iter().map(|index| (index, index.by_name())).collect();
        let complete = |module: &String| {
            let Some(path) = self.files.get(module) else { return false };
            let wanted = library.index.aliases_of(module);
            let indexed = |(index, lines): &(&Index, HashMap<String, &Dependency>)| {
                let line = lines.get(module).filter(|line| line.path == *path);
                line.is_some_and(|line| line.needs.iter().all(|need| self.paths.contains(need)))
                    && wanted.is_subset(&index.aliases_of(module))
            };
            !self.damaged && !by_name.is_empty() && by_name.iter().all(indexed)
        };
        modules.iter().filter(|module| !complete(module)).map(String::as_str).collect()
    }

    /// The image's index with the lines of `renewed` modules replaced by the guest's, in the guest's order.
    /// `files` says where each module is in the extended image.
    pub fn merge(
        &self,
        library: &Library<'_>,
        renewed: &BTreeSet<String>,
        files: &BTreeMap<String, String>,
    ) -> Index {
        let old = self.index();
        let guest = library.index.ranks();
        let rank = |module: &str| guest.get(module).copied().unwrap_or(u32::MAX);
        let kept = |module: &str| !renewed.contains(module);
        let named = |line: &Dependency| module_name(&line.path).unwrap_or_default();
        let mut merged = Index { files: old.files, ..Index::default() };
        merged.files.retain(|line| kept(&named(line)));
        merged.files.extend(renewed.iter().filter_map(|module| {
            let path = files.get(module)?.clone();
            let needs = library.needs(module).iter().filter_map(|need| files.get(need).cloned()).collect();
            Some(Dependency { path, needs })
        }));
        merged.files.sort_by_cached_key(|line| rank(&named(line)));
        let pairs = |old: Vec<(String, String)>, new: &[(String, String)]| {
            let old = old.into_iter().filter(|pair| kept(&pair.1));
            let new = new.iter().filter(|pair| renewed.contains(&pair.1)).cloned();
            let mut pairs: Vec<_> = old.chain(new).collect();
            pairs.sort_by_key(|pair| rank(&pair.1));
            pairs
        };
        merged.aliases = pairs(old.aliases, &library.index.aliases);
        merged.symbols = pairs(old.symbols, &library.index.symbols);
        let soft = library.index.soft.iter().filter(|line| renewed.contains(&line.0)).cloned();
        merged.soft = old.soft.into_iter().filter(|line| kept(&line.0)).chain(soft).collect();
        merged.soft.sort_by_key(|line| rank(&line.0));
        merged
    }
}

/// Where the image's tools look for modules, by its own symbolic links. An image for other kernels is refused.
fn folder(rootfs: &Rootfs, release: &str) -> Result<String> {
    let roots = ["lib/modules", "usr/lib/modules"].map(|root| rootfs.resolve(root));
    let roots: Vec<&String> = roots.iter().flatten().collect();
    if let Some(root) = roots.iter().find(|root| rootfs.is_directory(&format!("{root}/{release}"))) {
        return Ok(format!("{root}/{release}"));
    }
    let others: BTreeSet<&str> = roots
        .iter()
        .flat_map(|root| {
            rootfs.below(root).filter_map(|(path, _)| path.get(root.len() + 1..)?.split('/').next())
        })
        .collect();
    if !others.is_empty() {
        let others: Vec<&str> = others.into_iter().take(4).collect();
        return Err(Error::unsupported(format!("it is for kernel {}, not {release}", others.join(", "))));
    }
    let root = roots.iter().find(|root| rootfs.is_directory(root)).or(roots.first());
    let root = root.ok_or_else(|| Error::corrupt(0, "symbolic links run in circles above lib/modules"))?;
    Ok(format!("{root}/{release}"))
}

/// Whether every module that `index` loads finds what it needs loaded before it.
pub fn in_order(index: &Index, module: &str) -> bool {
    let lines: HashMap<String, &Dependency> = index.by_name();
    let Some(line) = lines.get(module) else { return false };
    let mut loaded: HashSet<&str> = HashSet::new();
    line.needs.iter().rev().all(|path| {
        let own = module_name(path).and_then(|name| lines.get(&name).copied());
        let ready = own.is_some_and(|own| own.needs.iter().all(|need| loaded.contains(need.as_str())));
        loaded.insert(path);
        ready
    })
}
