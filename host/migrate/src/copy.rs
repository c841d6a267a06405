//! One disk from one format into another, without a machine around it.

use crate::changes::changes;
use crate::device::Wanted;
use crate::keys::Keys;
use crate::machine::Machine;
use crate::plan::masked;
use crate::run::{Arrived, Event, Transfer, arrive};
use crate::sink::Image;
use crate::source::Source;
use crate::{Error, ErrorKind, Result, convert, device, source};
use block::{Disk, SECTOR};
use channels::Address;
use runtime::{Adapters, contract};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use transfer::Target;
use workload::{Concern, Fact, Severity};

/// The option of formats that record how large sectors are.
const SECTOR_SIZE: &str = "sector-size";

/// What is wanted.
#[derive(Clone, Debug, Default)]
pub struct Copy {
    /// `FORMAT:PATH` of the disk.
    pub from: String,
    /// What opens encrypted devices, as in a plan: so that what no file system in them uses can be left out.
    pub keys: Vec<String>,
    /// `FORMAT:PATH` of the copy: a new file, or with the format raw a device or an export that was granted.
    pub to: String,
    /// What the new format's adapter is told (its README lists it).
    pub options: Vec<Fact>,
    /// Leave out what no file system uses: it reads as zeroes in the copy.
    pub used_only: bool,
    /// What changed since the state that the target holds, for one that is brought up to date: as for a capture.
    pub changed: Option<String>,
}

/// Copies the disk. The same command after a kill goes on where that run was.
pub fn copy(
    asked: &Copy,
    how: &Transfer,
    adapters: &Adapters,
    watch: &(dyn Fn(Event<'_>) + Sync),
) -> Result<(Source, Arrived)> {
    let mut source = source::open(&asked.from, adapters)?;
    let blocking = source.concerns.iter().filter(|concern| concern.severity == Severity::Blocking);
    let blocking: Vec<&str> = blocking.map(|concern| concern.message.as_str()).collect();
    if !blocking.is_empty() {
        return Err(Error::new(ErrorKind::Blocked, format!("nothing was written: {}", blocking.join("; "))));
    }
    let Some((format, path)) = source::split(&asked.to).filter(|(_, path)| !path.is_empty()) else {
        return Err(Error::usage(format!("`{}` is no FORMAT:PATH, such as qcow2:copy.qcow2", asked.to)));
    };
    let disk = if asked.used_only { used(&source, &asked.keys, adapters)? } else { source.disk.clone() };
    let identity = format!("{} {format} {:?} {}", source.identity, asked.options, asked.used_only);
    let mut options = how.options(identity, adapters);
    let path = Path::new(path);
    let export = Address::is_uri(&path.to_string_lossy());
    let device = export || path.metadata().is_ok_and(|meta| meta.file_type().is_block_device());
    if how.update && (device || path.is_file()) {
        options.changed = changes(asked.changed.as_deref(), &source, adapters)?;
        // There may be a million of them: a checkpoint keeps what tells them apart.
        let told = options.changed.iter().map(|ranges| blake3::hash(format!("{ranges:?}").as_bytes()));
        told.for_each(|hash| options.identity += &format!(" changed {hash}"));
    }
    if device {
        let arrived = to_device(&source, disk.as_ref(), (format, path), how, &options, watch)?;
        return Ok((source, arrived));
    }
    if how.update && path.is_file() {
        let arrived = to_old_file(&source, disk.as_ref(), (format, path), &options, watch)?;
        return Ok((source, arrived));
    }
    let said = convert::facts_to(&asked.options);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let sink = contract::FileSink { format: format!("format-{format}"), name, options: said };
    source::known(format, adapters)?;
    let (layout, concern) = image(sink, &source, disk.length(), adapters)?;
    source.concerns.extend(concern);
    let arrived = arrive(disk.as_ref(), (Target::New(path), path), Box::new(layout), &options, watch)?;
    Ok((source, arrived))
}

/// The new image. A format that can record the size of sectors has the option `sector-size`; of any other only the operator
/// can know, so that is said.
fn image(
    mut sink: contract::FileSink,
    source: &Source,
    length: u64,
    adapters: &Adapters,
) -> Result<(Image, Option<Concern>)> {
    let own = |fact: &contract::Fact| fact.key == SECTOR_SIZE;
    if source.sector_size == SECTOR || sink.options.iter().any(own) {
        return Ok((Image::create(&sink, length, adapters)?, None));
    }
    let value = source.sector_size.to_string();
    sink.options.push(contract::Fact { key: SECTOR_SIZE.into(), value: value.clone() });
    if let Ok(image) = Image::create(&sink, length, adapters) {
        return Ok((image, None));
    }
    sink.options.pop();
    let image = Image::create(&sink, length, adapters)?;
    let format = sink.format.trim_start_matches("format-");
    let message = format!(
        "the copy does not say that the disk has sectors of {value} bytes: {format} has no place for it"
    );
    let remedy = format!(
        "give it to a machine with sectors of that size (QEMU: logical_block_size={value}, here: ,sector={value}), else the guest \
         finds no partition there; vhdx keeps the size"
    );
    let (id, severity) = ("copy.sector-size".into(), Severity::Warning);
    Ok((image, Some(Concern { id, severity, message, remedy: Some(remedy) })))
}

fn used(source: &Source, keys: &[String], adapters: &Adapters) -> Result<Arc<dyn Disk>> {
    let machine = Machine::open(vec![source.disk.clone()], &Keys::lend(keys)?, adapters)?;
    Ok(masked(&machine, adapters).pop().unwrap_or_else(|| source.disk.clone()))
}

/// An older copy of the disk, brought up to date.
fn to_old_file(
    source: &Source,
    disk: &dyn Disk,
    (format, path): (&str, &Path),
    options: &transfer::Options,
    watch: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Arrived> {
    let own = path.canonicalize().map_err(|e| Error::failed(format!("{}: {e}", path.display())))?;
    if format != "raw" {
        let what = format!("{} cannot be brought up to date in place", path.display());
        return Err(Error::usage(format!("{what}: only raw files, devices and exports can")));
    }
    if source.identity.contains(&*own.to_string_lossy()) {
        return Err(Error::usage(format!("{} is the source, which is never written", path.display())));
    }
    let checkpoint = own.with_file_name(format!(".{}.wherry-checkpoint", file_name(&own)));
    let layout = Box::new(transfer::Raw { length: disk.length() });
    arrive(disk, (Target::Existing { path: &own, checkpoint: &checkpoint }, path), layout, options, watch)
}

fn to_device(
    source: &Source,
    disk: &dyn Disk,
    (format, path): (&str, &Path),
    how: &Transfer,
    options: &transfer::Options,
    watch: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Arrived> {
    if format != "raw" {
        let what = format!("{} is a device, which holds a disk's bytes as they are", path.display());
        return Err(Error::usage(format!("{what}; say raw:{}", path.display())));
    }
    let said = path.to_string_lossy();
    let own = device::name(&said).unwrap_or_else(|| path.into());
    let checkpoint = std::env::current_dir().map_err(|e| Error::failed(format!("working directory: {e}")))?;
    let checkpoint = checkpoint.join(format!(".{}.wherry-checkpoint", file_name(&own)));
    // Killed at the very end, an earlier run left the disk's own beginning there.
    let begun: Vec<PathBuf> = checkpoint.exists().then_some(own).into_iter().collect();
    let sources = std::slice::from_ref(source);
    let wanted = Wanted { said: &said, disk, sources, grants: &how.devices, begun: &begun };
    let device = wanted.check()?;
    let layout = Box::new(transfer::Raw { length: disk.length() });
    arrive(disk, (device.target(&checkpoint), device.name()), layout, options, watch)
}

/// What a device's checkpoint is called after: an address becomes a name that no other has.
fn file_name(device: &Path) -> String {
    let said = device.to_string_lossy();
    let Ok(address) = Address::parse(&said) else {
        return device.file_name().unwrap_or_default().to_string_lossy().into_owned();
    };
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let export: String = address.export.chars().map(plain).take(40).collect();
    let hash = blake3::hash(said.as_bytes()).to_hex();
    format!("nbd-{export}-{}", &hash[..16])
}
