//! File system drivers that only say what a volume is, since nobody sees into it without a key.

use crate::filesystem::Identity;
use crate::{Blob, EntryPage, Error, FileSystem, Meta, Range, Result, Room};
use core::convert::Infallible;
use core::marker::PhantomData;

/// What is known of an encrypted volume.
pub trait Encrypted: 'static {
    /// None: not mine.
    fn probe(device: &dyn Blob) -> Result<Option<Identity>>;
    /// Why a volume of this identity is not mounted, and what next; a lower-case phrase.
    fn refusal(identity: &Identity) -> String;
}

/// The driver of such volumes: it names them, and mounting one is `unsupported`. So there is never a value of it, and all bytes of
/// the volume count as used.
pub struct Locked<E> {
    never: Infallible,
    of: PhantomData<E>,
}

impl<E: Encrypted> FileSystem for Locked<E> {
    fn probe(device: &dyn Blob) -> Result<Option<Identity>> {
        E::probe(device)
    }
    fn mount(device: Box<dyn Blob>, _writable: bool) -> Result<Self> {
        let identity = E::probe(device.as_ref())?;
        let identity = identity.ok_or_else(|| Error::corrupt(0, "nothing that is encrypted begins here"))?;
        Err(Error::unsupported(E::refusal(&identity)))
    }
    fn stat(&mut self, _path: &str) -> Result<Meta> {
        match self.never {}
    }
    fn entries(&mut self, _path: &str, _start: u64, _most: u32) -> Result<EntryPage> {
        match self.never {}
    }
    fn read(&mut self, _path: &str, _offset: u64, _length: u32) -> Result<Vec<u8>> {
        match self.never {}
    }
    fn read_link(&mut self, _path: &str) -> Result<String> {
        match self.never {}
    }
    fn room(&mut self) -> Result<Room> {
        match self.never {}
    }
    fn write(&mut self, _path: &str, _content: &dyn Blob, _like: Option<&Meta>) -> Result<()> {
        match self.never {}
    }
    fn modify(&mut self, _path: &str, _offset: u64, _content: &dyn Blob) -> Result<()> {
        match self.never {}
    }
    fn rename(&mut self, _old: &str, _new: &str) -> Result<()> {
        match self.never {}
    }
    fn remove(&mut self, _path: &str) -> Result<()> {
        match self.never {}
    }
    fn make_directory(&mut self, _path: &str, _like: Option<&Meta>) -> Result<()> {
        match self.never {}
    }
    fn make_symlink(&mut self, _path: &str, _target: &str, _like: Option<&Meta>) -> Result<()> {
        match self.never {}
    }
    fn set_meta(&mut self, _path: &str, _meta: &Meta) -> Result<()> {
        match self.never {}
    }
    fn used(&mut self, _start: u64, _most: u32) -> Result<Vec<Range>> {
        match self.never {}
    }
    fn sync(&mut self) -> Result<()> {
        match self.never {}
    }
}
