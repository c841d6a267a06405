//! Extended attributes: in a list by the side of the others (`xattr=sa`), and as files in a directory of their own
//! (`xattr=dir`). Linux keeps the namespace in the name; other systems have none: theirs are shown as `user.`.

use crate::pool::Pool;
use crate::znode::{FileSystem, Znode};
use wherry_sdk::{Error, ErrorKind, Kind, Result};
use wherry_zfs::{List, Value};

/// One value, and all of an object, in bytes.
const VALUE_MOST: u64 = 64 << 10;
const ALL_MOST: usize = 1 << 20;
const NAMES_MOST: usize = 1024;
const NAMESPACES: [&str; 4] = ["user.", "security.", "trusted.", "system."];

fn shown(name: &str) -> String {
    match NAMESPACES.iter().any(|space| name.starts_with(space)) {
        true => name.to_owned(),
        false => format!("user.{name}"),
    }
}

impl Pool<'_> {
    /// All attributes of an object.
    pub fn attributes(&mut self, of: &FileSystem, znode: &Znode) -> Result<Vec<(String, Vec<u8>)>> {
        let mut all: Vec<(String, Vec<u8>)> = Vec::new();
        if let Some(list) = znode.list.as_ref().filter(|list| !list.is_empty()) {
            for (name, value) in List::parse(list)?.0 {
                if let Value::Bytes(value) = value {
                    all.push((shown(&name), value));
                }
            }
        }
        if znode.attributes != 0 {
            let directory = self.znode(of, znode.attributes)?;
            let (page, more) = self.zap_page(&directory.dnode, 0, NAMES_MOST)?;
            if more {
                return Err(Error::new(ErrorKind::Limit, "there are more than 1024 extended attributes"));
            }
            for (entry, _) in page {
                let file = self.znode(of, crate::directory::target(entry.number()))?;
                let name = shown(&String::from_utf8_lossy(&entry.name));
                if file.kind() != Kind::File || all.iter().any(|(known, _)| *known == name) {
                    continue;
                }
                if file.size > VALUE_MOST {
                    let message = format!("the extended attribute {name} is longer than 64 KiB");
                    return Err(Error::new(ErrorKind::Limit, message));
                }
                let mut value = self.content(&file.dnode, 0, file.size as usize)?.bytes;
                value.resize(file.size as usize, 0);
                all.push((name, value));
            }
        }
        if all.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > ALL_MOST {
            return Err(Error::new(ErrorKind::Limit, "extended attributes take more than 1 MiB"));
        }
        Ok(all)
    }
}
