//! From a trait's implementation to a component's exports.

#![allow(missing_docs, reason = "glue between the traits and the generated bindings")]

use crate::bindings::imports::wherry::adapter::storage::Blob as HostBlob;
use crate::bindings::imports::wherry::adapter::tree::GuestTree;
use crate::bindings::{
    disk_format, filesystem_driver, machine_definition, source_os, target_platform, volume_map,
};
use crate::definition;
use crate::filesystem::Identity;
use crate::format::{Ending, Extent, ImageFacts, Part, Shape, Unit};
use crate::host::{HostHttp, HostOutput, report_panics};
use crate::source::{Adaptation, OperatingSystem, Partition};
use crate::target::{Machine, Offer, Shipment, Sink};
use crate::volume::{Added, Addition, DevicePatch, Layout};
use crate::{
    Blob, DeviceProfile, DiskFormat, EntryPage, Fact, FileSystem, FormatReader, FormatWriter, Host,
    LivePlatform, MachineDefinition, Meta, Range, Result, Room, SourceOs, TargetPlatform, VolumeMap,
};
use core::cell::RefCell;
use core::marker::PhantomData;

/// An implementation as the exports of its world.
pub struct Exported<T>(PhantomData<T>);
/// A resource of an implementation.
pub struct Held<T>(RefCell<T>);

fn boxed(blobs: Vec<HostBlob>) -> Vec<Box<dyn Blob>> {
    blobs.into_iter().map(|blob| Box::new(blob) as Box<dyn Blob>).collect()
}

mod format_glue {
    use super::*;
    use disk_format::exports::wherry::adapter::format::{Guest, GuestReader, GuestWriter, Reader, Writer};

    impl<T: DiskFormat> Guest for Exported<T> {
        type Reader = Held<T::Reader>;
        type Writer = Held<T::Writer>;
        fn probe(head: Vec<u8>, tail: Vec<u8>) -> Option<String> {
            report_panics();
            T::probe(&head, &tail)
        }
    }
    impl<R: FormatReader> GuestReader for Held<R> {
        fn open(parts: Vec<HostBlob>) -> Result<Reader> {
            report_panics();
            Ok(Reader::new(Held(RefCell::new(R::open(boxed(parts))?))))
        }
        fn facts(&self) -> ImageFacts {
            self.0.borrow().facts()
        }
        fn extents(&self, start: u64, most: u32) -> Result<Vec<Extent>> {
            self.0.borrow_mut().extents(start, most)
        }
        fn changed(&self, mark: String, start: u64, most: u32) -> Result<Vec<Range>> {
            self.0.borrow_mut().changed(&mark, start, most)
        }
    }
    impl<W: FormatWriter> GuestWriter for Held<W> {
        fn create(virtual_size: u64, options: Vec<Fact>) -> Result<Writer> {
            report_panics();
            Ok(Writer::new(Held(RefCell::new(W::create(virtual_size, &options)?))))
        }
        fn shape(&self) -> Shape {
            self.0.borrow().shape()
        }
        fn place(&self, units: Vec<Unit>) -> Result<Vec<u64>> {
            self.0.borrow_mut().place(&units)
        }
        fn heads(&self, units: Vec<Unit>) -> Result<Vec<u8>> {
            self.0.borrow_mut().heads(&units)
        }
        fn parts(&self, name: String) -> Result<Vec<Part>> {
            self.0.borrow_mut().parts(&name)
        }
        fn lengths(&self) -> Result<Vec<u64>> {
            self.0.borrow_mut().lengths()
        }
        fn finish(&self, page: u32) -> Result<Ending> {
            self.0.borrow_mut().finish(page)
        }
    }
}

impl<T: VolumeMap> volume_map::exports::wherry::adapter::volume::Guest for Exported<T> {
    fn scan(devices: Vec<HostBlob>) -> Result<Layout> {
        report_panics();
        T::scan(&boxed(devices))
    }
    fn add_partition(device: HostBlob, addition: Addition) -> Result<Added> {
        report_panics();
        T::add_partition(&device, &addition)
    }
    fn relabel(devices: Vec<HostBlob>, facts: Vec<Fact>) -> Result<Vec<DevicePatch>> {
        report_panics();
        T::relabel(&boxed(devices), &facts)
    }
}

mod filesystem_glue {
    use super::*;
    use filesystem_driver::exports::wherry::adapter::filesystem::{Guest, GuestMounted, Mounted};

    impl<T: FileSystem> Guest for Exported<T> {
        type Mounted = Held<T>;
        fn probe(device: &HostBlob) -> Result<Option<Identity>> {
            report_panics();
            T::probe(device)
        }
        fn format(device: &HostBlob, kind: String, label: String) -> Result<()> {
            report_panics();
            T::format(device, &kind, &label)
        }
    }
    impl<T: FileSystem> GuestMounted for Held<T> {
        fn mount(device: HostBlob, writable: bool) -> Result<Mounted> {
            report_panics();
            Ok(Mounted::new(Held(RefCell::new(T::mount(Box::new(device), writable)?))))
        }
        fn stat(&self, path: String) -> Result<Meta> {
            self.0.borrow_mut().stat(&path)
        }
        fn entries(&self, path: String, start: u64, most: u32) -> Result<EntryPage> {
            self.0.borrow_mut().entries(&path, start, most)
        }
        fn read(&self, path: String, offset: u64, length: u32) -> Result<Vec<u8>> {
            self.0.borrow_mut().read(&path, offset, length)
        }
        fn read_link(&self, path: String) -> Result<String> {
            self.0.borrow_mut().read_link(&path)
        }
        fn room(&self) -> Result<Room> {
            self.0.borrow_mut().room()
        }
        fn write(&self, path: String, content: &HostBlob, like: Option<Meta>) -> Result<()> {
            self.0.borrow_mut().write(&path, content, like.as_ref())
        }
        fn modify(&self, path: String, offset: u64, content: &HostBlob) -> Result<()> {
            self.0.borrow_mut().modify(&path, offset, content)
        }
        fn rename(&self, old: String, new: String) -> Result<()> {
            self.0.borrow_mut().rename(&old, &new)
        }
        fn remove(&self, path: String) -> Result<()> {
            self.0.borrow_mut().remove(&path)
        }
        fn make_directory(&self, path: String, like: Option<Meta>) -> Result<()> {
            self.0.borrow_mut().make_directory(&path, like.as_ref())
        }
        fn make_symlink(&self, path: String, target: String, like: Option<Meta>) -> Result<()> {
            self.0.borrow_mut().make_symlink(&path, &target, like.as_ref())
        }
        fn set_meta(&self, path: String, meta: Meta) -> Result<()> {
            self.0.borrow_mut().set_meta(&path, &meta)
        }
        fn used(&self, start: u64, most: u32) -> Result<Vec<Range>> {
            self.0.borrow_mut().used(start, most)
        }
        fn sync(&self) -> Result<()> {
            self.0.borrow_mut().sync()
        }
    }
}

impl<T: MachineDefinition> machine_definition::exports::wherry::adapter::definition::Guest for Exported<T> {
    fn companions(word: String, name: String) -> Vec<String> {
        report_panics();
        T::companions(&word, &name)
    }
    fn read(
        word: String,
        names: Vec<String>,
        files: Vec<HostBlob>,
        options: Vec<Fact>,
    ) -> Result<definition::Machine> {
        report_panics();
        let files: Vec<(String, Box<dyn Blob>)> = names.into_iter().zip(boxed(files)).collect();
        T::read(&word, &files, &options)
    }
}

impl<T: SourceOs> source_os::exports::wherry::adapter::source::Guest for Exported<T> {
    fn identify(guest: &GuestTree) -> Result<Option<OperatingSystem>> {
        report_panics();
        T::identify(guest)
    }
    fn partitions(guest: &GuestTree, profile: DeviceProfile, options: Vec<Fact>) -> Result<Vec<Partition>> {
        report_panics();
        T::partitions(guest, &profile, &options)
    }
    fn adapt(guest: &GuestTree, profile: DeviceProfile, options: Vec<Fact>) -> Result<Adaptation> {
        report_panics();
        T::adapt(guest, &profile, &options)
    }
}

impl<T: TargetPlatform> target_platform::exports::wherry::adapter::target::Guest for Exported<T> {
    fn capabilities() -> Result<Vec<Fact>> {
        report_panics();
        T::capabilities()
    }
    fn profile(machine: Machine) -> Result<Offer> {
        report_panics();
        T::profile(&machine)
    }
    fn prepare(key: String, machine: Machine, profile: DeviceProfile) -> Result<Vec<Sink>> {
        T::prepare(&HostOutput, &key, &machine, &profile)
    }
    fn ship(_: String, _: Machine, _: DeviceProfile) -> Result<Option<Shipment>> {
        Ok(None)
    }
    fn sending(_: String, _: Machine, _: String, _: u64, _: u64) -> Result<()> {
        Ok(())
    }
    fn abandon(_: String, _: Machine, _: String) -> Result<()> {
        Ok(())
    }
    fn finish(key: String, machine: Machine, profile: DeviceProfile) -> Result<Vec<Fact>> {
        T::finish(&HostOutput, &key, &machine, &profile)
    }
    fn undo(key: String, machine: Machine) -> Result<()> {
        T::undo(&HostOutput, &key, &machine)
    }
}

/// A [`LivePlatform`] as the exports of its world. A type of its own, so that adapters that only write files do not even
/// import `http`.
pub struct ExportedLive<T>(PhantomData<T>);

/// What the host lends.
const LENT: Host<'static> = Host { output: &HostOutput, http: &HostHttp };

impl<T: LivePlatform> target_platform::exports::wherry::adapter::target::Guest for ExportedLive<T> {
    fn capabilities() -> Result<Vec<Fact>> {
        report_panics();
        T::capabilities()
    }
    fn profile(machine: Machine) -> Result<Offer> {
        report_panics();
        T::profile(LENT, &machine)
    }
    fn prepare(key: String, machine: Machine, profile: DeviceProfile) -> Result<Vec<Sink>> {
        T::prepare(LENT, &key, &machine, &profile)
    }
    fn ship(key: String, machine: Machine, profile: DeviceProfile) -> Result<Option<Shipment>> {
        T::ship(LENT, &key, &machine, &profile)
    }
    fn sending(key: String, machine: Machine, note: String, done: u64, total: u64) -> Result<()> {
        T::sending(LENT, &key, &machine, &note, (done, total))
    }
    fn abandon(key: String, machine: Machine, note: String) -> Result<()> {
        T::abandon(LENT, &key, &machine, &note)
    }
    fn finish(key: String, machine: Machine, profile: DeviceProfile) -> Result<Vec<Fact>> {
        T::finish(LENT, &key, &machine, &profile)
    }
    fn undo(key: String, machine: Machine) -> Result<()> {
        T::undo(LENT, &key, &machine)
    }
}

/// Puts the adapter's manifest into the component as the custom section `wherry:manifest`.
#[macro_export]
macro_rules! embed_manifest {
    ($path:literal) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "a section name is how bytes get into a Wasm custom section")]
        #[unsafe(link_section = "wherry:manifest")]
        #[used]
        static WHERRY_MANIFEST: [u8; include_bytes!($path).len()] = *include_bytes!($path);
    };
}

macro_rules! register {
    ($($(#[$doc:meta])* $name:ident, $module:ident, $export:ident, $exported:ident;)*) => {
        register! { @with_dollar ($) $($(#[$doc])* $name, $module, $export, $exported;)* }
    };
    (@with_dollar ($d:tt) $($(#[$doc:meta])* $name:ident, $module:ident, $export:ident, $exported:ident;)*) => {
        $(
            $(#[$doc])*
            #[macro_export]
            macro_rules! $name {
                ($d adapter:ty, $d manifest:literal) => {
                    $d crate::embed_manifest!($d manifest);
                    #[cfg(target_arch = "wasm32")]
                    #[allow(unsafe_code, reason = "generated exports")]
                    mod wherry_exports {
                        #[allow(unused_imports, reason = "the adapter's own names")]
                        use super::*;
                        type Adapter = $d crate::$exported<$d adapter>;
                        $d crate::bindings::$module::$export!(Adapter with_types_in $d crate::bindings::$module);
                    }
                };
            }
        )*
    };
}

register! {
    /// `register_disk_format!(Type, "path/of/adapter.toml")`: the type implements [`DiskFormat`].
    register_disk_format, disk_format, export_disk_format, Exported;
    /// `register_volume_map!(Type, "path/of/adapter.toml")`: the type implements [`VolumeMap`].
    register_volume_map, volume_map, export_volume_map, Exported;
    /// `register_filesystem_driver!(Type, "path/of/adapter.toml")`: the type implements [`FileSystem`].
    register_filesystem_driver, filesystem_driver, export_filesystem_driver, Exported;
    /// `register_machine_definition!(Type, "path/of/adapter.toml")`: the type implements [`MachineDefinition`].
    register_machine_definition, machine_definition, export_machine_definition, Exported;
    /// `register_source_os!(Type, "path/of/adapter.toml")`: the type implements [`SourceOs`].
    register_source_os, source_os, export_source_os, Exported;
    /// `register_target_platform!(Type, "path/of/adapter.toml")`: the type implements [`TargetPlatform`].
    register_target_platform, target_platform, export_target_platform, Exported;
    /// `register_live_platform!(Type, "path/of/adapter.toml")`: the type implements [`LivePlatform`].
    register_live_platform, target_platform, export_target_platform, ExportedLive;
}
