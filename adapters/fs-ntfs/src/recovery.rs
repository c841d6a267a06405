//! Opens a volume, its log replayed where there is something to be done: on the device, or over it in memory.

use crate::attribute::DATA;
use crate::boot::Boot;
use crate::device::Borrowed;
use crate::hibernation;
use crate::log::{Log, State};
use crate::log_pages::{Pages, refusal};
use crate::log_replay::{Replayed, closed, replay};
use crate::overlay::{Changes, Overlaid};
use crate::volume::{LOG, Volume};
use std::rc::Rc;
use wherry_sdk::{Blob, Error, ErrorKind, Result};

/// Opens the volume and finds out whether everything on it can be believed. A log that cannot be replayed leaves the volume
/// as it is, in doubt; `writing` brings what a replay changes to the device.
pub fn open<'a>(device: Box<dyn Blob + 'a>, boot: Boot, writing: bool) -> Result<Volume<'a>> {
    let mut volume = Volume::open(device, boot.clone())?;
    let log = volume.judge()?;
    let is_pending = volume.log == State::Pending && volume.asleep == hibernation::State::Awake;
    let Some(log) = log.filter(|_| is_pending) else { return Ok(volume) };
    let replayed = volume.replay_log(log);
    let changes = match replayed.and_then(|replayed| checked(volume.device.blob(), &boot, replayed)) {
        Ok(changes) => changes,
        Err(error)
            if matches!(error.kind, ErrorKind::Dirty | ErrorKind::Corrupt | ErrorKind::Unsupported) =>
        {
            volume.doubt =
                volume.doubt.map(|doubt| format!("{doubt} (it is not replayed here: {})", error.message));
            return Ok(volume);
        }
        Err(error) => return Err(error),
    };
    let device = volume.device.into_blob();
    if writing {
        changes.write_to(device.as_ref())?;
        let mut volume = Volume::open(device, boot)?;
        volume.judge()?;
        return Ok(volume);
    }
    let mut volume = Volume::open(Box::new(Overlaid { device, changes }), boot)?;
    volume.judge()?;
    volume.log = State::Replayable;
    Ok(volume)
}

/// The changes of a replay, if the volume is sound with them.
fn checked(device: &dyn Blob, boot: &Boot, mut replayed: Replayed) -> Result<Rc<Changes>> {
    let changes = Rc::new(std::mem::take(&mut replayed.changes));
    let over = Overlaid { device: Box::new(Borrowed(device)), changes: Rc::clone(&changes) };
    let unsound = |error: Error| match error.kind {
        ErrorKind::Corrupt | ErrorKind::Unsupported => {
            refusal(format!("the volume would not be sound afterwards: {}", error.message))
        }
        _ => error,
    };
    let mut volume = Volume::open(Box::new(over), boot.clone()).map_err(unsound)?;
    volume.judge()?;
    if volume.log != State::Clean {
        return Err(refusal("the log would still be open"));
    }
    volume.check_replayed(&replayed).map_err(unsound)?;
    Ok(changes)
}

impl Volume<'_> {
    /// Replays the log in memory and closes it there.
    fn replay_log(&mut self, log: Log) -> Result<Replayed> {
        let area = log.area.ok_or_else(|| refusal("one of the log's restart pages is damaged"))?;
        if area.version != (1, 1) {
            let (major, minor) = area.version;
            return Err(refusal(format!("logs of version {major}.{minor} are not")));
        }
        let file = self.file(LOG)?;
        let Some(data) = file.get(DATA, &[]) else { return Err(refusal("the log has no content")) };
        let mut read = |offset: u64, length: u64| self.read_attribute(&file, data, offset, length);
        let pages = match log.pages {
            Some(pages) => pages,
            None => Pages::read(area, data.size(), &mut read)?,
        };
        let mut replayed = replay(self, &area, &pages)?;
        self.copy_to_mirror(&mut replayed)?;
        let stored = data.clusters().ok_or_else(|| refusal("the log is in its file record"))?;
        let restart = closed(&log.restart, replayed.newest);
        for at in [0, restart.len() as u64] {
            self.change_stored(&mut replayed, stored, at, &restart)?;
        }
        Ok(replayed)
    }

    /// Changes bytes of an attribute in memory.
    fn change_stored(
        &mut self,
        replayed: &mut Replayed,
        stored: &crate::attribute::Stored,
        offset: u64,
        bytes: &[u8],
    ) -> Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let place = self.place(stored, offset + done as u64);
            let (place, there) = place.ok_or_else(|| refusal("the log's file has a hole"))?;
            let piece = crate::bytes::part(bytes, done, usize::try_from(there).unwrap_or(usize::MAX));
            replayed.changes.write(place, piece, &mut |piece| self.device.read(piece, 512))?;
            done += piece.len();
        }
        Ok(())
    }

    /// The first records of the table have a copy.
    fn copy_to_mirror(&mut self, replayed: &mut Replayed) -> Result<()> {
        let size = self.boot.record as u64;
        let copied = self.mirror.size / size;
        for number in replayed.records.range(..copied).copied().collect::<Vec<_>>() {
            let (mft, mirror) = (self.mft.clone(), self.mirror.clone());
            let mut bytes = Vec::new();
            while (bytes.len() as u64) < size {
                let place = self.place(&mft, number * size + bytes.len() as u64);
                let (place, there) = place.ok_or_else(|| refusal("the file table has a hole"))?;
                let mut piece = self.device.read(place, there.min(size - bytes.len() as u64) as usize)?;
                replayed.changes.cover(place, &mut piece);
                bytes.extend(piece);
            }
            self.change_stored(replayed, &mirror, number * size, &bytes)?;
        }
        Ok(())
    }
}
