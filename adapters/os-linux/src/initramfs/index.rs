//! The module indexes that depmod makes: which file a module is and what it needs (`modules.dep`), which device or
//! name asks for it (`modules.alias`), which symbol is its own (`modules.symbols`), what is wanted besides
//! (`modules.softdep`) - modules.dep(5), depmod(8). libkmod reads the binary forms, busybox the texts.

use super::trie::{self, Entry};
use std::collections::{HashMap, HashSet};
use wherry_sdk::Result;

/// Reads a file of a module directory by its name.
pub type Get<'a> = dyn Fn(&str) -> Result<Option<Vec<u8>>> + 'a;

/// A line of `modules.dep`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// file of the module, relative to the module directory
    pub path: String,
    /// files of everything it needs; they are loaded from last to first
    pub needs: Vec<String>,
}

/// The indexes of one module directory.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// `modules.dep`
    pub files: Vec<Dependency>,
    /// `modules.alias`: pattern and module
    pub aliases: Vec<(String, String)>,
    /// `modules.symbols`: `symbol:NAME` and module
    pub symbols: Vec<(String, String)>,
    /// `modules.softdep`: module and the rest of the line
    pub soft: Vec<(String, String)>,
}

/// The name by which the kernel knows the module in this file: `crc_t10dif` for `kernel/lib/crc-t10dif.ko.xz`.
pub fn module_name(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (name, suffix) = file.split_once(".ko")?;
    let known = matches!(suffix, "" | ".gz" | ".xz" | ".zst");
    (known && !name.is_empty()).then(|| normal(name))
}

/// A module's name as modprobe(8) compares it: `-` is `_`.
pub fn normal(name: &str) -> String {
    name.replace('-', "_")
}

impl Index {
    /// The text forms, if there is a `modules.dep`.
    pub fn from_texts(get: &Get<'_>) -> Result<Option<Self>> {
        let text = |name: &str| Ok(get(name)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
        let Some(files) = text("modules.dep")? else { return Ok(None) };
        let aliases = text("modules.alias")?.unwrap_or_default();
        let symbols = text("modules.symbols")?.unwrap_or_default();
        let soft = text("modules.softdep")?.unwrap_or_default();
        Ok(Some(Self {
            files: files.lines().filter_map(dependency).collect(),
            aliases: pairs(&aliases, "alias "),
            symbols: pairs(&symbols, "alias "),
            soft: soft
                .lines()
                .filter_map(|line| line.strip_prefix("softdep ")?.split_once(' '))
                .map(|(module, rest)| (normal(module), rest.to_owned()))
                .collect(),
        }))
    }

    /// The binary forms, if there is a `modules.dep.bin`. There is none of `modules.softdep`.
    pub fn from_tries(get: &Get<'_>) -> Result<Option<Self>> {
        let Some(files) = get("modules.dep.bin")? else { return Ok(None) };
        let entries = |name: &str| {
            let mut entries = get(name)?.map_or(Ok(Vec::new()), |bytes| trie::read(&bytes))?;
            entries.sort_by_key(|entry| entry.priority);
            Ok(entries.into_iter().map(|entry| (entry.key, entry.value)).collect::<Vec<_>>())
        };
        let mut files = trie::read(&files)?;
        files.sort_by_key(|entry| entry.priority);
        Ok(Some(Self {
            files: files.iter().filter_map(|entry| dependency(&entry.value)).collect(),
            aliases: entries("modules.alias.bin")?,
            symbols: entries("modules.symbols.bin")?,
            soft: Vec::new(),
        }))
    }

    /// The line of each module.
    pub fn by_name(&self) -> HashMap<String, &Dependency> {
        self.files.iter().filter_map(|line| Some((module_name(&line.path)?, line))).collect()
    }

    /// What udev or modprobe can ask for to get this module.
    pub fn aliases_of(&self, module: &str) -> HashSet<String> {
        let own = self.aliases.iter().filter(|alias| alias.1 == module);
        own.filter_map(|alias| normal_alias(&alias.0)).collect()
    }

    /// The files of a module directory that hold this index, texts and tries.
    pub fn write(&self) -> Vec<(&'static str, Vec<u8>)> {
        let ranks: HashMap<String, u32> = self.ranks();
        let rank = |module: &str| ranks.get(module).copied().unwrap_or(u32::MAX >> 1);
        let entry =
            |key: String, module: &str| Entry { key, value: module.to_owned(), priority: rank(module) };
        let lines = self.files.iter().filter_map(|line| Some((module_name(&line.path)?, text_line(line))));
        let files = lines.map(|(name, line)| Entry { priority: rank(&name), key: name, value: line });
        let aliases = self.aliases.iter().filter_map(|(key, module)| Some(entry(normal_alias(key)?, module)));
        let symbols = self.symbols.iter().map(|(key, module)| entry(key.clone(), module));
        let text = |head: &str, lines: Vec<String>| format!("{head}{}", lines.concat()).into_bytes();
        let alias = |pairs: &[(String, String)]| {
            pairs.iter().map(|(key, module)| format!("alias {key} {module}\n")).collect::<Vec<_>>()
        };
        let soft = self.soft.iter().map(|(module, rest)| format!("softdep {module} {rest}\n")).collect();
        vec![
            ("modules.dep", text("", self.files.iter().map(|line| text_line(line) + "\n").collect())),
            ("modules.dep.bin", trie::write(&files.collect::<Vec<_>>())),
            ("modules.alias", text("# Aliases extracted from modules themselves.\n", alias(&self.aliases))),
            ("modules.alias.bin", trie::write(&aliases.collect::<Vec<_>>())),
            ("modules.softdep", text("# Soft dependencies extracted from modules themselves.\n", soft)),
            (
                "modules.symbols",
                text("# Aliases for symbols, used by symbol_request().\n", alias(&self.symbols)),
            ),
            ("modules.symbols.bin", trie::write(&symbols.collect::<Vec<_>>())),
        ]
    }

    /// Each module's place in `modules.dep`, which is its priority in the tries.
    pub fn ranks(&self) -> HashMap<String, u32> {
        let names = self.files.iter().map(|line| module_name(&line.path));
        names.zip(0u32..).filter_map(|(name, rank)| Some((name?, rank))).collect()
    }
}

fn text_line(line: &Dependency) -> String {
    let mut text = format!("{}:", line.path);
    for need in &line.needs {
        text.push(' ');
        text.push_str(need);
    }
    text
}

/// `kernel/a.ko: kernel/b.ko kernel/c.ko`; old depmods wrote absolute paths, of which the part that matters is kept.
fn dependency(line: &str) -> Option<Dependency> {
    let relative = |path: &str| {
        let inside = path.strip_prefix('/').and_then(|path| path.split_once("modules/")?.1.split_once('/'));
        inside.map_or(path, |(_version, inside)| inside).to_owned()
    };
    let (path, needs) = line.split_once(':')?;
    Some(Dependency { path: relative(path), needs: needs.split_whitespace().map(relative).collect() })
}

fn pairs(text: &str, keyword: &str) -> Vec<(String, String)> {
    let pairs = text.lines().filter_map(|line| line.strip_prefix(keyword)?.rsplit_once(' '));
    pairs.map(|(key, module)| (key.to_owned(), normal(module))).collect()
}

/// A pattern as kmod stores it: `-` is `_` outside of brackets; none if the brackets do not match.
fn normal_alias(pattern: &str) -> Option<String> {
    let mut inside = false;
    let mut result = String::with_capacity(pattern.len());
    for letter in pattern.chars() {
        match letter {
            '[' => inside = true,
            ']' if !inside => return None,
            ']' => inside = false,
            _ => {}
        }
        result.push(if letter == '-' && !inside { '_' } else { letter });
    }
    (!inside).then_some(result)
}
