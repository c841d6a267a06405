//! Boot configuration data, a hive of its own: `Objects\{id}\Description\Type` and `Objects\{id}\Elements\XXXXXXXX\Element`.
//! Types and numbers are those of Microsoft's `bcd.h` ("BCD reference") and Geoff Chappell's "BCD elements".

use crate::device::{Device, Partition};
use crate::hive::Hive;
use crate::pages::Storage;
use crate::value::Kind;
use crate::{bytes, data};
use wherry_sdk::bytes::field;
use wherry_sdk::image::Uuid;
use wherry_sdk::{Error, ErrorKind, Result};

/// Objects and elements of one store are a few hundred.
const MOST: usize = 10_000;

/// Objects that are the same in every store.
pub mod object {
    use wherry_sdk::image::Uuid;

    /// `{bootmgr}`, Windows Boot Manager.
    pub const BOOTMGR: Uuid = Uuid(0x9dea862c_5cdd_4e70_acc1_f32b344d4795_u128.to_be_bytes());
    /// `{fwbootmgr}`, the firmware's boot manager.
    pub const FIRMWARE: Uuid = Uuid(0xa5a30fa2_3d06_4e9f_b5f4_a01df9d1fcba_u128.to_be_bytes());
    /// `{memdiag}`, the memory tester.
    pub const MEMDIAG: Uuid = Uuid(0xb2721d73_1db4_4c62_bf78_c548a880142d_u128.to_be_bytes());

    /// Type of Windows Boot Manager.
    pub const TYPE_BOOTMGR: u32 = 0x1010_0002;
    /// Type of an entry that loads Windows.
    pub const TYPE_LOADER: u32 = 0x1020_0003;
    /// Type of an entry that resumes from hibernation.
    pub const TYPE_RESUME: u32 = 0x1020_0004;
}

/// Elements. The second digit of a number says what an element holds.
pub mod element {
    /// Where the program lies.
    pub const DEVICE: u32 = 0x1100_0001;
    /// The program.
    pub const PATH: u32 = 0x1200_0002;
    /// What people call it.
    pub const DESCRIPTION: u32 = 0x1200_0004;
    /// Whether boot programs may not use graphics.
    pub const GRAPHICS_DISABLED: u32 = 0x1600_0046;
    /// Where Windows lies.
    pub const OS_DEVICE: u32 = 0x2100_0001;
    /// Windows' folder.
    pub const SYSTEM_ROOT: u32 = 0x2200_0002;
    /// The entry that is booted (of the boot manager).
    pub const DEFAULT: u32 = 0x2300_0003;
    /// The menu (of the boot manager).
    pub const DISPLAY_ORDER: u32 = 0x2400_0001;
    /// Seconds (of the boot manager).
    pub const TIMEOUT: u32 = 0x2500_0004;
    /// Whether the HAL is chosen at boot.
    pub const DETECT_HAL: u32 = 0x2600_0010;
}

/// What an element holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// 1: a device.
    Device(Device),
    /// 2: text.
    Text(String),
    /// 3: an object.
    Object(Uuid),
    /// 4: objects.
    Objects(Vec<Uuid>),
    /// 5: a number.
    Integer(u64),
    /// 6: yes or no.
    Boolean(bool),
    /// 7: numbers.
    Integers(Vec<u64>),
    /// Anything that is not stored as its number says: kind and bytes.
    Other(Kind, Vec<u8>),
}

impl Element {
    fn read(number: u32, kind: Kind, bytes: &[u8]) -> Self {
        let element = match (number >> 24 & 15, kind) {
            (1, Kind::BINARY) => Some(Self::Device(Device::from_bytes(bytes))),
            (2, Kind::SZ) => Some(Self::Text(data::text(bytes))),
            (3, Kind::SZ) => braced(&data::text(bytes)).map(Self::Object),
            (4, Kind::MULTI_SZ) => {
                data::texts(bytes).iter().map(|text| braced(text)).collect::<Option<_>>().map(Self::Objects)
            }
            (5, Kind::BINARY) if bytes.len() == 8 => Some(Self::Integer(bytes::number(bytes, 0, 8))),
            (6, Kind::BINARY) if bytes.len() == 1 => Some(Self::Boolean(field(bytes, 0, 1) != [0])),
            (7, Kind::BINARY) if bytes.len().is_multiple_of(8) => {
                Some(Self::Integers(bytes.chunks(8).map(|number| bytes::number(number, 0, 8)).collect()))
            }
            _ => None,
        };
        element.unwrap_or_else(|| Self::Other(kind, bytes.to_vec()))
    }

    fn store(&self) -> (Kind, Vec<u8>) {
        match self {
            Self::Device(device) => (Kind::BINARY, device.bytes().to_vec()),
            Self::Text(text) => (Kind::SZ, data::sz(text)),
            Self::Object(id) => (Kind::SZ, data::sz(&format!("{{{id}}}"))),
            Self::Objects(ids) => {
                let texts: Vec<String> = ids.iter().map(|id| format!("{{{id}}}")).collect();
                (Kind::MULTI_SZ, data::multi_sz(&texts))
            }
            Self::Integer(number) => (Kind::BINARY, number.to_le_bytes().to_vec()),
            Self::Boolean(yes) => (Kind::BINARY, vec![u8::from(*yes)]),
            Self::Integers(numbers) => {
                (Kind::BINARY, numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
            }
            Self::Other(kind, bytes) => (*kind, bytes.clone()),
        }
    }
}

fn braced(text: &str) -> Option<Uuid> {
    Uuid::parse(text.strip_prefix('{')?.strip_suffix('}')?)
}

fn path(object: &Uuid) -> String {
    format!(r"Objects\{{{object}}}")
}

/// An object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name.
    pub id: Uuid,
    /// What it is.
    pub kind: u32,
}

/// A store. What it changes is changed in the hive, of which it is taken.
pub struct Store<'a, S>(&'a mut Hive<S>);

impl<'a, S: Storage> Store<'a, S> {
    /// The store in a hive.
    ///
    /// # Errors
    /// A hive without objects.
    pub fn open(hive: &'a mut Hive<S>) -> Result<Self> {
        let root = hive.root()?;
        match hive.find(&root, "Objects")? {
            Some(_) => Ok(Self(hive)),
            None => Err(Error::new(
                ErrorKind::Unsupported,
                "this hive is no boot configuration: it has no `Objects`",
            )),
        }
    }

    /// Makes a hive a store: what Windows writes into a new one.
    ///
    /// # Errors
    /// As [`Hive::set`].
    pub fn create(hive: &'a mut Hive<S>) -> Result<Self> {
        hive.set("Description", "KeyName", Kind::SZ, &data::sz("BCD00000000"))?;
        hive.set("Description", "System", Kind::DWORD, &data::dword(1))?;
        hive.set("Description", "TreatAsSystem", Kind::DWORD, &data::dword(1))?;
        hive.make("Objects")?;
        Ok(Self(hive))
    }

    /// Every object whose name is one.
    ///
    /// # Errors
    /// A damaged hive.
    pub fn objects(&mut self) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        for name in self.names("Objects")? {
            let Some(id) = braced(&name) else { continue };
            let kind = self.data(&format!(r"Objects\{name}\Description"), "Type")?;
            let kind = kind.and_then(|(_, bytes)| data::number(&bytes)).unwrap_or(0);
            objects.push(Object { id, kind: kind as u32 });
        }
        Ok(objects)
    }

    /// An object's elements with their numbers.
    ///
    /// # Errors
    /// As `objects`.
    pub fn elements(&mut self, object: &Uuid) -> Result<Vec<(u32, Element)>> {
        let folder = format!(r"{}\Elements", path(object));
        let mut elements = Vec::new();
        for name in self.names(&folder)? {
            let Ok(number) = u32::from_str_radix(&name, 16) else { continue };
            if let Some(element) = self.element(object, number)? {
                elements.push((number, element));
            }
        }
        Ok(elements)
    }

    /// One element.
    ///
    /// # Errors
    /// As `objects`.
    pub fn element(&mut self, object: &Uuid, number: u32) -> Result<Option<Element>> {
        let found = self.data(&format!(r"{}\Elements\{number:08x}", path(object)), "Element")?;
        Ok(found.map(|(kind, bytes)| Element::read(number, kind, &bytes)))
    }

    /// Makes an object of a type, if it is not there.
    ///
    /// # Errors
    /// As [`Hive::set`].
    pub fn make(&mut self, object: &Uuid, kind: u32) -> Result<()> {
        self.0.set(&format!(r"{}\Description", path(object)), "Type", Kind::DWORD, &data::dword(kind))?;
        self.0.make(&format!(r"{}\Elements", path(object))).map(drop)
    }

    /// Sets an element. One that means the same already stays as it is: Windows ends some texts with two NULs.
    ///
    /// # Errors
    /// As [`Hive::set`].
    pub fn set(&mut self, object: &Uuid, number: u32, element: &Element) -> Result<()> {
        if self.element(object, number)?.as_ref() == Some(element) {
            return Ok(());
        }
        let (kind, bytes) = element.store();
        self.0.set(&format!(r"{}\Elements\{number:08x}", path(object)), "Element", kind, &bytes)
    }

    /// Removes an element; false if it is not there.
    ///
    /// # Errors
    /// As [`Hive::remove`].
    pub fn unset(&mut self, object: &Uuid, number: u32) -> Result<bool> {
        self.0.remove(&format!(r"{}\Elements\{number:08x}", path(object)))
    }

    /// The entry that the boot manager starts unless told otherwise.
    ///
    /// # Errors
    /// As `objects`.
    pub fn default_entry(&mut self) -> Result<Option<Uuid>> {
        let default = self.element(&object::BOOTMGR, element::DEFAULT)?;
        Ok(if let Some(Element::Object(id)) = default { Some(id) } else { None })
    }

    /// The boot manager's menu.
    ///
    /// # Errors
    /// As `objects`.
    pub fn display_order(&mut self) -> Result<Vec<Uuid>> {
        let order = self.element(&object::BOOTMGR, element::DISPLAY_ORDER)?;
        Ok(if let Some(Element::Objects(ids)) = order { ids } else { Vec::new() })
    }

    /// The entries that load Windows, with what people call them.
    ///
    /// # Errors
    /// As `objects`.
    pub fn loaders(&mut self) -> Result<Vec<(Uuid, String)>> {
        let mut loaders = Vec::new();
        for object in self.objects()? {
            if object.kind == object::TYPE_LOADER {
                let text = self.element(&object.id, element::DESCRIPTION)?;
                let text = if let Some(Element::Text(text)) = text { text } else { String::new() };
                loaders.push((object.id, text));
            }
        }
        Ok(loaders)
    }

    /// Puts other partitions in place of those for which `new` has one, in every element, in files of ramdisks and virtual disks
    /// too; the elements that changed.
    ///
    /// # Errors
    /// As [`Hive::set`].
    pub fn move_partitions(
        &mut self,
        new: impl Fn(&Partition) -> Option<Partition>,
    ) -> Result<Vec<(Uuid, u32)>> {
        let mut changed = Vec::new();
        for object in self.objects()? {
            for (number, element) in self.elements(&object.id)? {
                let Element::Device(device) = element else { continue };
                if let Some(moved) = device.moved(&new) {
                    self.set(&object.id, number, &Element::Device(moved))?;
                    changed.push((object.id, number));
                }
            }
        }
        Ok(changed)
    }

    /// Names of the keys in a key; none if it is not there.
    fn names(&mut self, path: &str) -> Result<Vec<String>> {
        let root = self.0.root()?;
        let Some(key) = self.0.find(&root, path)? else { return Ok(Vec::new()) };
        let keys = self.0.subkeys(&key)?;
        if keys.len() > MOST {
            let message = format!("`{path}` has {} keys, more than the {MOST} expected here", keys.len());
            return Err(Error::new(ErrorKind::Limit, message));
        }
        Ok(keys.iter().map(|key| key.name.to_string()).collect())
    }

    fn data(&mut self, path: &str, name: &str) -> Result<Option<(Kind, Vec<u8>)>> {
        let root = self.0.root()?;
        let Some(key) = self.0.find(&root, path)? else { return Ok(None) };
        let Some(value) = self.0.value(&key, name)? else { return Ok(None) };
        Ok(Some((value.kind, self.0.data(&value)?)))
    }
}
