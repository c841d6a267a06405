//! System attributes (OpenZFS' module/zfs/sa.c, include/sys/sa_impl.h): a header names a layout, which is a list of attributes
//! in their order; a registry tells their lengths. Before pools of version 24 there was one fixed structure (znode_phys_t).

use crate::bytes::{Block, bits};
use crate::dnode::{Dnode, ObjectSet};
use crate::pool::Pool;
use std::collections::HashMap;
use std::rc::Rc;
use wherry_sdk::{Error, ErrorKind, Result};

const MAGIC: u32 = 0x2f_505a;
/// Types of bonus buffers (dmu_object_type).
pub const OLD: u8 = 17;
pub const NEW: u8 = 44;
/// Bytes of the header before the lengths of what varies.
const HEAD: usize = 6;
/// Attributes and layouts of a dataset: a layout's number has ten bits.
const KNOWN_MOST: usize = 1024;
/// Attributes in a layout.
const ATTRIBUTES_MOST: usize = 256;

/// What attributes a dataset knows, and the layouts of them.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// By number: name, and length, 0 if that varies.
    attributes: HashMap<u16, (String, usize)>,
    layouts: HashMap<u64, Vec<u16>>,
}

/// Attributes of one object by name.
pub type Attributes = HashMap<String, Block>;

fn bad() -> Error {
    Error::new(ErrorKind::Corrupt, "attributes of an object make no sense: run zpool scrub")
}

impl Pool<'_> {
    /// The registry that a dataset's master object names.
    pub fn registry(&mut self, set: &ObjectSet, number: u64) -> Result<Registry> {
        let master = self.object(set, number)?;
        let mut registry = Registry::default();
        if let Some(number) = self.zap_number(&master, "REGISTRY")? {
            let object = self.object(set, number)?;
            for entry in self.zap_all(&object)? {
                let (name, code) = (String::from_utf8_lossy(&entry.name).into_owned(), entry.number());
                let length = bits(code, 24, 16) as usize;
                registry.attributes.insert(bits(code, 0, 16) as u16, (name, length));
            }
        }
        if let Some(number) = self.zap_number(&master, "LAYOUTS")? {
            let object = self.object(set, number)?;
            for entry in self.zap_all(&object)? {
                let number = String::from_utf8_lossy(&entry.name).parse::<u64>().map_err(|_| bad())?;
                let pairs = entry.value.as_chunks::<2>().0.iter().take(ATTRIBUTES_MOST);
                registry.layouts.insert(number, pairs.map(|pair| u16::from_be_bytes(*pair)).collect());
            }
        }
        if registry.attributes.len() > KNOWN_MOST || registry.layouts.len() > KNOWN_MOST {
            return Err(Error::new(ErrorKind::Limit, "a dataset has more than 1024 attributes or layouts"));
        }
        Ok(registry)
    }

    /// The attributes in an object's bonus buffer and in its spill block.
    pub fn system_attributes(&mut self, registry: &Rc<Registry>, dnode: &Dnode) -> Result<Attributes> {
        let mut attributes = Attributes::new();
        registry.read(&dnode.bonus, &mut attributes)?;
        if let Some(pointer) = &dnode.spill {
            let block = self.read(pointer)?;
            registry.read(&block, &mut attributes)?;
        }
        Ok(attributes)
    }
}

impl Registry {
    fn read(&self, block: &Block, into: &mut Attributes) -> Result<()> {
        if block.len() < 8 {
            return Ok(());
        }
        let code = u64::from(block.u16(4));
        let (layout, head) = (bits(code, 0, 10), bits(code, 10, 6) as usize * 8);
        let layout = self.layouts.get(&layout).filter(|_| block.u32(0) == MAGIC).ok_or_else(bad)?;
        let mut at = head;
        let mut lengths = HEAD;
        for number in layout {
            let (name, fixed) = self.attributes.get(number).ok_or_else(bad)?;
            let length = match fixed {
                0 => {
                    let length = usize::from(block.u16(lengths));
                    lengths += 2;
                    length
                }
                fixed => *fixed,
            };
            if at + length > block.len() {
                return Err(bad());
            }
            into.insert(name.clone(), block.part(at, length));
            at = (at + length).next_multiple_of(8);
        }
        Ok(())
    }
}
