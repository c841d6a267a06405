//! Instances: one store each, thrown away after a trap. Calls look like plain functions.

use crate::adapters::{Adapter, TICKS_PER_SECOND};
use crate::check;
use crate::contract as c;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::manifest::{Asks, Kind};
use crate::state::{Blob, GuestTree, Lent, State, Tree};
use crate::wit::{
    disk_format, filesystem_driver, machine_definition, shared, source_os, target_platform, volume_map,
};
use block::Disk;
use std::sync::{Arc, Mutex};
use wasmtime::component::{HasSelf, Linker, Resource, ResourceAny};
use wasmtime::{Store, Trap, UpdateDeadline};

type Called<T> = wasmtime::Result<std::result::Result<T, c::Error>>;

/// Characters of an adapter's message.
const MESSAGE_MOST: usize = 600;

/// A store with the name of its adapter.
struct Room {
    store: Store<State>,
    adapter: Arc<Adapter>,
    dead: bool,
}

impl Room {
    fn new(adapter: &Arc<Adapter>, kind: Kind, rights: Asks, lent: Lent) -> Result<Self> {
        let id = &adapter.manifest.id;
        if adapter.manifest.kind != kind {
            let is = adapter.manifest.kind.name();
            return Err(Error::new(
                ErrorKind::Unfit,
                id,
                "load",
                format!("it is a {is}, not a {}", kind.name()),
            ));
        }
        let mut store = Store::new(&adapter.engine, State::new(adapter, rights, lent));
        store.limiter(|state| &mut state.store_limits);
        store.set_hostcall_fuel(adapter.limits.handed);
        store.set_epoch_deadline(adapter.limits.call_seconds * TICKS_PER_SECOND);
        // Waiting for a server has its own limits, and is not the adapter's time.
        store.epoch_deadline_callback(|mut context| {
            let waited = std::mem::take(&mut context.data_mut().waited);
            match waited.as_secs() * TICKS_PER_SECOND {
                0 => Ok(UpdateDeadline::Interrupt),
                ticks => Ok(UpdateDeadline::Continue(ticks)),
            }
        });
        Ok(Self { store, adapter: adapter.clone(), dead: false })
    }

    fn linker(&self) -> Result<Linker<State>> {
        let mut linker = Linker::new(&self.adapter.engine);
        shared::Imports::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)
            .map_err(|e| self.fault("load", &e))?;
        Ok(linker)
    }

    /// Makes one call: a new deadline, and a trap becomes an error that says which limit or what was logged last.
    fn call<T>(
        &mut self,
        call: &'static str,
        made: impl FnOnce(&mut Store<State>) -> wasmtime::Result<T>,
    ) -> Result<T> {
        let span = tracing::debug_span!("adapter", id = self.adapter.manifest.id, call);
        let _entered = span.enter();
        if self.dead {
            let message = "an earlier call trapped, so this instance is gone";
            return Err(Error::new(ErrorKind::Trap, &self.adapter.manifest.id, call, message));
        }
        self.store.set_epoch_deadline(self.adapter.limits.call_seconds * TICKS_PER_SECOND);
        let store = &mut self.store;
        self.adapter.job.measured(|| made(store)).map_err(|e| {
            self.dead = true;
            self.fault(call, &e)
        })
    }

    /// The same for functions that return the contract's error.
    fn ask<T>(&mut self, call: &'static str, made: impl FnOnce(&mut Store<State>) -> Called<T>) -> Result<T> {
        let answer = self.call(call, made)?;
        answer.map_err(|e| {
            let at = e.at.map(|at| format!(" (at byte {at})")).unwrap_or_default();
            let kind = match e.kind {
                c::ErrorKind::Limit => ErrorKind::Limit,
                c::ErrorKind::Denied => ErrorKind::Denied,
                _ => ErrorKind::Refused,
            };
            let mut error =
                Error::new(kind, &self.adapter.manifest.id, call, format!("{}{at}", cut(&e.message)));
            error.code = Some(code(e.kind));
            error
        })
    }

    fn fault(&self, call: &'static str, e: &wasmtime::Error) -> Error {
        let limits = &self.adapter.limits;
        let text = format!("{e:#}");
        let (kind, message) = match e.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => (
                ErrorKind::Deadline,
                format!("stopped after its limit of {} s for one call", limits.call_seconds),
            ),
            _ if let Some(limit) = exhausted(&text, limits) => (ErrorKind::Limit, limit),
            _ if text.contains("bytes of log") => (ErrorKind::Limit, format!("it wrote {}", e.root_cause())),
            _ if text.contains("no exported instance named") => {
                (ErrorKind::Unfit, format!("it lacks what its kind must export: {}", e.root_cause()))
            }
            Some(trap) => {
                let last = self.store.data().last_error_line.as_deref();
                (
                    ErrorKind::Trap,
                    last.map_or_else(|| trap.to_string(), |line| format!("it crashed: {}", cut(line))),
                )
            }
            None => (ErrorKind::Trap, cut(&text)),
        };
        Error::new(kind, &self.adapter.manifest.id, call, message)
    }

    /// Refuses an answer that cannot be.
    fn believe(&self, call: &'static str, checked: std::result::Result<(), String>) -> Result<()> {
        checked.map_err(|what| Error::new(ErrorKind::Answer, &self.adapter.manifest.id, call, cut(&what)))
    }

    fn lend(&mut self, disk: Arc<dyn Disk>, writable: bool) -> Result<Resource<Blob>> {
        let pushed = self.store.data_mut().table.push(Blob { disk, writable });
        pushed.map_err(|e| Error::new(ErrorKind::Io, &self.adapter.manifest.id, "lend", e))
    }
}

/// The limit of the store that this text of wasmtime's means.
fn exhausted(text: &str, limits: &Limits) -> Option<String> {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["growing memory", "memory minimum size"]) {
        return Some(format!("it wanted more than its limit of {} bytes of memory", limits.memory));
    }
    if has(&["growing table", "table minimum size"]) {
        return Some(format!("it wanted more than its limit of {} elements of a table", limits.tables));
    }
    if has(&["instance count too high"]) {
        return Some(format!("it wanted more than its limit of {} instances", limits.instances));
    }
    has(&["too much data is being copied"])
        .then(|| format!("it handed over more than its limit of {} bytes in one call", limits.handed))
}

/// Messages of adapters are shown to people: a beginning is enough.
fn cut(message: &str) -> String {
    match message.char_indices().nth(MESSAGE_MOST) {
        Some((at, _)) => format!("{}...", &message[..at]),
        None => message.to_owned(),
    }
}

/// The contract's spelling of an error kind.
fn code(kind: c::ErrorKind) -> &'static str {
    match kind {
        c::ErrorKind::InvalidInput => "invalid-input",
        c::ErrorKind::Unsupported => "unsupported",
        c::ErrorKind::Corrupt => "corrupt",
        c::ErrorKind::Dirty => "dirty",
        c::ErrorKind::NotFound => "not-found",
        c::ErrorKind::Exists => "exists",
        c::ErrorKind::Denied => "denied",
        c::ErrorKind::NoSpace => "no-space",
        c::ErrorKind::Busy => "busy",
        c::ErrorKind::Io => "io",
        c::ErrorKind::Cancelled => "cancelled",
        c::ErrorKind::Limit => "limit",
        c::ErrorKind::Failed => "failed",
    }
}

impl Error {
    /// The same error in the contract's terms, to hand to an adapter that called through the host.
    pub fn to_contract(&self) -> c::Error {
        let kinds = [
            c::ErrorKind::InvalidInput,
            c::ErrorKind::Unsupported,
            c::ErrorKind::Corrupt,
            c::ErrorKind::Dirty,
            c::ErrorKind::NotFound,
            c::ErrorKind::Exists,
            c::ErrorKind::Denied,
            c::ErrorKind::NoSpace,
            c::ErrorKind::Busy,
            c::ErrorKind::Io,
            c::ErrorKind::Limit,
        ];
        let kind =
            kinds.into_iter().find(|kind| Some(code(*kind)) == self.code).unwrap_or(c::ErrorKind::Failed);
        c::Error { kind, message: self.to_string(), at: None }
    }
}

/// An opened disk image.
pub struct FormatReader {
    room: Room,
    world: disk_format::DiskFormat,
    reader: ResourceAny,
}

impl FormatReader {
    /// Part 0 is the image, the rest its parents.
    pub fn open(adapter: &Arc<Adapter>, parts: Vec<Arc<dyn Disk>>) -> Result<Self> {
        let mut room = Room::new(adapter, Kind::DiskFormat, Asks::default(), Lent::default())?;
        let linker = room.linker()?;
        let component = &adapter.component;
        let world = room.call("load", |s| disk_format::DiskFormat::instantiate(s, component, &linker))?;
        let parts = parts.into_iter().map(|part| room.lend(part, false)).collect::<Result<Vec<_>>>()?;
        let reader =
            room.ask("reader.open", |s| world.wherry_adapter_format().reader().call_open(s, &parts))?;
        Ok(Self { room, world, reader })
    }

    /// Size, variant, concerns.
    pub fn facts(&mut self) -> Result<c::ImageFacts> {
        let format = self.world.wherry_adapter_format();
        self.room.call("reader.facts", |s| format.reader().call_facts(s, self.reader))
    }

    /// A page of the decode map.
    pub fn extents(&mut self, start: u64, most: u32) -> Result<Vec<c::Extent>> {
        let format = self.world.wherry_adapter_format();
        let list =
            self.room.ask("reader.extents", |s| format.reader().call_extents(s, self.reader, start, most))?;
        self.room.believe("reader.extents", check::count("extents", list.len(), most))?;
        Ok(list)
    }

    /// A page of what was written since a mark was set, of a disk of `length` bytes.
    pub fn changed(&mut self, mark: &str, (start, most): (u64, u32), length: u64) -> Result<Vec<c::Range>> {
        let format = self.world.wherry_adapter_format();
        let call = |s: &mut Store<State>| format.reader().call_changed(s, self.reader, mark, start, most);
        let list = self.room.ask("reader.changed", call)?;
        self.room.believe("reader.changed", check::used(&list, start, most, length))?;
        Ok(list)
    }
}

/// A new disk image.
pub struct FormatWriter {
    room: Room,
    world: disk_format::DiskFormat,
    writer: ResourceAny,
}

impl FormatWriter {
    /// An image of `virtual_size` bytes.
    pub fn create(adapter: &Arc<Adapter>, virtual_size: u64, options: &[c::Fact]) -> Result<Self> {
        let mut room = Room::new(adapter, Kind::DiskFormat, Asks::default(), Lent::default())?;
        let linker = room.linker()?;
        let component = &adapter.component;
        let world = room.call("load", |s| disk_format::DiskFormat::instantiate(s, component, &linker))?;
        let format = world.wherry_adapter_format();
        let writer = room.ask("writer.create", |s| format.writer().call_create(s, virtual_size, options))?;
        Ok(Self { room, world, writer })
    }

    /// What the host does to data before it is placed.
    pub fn shape(&mut self) -> Result<c::Shape> {
        let format = self.world.wherry_adapter_format();
        let shape = self.room.call("writer.shape", |s| format.writer().call_shape(s, self.writer))?;
        self.room.believe("writer.shape", check::shape(&shape))?;
        Ok(shape)
    }

    /// Offsets for these units.
    pub fn place(&mut self, units: &[c::Unit]) -> Result<Vec<u64>> {
        let format = self.world.wherry_adapter_format();
        let list = self.room.ask("writer.place", |s| format.writer().call_place(s, self.writer, units))?;
        self.room.believe("writer.place", check::places(&list, units))?;
        Ok(list)
    }

    /// What goes in front of these units, `lead` bytes each.
    pub fn heads(&mut self, units: &[c::Unit], lead: u32) -> Result<Vec<u8>> {
        let format = self.world.wherry_adapter_format();
        let heads = self.room.ask("writer.heads", |s| format.writer().call_heads(s, self.writer, units))?;
        self.room.believe("writer.heads", check::heads(&heads, units.len(), lead))?;
        Ok(heads)
    }

    /// The files beside the image's own, which is going to be called `name`.
    pub fn parts(&mut self, name: &str) -> Result<Vec<c::ImagePart>> {
        let format = self.world.wherry_adapter_format();
        let parts = self.room.ask("writer.parts", |s| format.writer().call_parts(s, self.writer, name))?;
        self.room.believe("writer.parts", check::parts(&parts, name))?;
        Ok(parts)
    }

    /// Bytes of each of so many parts.
    pub fn lengths(&mut self, parts: usize) -> Result<Vec<u64>> {
        let format = self.world.wherry_adapter_format();
        let lengths = self.room.ask("writer.lengths", |s| format.writer().call_lengths(s, self.writer))?;
        self.room.believe("writer.lengths", check::lengths(&lengths, parts))?;
        Ok(lengths)
    }

    /// Page `page` of the ending.
    pub fn finish(&mut self, page: u32) -> Result<c::Ending> {
        let format = self.world.wherry_adapter_format();
        let ending = self.room.ask("writer.finish", |s| format.writer().call_finish(s, self.writer, page))?;
        self.room.believe("writer.finish", check::ending(&ending))?;
        Ok(ending)
    }
}

/// A volume adapter.
pub struct Volumes {
    room: Room,
    world: volume_map::VolumeMap,
}

impl Volumes {
    /// A fresh instance.
    pub fn open(adapter: &Arc<Adapter>) -> Result<Self> {
        let mut room = Room::new(adapter, Kind::VolumeMap, Asks::default(), Lent::default())?;
        let linker = room.linker()?;
        let world =
            room.call("load", |s| volume_map::VolumeMap::instantiate(s, &adapter.component, &linker))?;
        Ok(Self { room, world })
    }

    /// The parts found on these devices; segments are checked against the devices' lengths.
    pub fn scan(&mut self, devices: &[Arc<dyn Disk>]) -> Result<c::Layout> {
        let lent = devices.iter().map(|d| self.room.lend(d.clone(), false)).collect::<Result<Vec<_>>>()?;
        let volume = self.world.wherry_adapter_volume();
        let layout = self.room.ask("volume.scan", |s| volume.call_scan(s, &lent))?;
        let lengths: Vec<u64> = devices.iter().map(|device| device.length()).collect();
        self.room.believe("volume.scan", check::layout(&layout, &lengths))?;
        Ok(layout)
    }

    /// Room for a new partition on a device, and the writes that make it.
    pub fn add_partition(&mut self, device: &Arc<dyn Disk>, addition: &c::Addition) -> Result<c::Added> {
        let lent = self.room.lend(device.clone(), false)?;
        let volume = self.world.wherry_adapter_volume();
        let call = "volume.add-partition";
        let added = self.room.ask(call, |s| volume.call_add_partition(s, lent, addition))?;
        self.room.believe(call, check::added(&added, addition, device.length()))?;
        Ok(added)
    }

    /// What has to be written so that these devices' labels say where they are; it lies within them.
    pub fn relabel(&mut self, devices: &[Arc<dyn Disk>], facts: &[c::Fact]) -> Result<Vec<c::DevicePatch>> {
        let lent = devices.iter().map(|d| self.room.lend(d.clone(), false)).collect::<Result<Vec<_>>>()?;
        let volume = self.world.wherry_adapter_volume();
        let patches = self.room.ask("volume.relabel", |s| volume.call_relabel(s, &lent, facts))?;
        let lengths: Vec<u64> = devices.iter().map(|device| device.length()).collect();
        self.room.believe("volume.relabel", check::device_patches(&patches, &lengths))?;
        Ok(patches)
    }
}

/// A mounted file system.
pub struct FileSystem {
    room: Room,
    world: filesystem_driver::FilesystemDriver,
    mounted: Option<ResourceAny>,
    /// Bytes of the device.
    length: u64,
}

/// Methods that only pass their arguments on.
macro_rules! mounted_calls {
    ($($(#[$doc:meta])* $name:ident, $call:ident, $label:literal, ($($arg:ident: $ty:ty),*) -> $ret:ty;)*) => {
        impl FileSystem {
            $($(#[$doc])*
            pub fn $name(&mut self $(, $arg: $ty)*) -> Result<$ret> {
                let mounted = self.mounted()?;
                let world = self.world.wherry_adapter_filesystem();
                self.room.ask($label, |s| world.mounted().$call(s, mounted $(, $arg)*))
            })*
        }
    };
}

mounted_calls! {
    /// Attributes of one object.
    stat, call_stat, "mounted.stat", (path: &str) -> c::Meta;
    /// A link's target.
    read_link, call_read_link, "mounted.read-link", (path: &str) -> String;
    /// Free room.
    room, call_room, "mounted.room", () -> c::Room;
    /// As rename(2).
    rename, call_rename, "mounted.rename", (old: &str, new: &str) -> ();
    /// A file, link or empty directory.
    remove, call_remove, "mounted.remove", (path: &str) -> ();
    /// A directory.
    make_directory, call_make_directory, "mounted.make-directory", (path: &str, like: Option<&c::Meta>) -> ();
    /// A symbolic link.
    make_symlink, call_make_symlink, "mounted.make-symlink", (path: &str, target: &str, like: Option<&c::Meta>) -> ();
    /// Writes back.
    sync, call_sync, "mounted.sync", () -> ();
}

impl FileSystem {
    /// A fresh instance with nothing mounted.
    pub fn open(adapter: &Arc<Adapter>) -> Result<Self> {
        let mut room = Room::new(adapter, Kind::FilesystemDriver, Asks::default(), Lent::default())?;
        let linker = room.linker()?;
        let component = &adapter.component;
        let world =
            room.call("load", |s| filesystem_driver::FilesystemDriver::instantiate(s, component, &linker))?;
        Ok(Self { room, world, mounted: None, length: 0 })
    }

    /// The error for an answer of this adapter that cannot be.
    pub fn nonsense(&self, call: &'static str, message: String) -> Error {
        Error::new(ErrorKind::Answer, &self.room.adapter.manifest.id, call, message)
    }

    fn mounted(&self) -> Result<ResourceAny> {
        let id = &self.room.adapter.manifest.id;
        self.mounted.ok_or_else(|| Error::new(ErrorKind::Answer, id, "mounted", "nothing is mounted"))
    }

    /// Whose file system this is, if it is this adapter's.
    pub fn probe(&mut self, device: &Arc<dyn Disk>) -> Result<Option<c::Identity>> {
        let lent = self.room.lend(device.clone(), false)?;
        let world = self.world.wherry_adapter_filesystem();
        let borrowed = Resource::new_borrow(lent.rep());
        let answer = self.room.ask("filesystem.probe", |s| world.call_probe(s, borrowed));
        drop(self.room.store.data_mut().table.delete(lent));
        answer
    }

    /// Makes an empty file system on `device`, which should be an overlay.
    pub fn format(&mut self, device: &Arc<dyn Disk>, kind: &str, label: &str) -> Result<()> {
        let lent = self.room.lend(device.clone(), true)?;
        let world = self.world.wherry_adapter_filesystem();
        let borrowed = Resource::new_borrow(lent.rep());
        let answer = self.room.ask("filesystem.format", |s| world.call_format(s, borrowed, kind, label));
        drop(self.room.store.data_mut().table.delete(lent));
        answer
    }

    /// Mounts; writes go to `device` itself, which should be an overlay.
    pub fn mount(&mut self, device: Arc<dyn Disk>, writable: bool) -> Result<()> {
        let length = device.length();
        let lent = self.room.lend(device, writable)?;
        let world = self.world.wherry_adapter_filesystem();
        let mounted = self.room.ask("mounted.mount", |s| world.mounted().call_mount(s, lent, writable))?;
        self.mounted = Some(mounted);
        self.length = length;
        Ok(())
    }

    /// A page of a directory.
    pub fn entries(&mut self, path: &str, start: u64, most: u32) -> Result<c::EntryPage> {
        let mounted = self.mounted()?;
        let world = self.world.wherry_adapter_filesystem();
        let page = self
            .room
            .ask("mounted.entries", |s| world.mounted().call_entries(s, mounted, path, start, most))?;
        self.room.believe("mounted.entries", check::entries(&page, start, most))?;
        Ok(page)
    }

    /// Bytes of a file.
    pub fn read(&mut self, path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        let mounted = self.mounted()?;
        let world = self.world.wherry_adapter_filesystem();
        let bytes =
            self.room.ask("mounted.read", |s| world.mounted().call_read(s, mounted, path, offset, length))?;
        self.room.believe("mounted.read", check::count("bytes", bytes.len(), length))?;
        Ok(bytes)
    }

    /// Ranges in use.
    pub fn used(&mut self, start: u64, most: u32) -> Result<Vec<c::Range>> {
        let mounted = self.mounted()?;
        let world = self.world.wherry_adapter_filesystem();
        let ranges = self.room.ask("mounted.used", |s| world.mounted().call_used(s, mounted, start, most))?;
        self.room.believe("mounted.used", check::used(&ranges, start, most, self.length))?;
        Ok(ranges)
    }

    fn with_content(
        &mut self,
        content: Arc<dyn Disk>,
        label: &'static str,
        call: impl FnOnce(
            &mut Store<State>,
            &filesystem_driver::FilesystemDriver,
            ResourceAny,
            Resource<Blob>,
        ) -> Called<()>,
    ) -> Result<()> {
        let mounted = self.mounted()?;
        let lent = self.room.lend(content, false)?;
        let borrowed = Resource::new_borrow(lent.rep());
        let world = &self.world;
        let answer = self.room.ask(label, |s| call(s, world, mounted, borrowed));
        drop(self.room.store.data_mut().table.delete(lent));
        answer
    }

    /// Creates a file or replaces its content.
    pub fn write(&mut self, path: &str, content: Arc<dyn Disk>, like: Option<&c::Meta>) -> Result<()> {
        self.with_content(content, "mounted.write", |s, world, mounted, blob| {
            world.wherry_adapter_filesystem().mounted().call_write(s, mounted, path, blob, like)
        })
    }

    /// Overwrites what a file holds from `offset` on.
    pub fn modify(&mut self, path: &str, offset: u64, content: Arc<dyn Disk>) -> Result<()> {
        self.with_content(content, "mounted.modify", |s, world, mounted, blob| {
            world.wherry_adapter_filesystem().mounted().call_modify(s, mounted, path, offset, blob)
        })
    }
}

/// A machine definition's adapter.
pub struct Definition {
    room: Room,
    world: machine_definition::MachineDefinition,
}

impl Definition {
    /// A fresh instance.
    pub fn open(adapter: &Arc<Adapter>) -> Result<Self> {
        let mut room = Room::new(adapter, Kind::MachineDefinition, Asks::default(), Lent::default())?;
        let linker = room.linker()?;
        let component = &adapter.component;
        let world =
            room.call("load", |s| machine_definition::MachineDefinition::instantiate(s, component, &linker))?;
        Ok(Self { room, world })
    }

    /// Plain names of files beside `name` that are read together with it.
    pub fn companions(&mut self, word: &str, name: &str) -> Result<Vec<String>> {
        let world = self.world.wherry_adapter_definition();
        let names = self.room.call("definition.companions", |s| world.call_companions(s, word, name))?;
        self.room.believe("definition.companions", check::companions(&names))?;
        Ok(names)
    }

    /// The machine in the first of these files; the others are its companions.
    pub fn read(
        &mut self,
        word: &str,
        files: &[(String, Arc<dyn Disk>)],
        options: &[c::Fact],
    ) -> Result<c::DefinedMachine> {
        let length = files.first().map_or(0, |(_, file)| file.length());
        let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
        let lent =
            files.iter().map(|(_, file)| self.room.lend(file.clone(), false)).collect::<Result<Vec<_>>>()?;
        let world = self.world.wherry_adapter_definition();
        let machine =
            self.room.ask("definition.read", |s| world.call_read(s, word, &names, &lent, options))?;
        self.room.believe("definition.read", check::definition(&machine, length))?;
        Ok(machine)
    }
}

/// A source adapter with a tree.
pub struct Source {
    room: Room,
    world: source_os::SourceOs,
    tree: Resource<GuestTree>,
}

impl Source {
    /// A fresh instance over this tree.
    pub fn open(adapter: &Arc<Adapter>, tree: Arc<Mutex<dyn Tree>>) -> Result<Self> {
        let mut room = Room::new(adapter, Kind::SourceOs, Asks::default(), Lent::default())?;
        let linker = room.linker()?;
        let world =
            room.call("load", |s| source_os::SourceOs::instantiate(s, &adapter.component, &linker))?;
        let pushed = room.store.data_mut().table.push(GuestTree(tree));
        let tree = pushed.map_err(|e| Error::new(ErrorKind::Io, &adapter.manifest.id, "load", e))?;
        Ok(Self { room, world, tree })
    }

    /// What lives here, if it is this adapter's.
    pub fn identify(&mut self) -> Result<Option<c::OperatingSystem>> {
        let tree = Resource::new_borrow(self.tree.rep());
        let world = self.world.wherry_adapter_source();
        self.room.ask("source.identify", |s| world.call_identify(s, tree))
    }

    /// What has to be made on the disks before the guest can be edited for `profile`.
    pub fn partitions(
        &mut self,
        profile: &c::DeviceProfile,
        options: &[c::Fact],
    ) -> Result<Vec<c::Partition>> {
        let tree = Resource::new_borrow(self.tree.rep());
        let world = self.world.wherry_adapter_source();
        let wanted =
            self.room.ask("source.partitions", |s| world.call_partitions(s, tree, profile, options))?;
        self.room.believe("source.partitions", check::partitions(&wanted))?;
        Ok(wanted)
    }

    /// Edits the guest for `profile`.
    pub fn adapt(&mut self, profile: &c::DeviceProfile, options: &[c::Fact]) -> Result<c::Adaptation> {
        let tree = Resource::new_borrow(self.tree.rep());
        let world = self.world.wherry_adapter_source();
        self.room.ask("source.adapt", |s| world.call_adapt(s, tree, profile, options))
    }
}

/// A target adapter.
pub struct Target {
    room: Room,
    world: target_platform::TargetPlatform,
}

impl Target {
    /// A fresh instance with what the operator grants.
    pub fn open(adapter: &Arc<Adapter>, grant: &Asks, lent: Lent) -> Result<Self> {
        let rights = adapter.manifest.asks.granted(grant);
        let mut room = Room::new(adapter, Kind::TargetPlatform, rights, lent)?;
        let linker = room.linker()?;
        let component = &adapter.component;
        let world =
            room.call("load", |s| target_platform::TargetPlatform::instantiate(s, component, &linker))?;
        Ok(Self { room, world })
    }

    /// What is possible.
    pub fn capabilities(&mut self) -> Result<Vec<c::Fact>> {
        let world = self.world.wherry_adapter_target();
        self.room.ask("target.capabilities", |s| world.call_capabilities(s))
    }

    /// The device profile this machine will get.
    pub fn profile(&mut self, machine: &c::Machine) -> Result<c::Offer> {
        let world = self.world.wherry_adapter_target();
        self.room.ask("target.profile", |s| world.call_profile(s, machine))
    }

    /// Claims the place.
    pub fn prepare(
        &mut self,
        key: &str,
        machine: &c::Machine,
        profile: &c::DeviceProfile,
    ) -> Result<Vec<c::Sink>> {
        let world = self.world.wherry_adapter_target();
        let sinks = self.room.ask("target.prepare", |s| world.call_prepare(s, key, machine, profile))?;
        self.room.believe("target.prepare", check::sinks(&sinks, machine.disks.len()))?;
        Ok(sinks)
    }

    /// What has to be sent to a server.
    pub fn ship(
        &mut self,
        key: &str,
        machine: &c::Machine,
        profile: &c::DeviceProfile,
    ) -> Result<Option<c::Shipment>> {
        let world = self.world.wherry_adapter_target();
        let shipment = self.room.ask("target.ship", |s| world.call_ship(s, key, machine, profile))?;
        self.room.believe("target.ship", shipment.as_ref().map_or(Ok(()), check::shipment))?;
        Ok(shipment)
    }

    /// A shipment's sign of life: bytes done, and in all.
    pub fn sending(
        &mut self,
        key: &str,
        machine: &c::Machine,
        note: &str,
        (done, total): (u64, u64),
    ) -> Result<()> {
        let world = self.world.wherry_adapter_target();
        self.room.ask("target.sending", |s| world.call_sending(s, key, machine, note, done, total))
    }

    /// Gives back what a shipment has taken.
    pub fn abandon(&mut self, key: &str, machine: &c::Machine, note: &str) -> Result<()> {
        let world = self.world.wherry_adapter_target();
        self.room.ask("target.abandon", |s| world.call_abandon(s, key, machine, note))
    }

    /// Defines the machine.
    pub fn finish(
        &mut self,
        key: &str,
        machine: &c::Machine,
        profile: &c::DeviceProfile,
    ) -> Result<Vec<c::Fact>> {
        let world = self.world.wherry_adapter_target();
        self.room.ask("target.finish", |s| world.call_finish(s, key, machine, profile))
    }

    /// Removes what `key` made.
    pub fn undo(&mut self, key: &str, machine: &c::Machine) -> Result<()> {
        let world = self.world.wherry_adapter_target();
        self.room.ask("target.undo", |s| world.call_undo(s, key, machine))
    }
}
