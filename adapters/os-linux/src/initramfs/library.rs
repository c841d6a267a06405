//! The guest's modules for one kernel, as its root file system has them.

use super::elf;
use super::index::{Index, module_name, normal};
use super::stream;
use std::collections::{HashMap, HashSet};
use std::io::Read;
use wherry_sdk::{Error, Result};

/// The most bytes of one module, unpacked; the largest graphics drivers have 40 MiB.
const MODULE_MOST: u64 = 64 << 20;
/// The most modules that one request may pull in.
const CLOSURE_MOST: usize = 512;

/// Reads `/lib/modules/VERSION` of the guest.
pub trait ModuleTree {
    /// A file by its path in that directory; none if there is no such file.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>>;
}

/// The modules that could be added.
pub struct Library<'a> {
    tree: &'a dyn ModuleTree,
    /// the guest's own indexes
    pub index: Index,
    built_in: HashSet<String>,
    places: HashMap<String, usize>,
}

/// A module's file, ready to be put into an image.
pub struct Fetched {
    /// path in the module directory
    pub path: String,
    /// content
    pub bytes: Vec<u8>,
    /// names of the modules that it says it needs
    pub depends: Vec<String>,
}

impl<'a> Library<'a> {
    /// Reads the indexes.
    pub fn open(tree: &'a dyn ModuleTree) -> Result<Self> {
        let get = |name: &str| tree.read(name);
        let index = match Index::from_texts(&get)? {
            Some(index) => index,
            None => Index::from_tries(&get)?
                .ok_or_else(|| Error::unsupported("the guest has no modules.dep; run depmod in it"))?,
        };
        let built_in = get("modules.builtin")?.unwrap_or_default();
        let built_in = String::from_utf8_lossy(&built_in).lines().filter_map(module_name).collect();
        let names = index.files.iter().map(|line| module_name(&line.path));
        let places = names.zip(0..).filter_map(|(name, place)| Some((name?, place))).collect();
        Ok(Self { tree, index, built_in, places })
    }

    /// Whether the kernel itself holds this module.
    pub fn built_in(&self, module: &str) -> bool {
        self.built_in.contains(module)
    }

    /// Whether there is such a module.
    pub fn has(&self, module: &str) -> bool {
        self.places.contains_key(module)
    }

    /// The module's file.
    pub fn path(&self, module: &str) -> Option<&str> {
        let place = self.places.get(module)?;
        self.index.files.get(*place).map(|line| line.path.as_str())
    }

    /// The modules that this one needs, the first to load last.
    pub fn needs(&self, module: &str) -> Vec<String> {
        let line = self.places.get(module).and_then(|place| self.index.files.get(*place));
        line.map(|line| line.needs.iter().filter_map(|path| module_name(path)).collect()).unwrap_or_default()
    }

    /// The module and everything it needs or wants before it, in an order in which they can be loaded.
    pub fn closure(&self, module: &str) -> Result<Vec<String>> {
        let mut order: Vec<String> = Vec::new();
        let mut seen = HashSet::new();
        let mut todo = vec![(module.to_owned(), false)];
        while let Some((module, expanded)) = todo.pop() {
            if expanded {
                order.push(module);
                continue;
            }
            if self.built_in(&module) || !self.has(&module) || !seen.insert(module.clone()) {
                continue;
            }
            if seen.len() > CLOSURE_MOST {
                return Err(Error::unsupported(format!("{module} needs more than {CLOSURE_MOST} modules")));
            }
            let before: Vec<String> = self.wanted_before(&module).chain(self.needs(&module)).collect();
            todo.push((module, true));
            todo.extend(before.into_iter().map(|module| (module, false)));
        }
        Ok(order)
    }

    /// `softdep MODULE pre: ...`: names of modules or aliases that modprobe loads first, if they exist.
    fn wanted_before(&self, module: &str) -> impl Iterator<Item = String> {
        let lines = self.index.soft.iter().filter(move |line| line.0 == module);
        let mut names = Vec::new();
        for (_, rest) in lines {
            let words = rest.split_whitespace().skip_while(|word| *word != "pre:").skip(1);
            names.extend(words.take_while(|word| *word != "post:").map(normal));
        }
        names.into_iter().flat_map(|name| if self.has(&name) { vec![name] } else { self.called(&name) })
    }

    /// The modules with exactly this alias.
    fn called(&self, name: &str) -> Vec<String> {
        let aliases = self.index.aliases.iter().filter(|alias| normal(&alias.0) == name);
        aliases.map(|alias| alias.1.clone()).collect()
    }

    /// Reads a module and checks that it belongs to `release`. It stays packed if `keep` says so for its suffix.
    pub fn fetch(&self, module: &str, release: &str, keep: &dyn Fn(&str) -> bool) -> Result<Fetched> {
        let missing = || Error::unsupported(format!("kernel {release} has no file for module {module}"));
        let path = self.path(module).ok_or_else(missing)?;
        let packed = self.tree.read(path)?.ok_or_else(missing)?;
        let plain = unpacked(path, &packed).map_err(|error| error.within(path))?;
        let information = elf::information(&plain).map_err(|error| error.within(path))?;
        let value = |wanted: &str| information.iter().find(|(key, _)| key == wanted).map(|(_, value)| value);
        let made_for = value("vermagic").and_then(|magic| magic.split(' ').next()).unwrap_or_default();
        if made_for != release {
            let message = format!("module {module} is for kernel {made_for:?}, not {release}");
            return Err(Error::unsupported(message));
        }
        let depends = value("depends").map(String::as_str).unwrap_or_default();
        let depends = depends.split(',').filter(|name| !name.is_empty()).map(normal).collect();
        let (stem, suffix) = path.split_at(path.find(".ko").map_or(path.len(), |at| at + 3));
        if suffix.is_empty() || keep(suffix) {
            return Ok(Fetched { path: path.to_owned(), bytes: packed, depends });
        }
        Ok(Fetched { path: stem.to_owned(), bytes: plain, depends })
    }
}

/// A module as the kernel takes it. Signatures are behind the ELF file and stay there.
fn unpacked(path: &str, packed: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = match path.rsplit('.').next() {
        Some("gz") => flate2::bufread::GzDecoder::new(packed).take(MODULE_MOST).read_to_end(&mut bytes),
        Some("xz") => lzma_rust2::XzReader::new_mem_limit(packed, false, stream::LZMA_KIB)
            .take(MODULE_MOST)
            .read_to_end(&mut bytes),
        Some("zst") => {
            stream::zstd(packed).and_then(|reader| reader.take(MODULE_MOST).read_to_end(&mut bytes))
        }
        _ => return Ok(packed.to_vec()),
    };
    read.map_err(|error| Error::corrupt(0, format!("cannot be decompressed: {error}")))?;
    if bytes.len() as u64 == MODULE_MOST {
        return Err(Error::unsupported("unpacks to more than 64 MiB"));
    }
    Ok(bytes)
}
