//! `wherry convert` and `wherry disk`: single disks, without a machine around them.

use crate::archive::Show;
use crate::progress::Progress;
use crate::words::{about, bytes, concerns, put, say, time};
use crate::{Convert, Format, Speed};
use anyhow::Result;
use block::Kind;
use migrate::{Copy, Event};
use runtime::Adapters;
use serde_json::json;
use std::path::Path;
use workload::Fact;

/// Extents are asked for this far ahead.
const WINDOW: u64 = 4 << 30;

/// Copies a disk into another format.
pub fn convert(asked: &Convert, adapters: &Adapters, format: Format, log: Format) -> Result<()> {
    let set = |(key, value): &(String, String)| Fact { key: key.clone(), value: value.clone() };
    let from = match &asked.from {
        Some(format) => format!("{format}:{}", asked.disk),
        None => asked.disk.clone(),
    };
    let copy = Copy {
        from,
        keys: asked.lent.keys.clone(),
        to: asked.to.clone(),
        options: asked.set.iter().map(set).collect(),
        used_only: asked.used_only,
        changed: None,
    };
    copied(&copy, &asked.speed.how(), adapters, Show { format, log })
}

/// Whether a copy's name means one disk, and no machine.
pub fn is_disk(to: &str) -> bool {
    to.starts_with("raw:")
        || ["nbd:", "nbds:", "nbd+unix:", "nbds+unix:"].iter().any(|uri| to.starts_with(uri))
}

/// Brings an older raw copy up to date.
pub fn sync(
    (disk, to): (&str, &str),
    changed: Option<&String>,
    speed: &Speed,
    adapters: &Adapters,
    show: Show,
) -> Result<()> {
    let changed = changed.cloned();
    let copy = Copy { from: disk.into(), to: to.into(), changed, ..Copy::default() };
    copied(&copy, &migrate::Transfer { update: true, ..speed.how() }, adapters, show)
}

fn copied(copy: &Copy, how: &migrate::Transfer, adapters: &Adapters, show: Show) -> Result<()> {
    let progress = Progress::new(show.log);
    let (source, arrived) = migrate::copy(copy, how, adapters, &|event| progress.show(event))?;
    match show.format {
        Format::Json => {
            let answer = json!({ "source": source, "copy": arrived, "concerns": source.concerns });
            put(&serde_json::to_string_pretty(&answer)?);
        }
        Format::Text => {
            let (read, written) = (bytes(arrived.bytes_read), bytes(arrived.bytes_written));
            say!("{} ({}) to {}", source.name, about(&source), arrived.file.display());
            say!("  read {read}, wrote {written} in {}", time(arrived.seconds));
            arrived.blake3.iter().for_each(|hash| say!("  BLAKE3 of the disk {hash}"));
            concerns(&source.concerns);
        }
    }
    Ok(())
}

/// What an image says of itself.
pub fn info(disk: &str, adapters: &Adapters, format: Format) -> Result<()> {
    let source = migrate::open(disk, adapters)?;
    if format == Format::Json {
        let answer = json!({ "source": source, "image": source.image, "concerns": source.concerns });
        put(&serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    say!("{} ({})", source.name, about(&source));
    say!("  {:<24} {}", "size", source.size);
    say!("  {:<24} {}", "unit", source.image.unit);
    source.image.parent.iter().for_each(|parent| say!("  {:<24} {parent}", "parent"));
    source.image.files.iter().for_each(|file| say!("  {:<24} {file}", "file"));
    source.image.facts.iter().for_each(|fact| say!("  {:<24} {}", fact.key, fact.value));
    concerns(&source.concerns);
    Ok(())
}

/// Where a disk has data: start, length, kind.
pub fn map(disk: &str, adapters: &Adapters, format: Format) -> Result<()> {
    let source = migrate::open(disk, adapters)?;
    let mut data = 0;
    let mut last: Option<(u64, u64, Kind)> = None;
    let show = |(start, length, kind): (u64, u64, Kind)| {
        let kind = if kind == Kind::Data { "data" } else { "zero" };
        match format {
            Format::Json => put(&json!({ "start": start, "length": length, "kind": kind }).to_string()),
            Format::Text => say!("{start:>16} {length:>16}  {kind}"),
        }
    };
    if format == Format::Text {
        say!("{:>16} {:>16}", "start", "length");
    }
    let mut at = 0;
    while at < source.disk.length() {
        let length = WINDOW.min(source.disk.length() - at);
        for extent in source.disk.extents(at, length)? {
            data += if extent.kind == Kind::Data { extent.length } else { 0 };
            match &mut last {
                Some((_, length, kind)) if *kind == extent.kind => *length += extent.length,
                _ => {
                    last.replace((extent.offset, extent.length, extent.kind)).into_iter().for_each(show);
                }
            }
        }
        at += length;
    }
    last.into_iter().for_each(show);
    if format == Format::Text {
        say!("{} of {} are data", bytes(data), bytes(source.disk.length()));
    }
    Ok(())
}

/// Whether two disks hold the same; says so.
pub fn compare(disks: [&str; 2], adapters: &Adapters, format: Format, log: Format) -> Result<bool> {
    let [one, other] = disks;
    let (left, right) = (migrate::open(one, adapters)?, migrate::open(other, adapters)?);
    let progress = Progress::new(log);
    let answer = migrate::compare(left.disk.as_ref(), right.disk.as_ref(), adapters, &|done, total| {
        progress.show(Event::Comparing { file: Path::new(one), done, total });
    })?;
    match format {
        Format::Json => put(&serde_json::to_string_pretty(&answer)?),
        Format::Text => match answer.first_difference {
            Some(at) => say!("{one} and {other} differ first at byte {at}"),
            None if answer.same_size => say!("{one} and {other} are identical"),
            None => {
                let (left, right) = (bytes(left.disk.length()), bytes(right.disk.length()));
                say!("{one} ({left}) and {other} ({right}) are identical, the longer one's rest is zero");
            }
        },
    }
    Ok(answer.identical)
}
