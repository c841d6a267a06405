//! In which state the volume was left, and what that allows.

use crate::attribute::DATA;
use crate::volume::{LOG, ROOT, Volume};
use crate::{hibernation, log};
use wherry_sdk::filesystem::Identity;
use wherry_sdk::{Error, ErrorKind, Result, fact};

/// `$Volume` says that the volume has to be checked.
const DIRTY: u16 = 0x0001;

impl Volume<'_> {
    /// Finds out whether everything on the volume can be believed; the log, if it can be read.
    pub fn judge(&mut self) -> Result<Option<log::Log>> {
        let log = match self.open_log() {
            Err(error) if error.kind == ErrorKind::Corrupt => None,
            log => log?,
        };
        self.log = log.as_ref().map_or(log::State::Damaged, |log| log.state);
        self.asleep = self.read_hibernation()?;
        let dirty = "the volume is marked as dirty: start Windows, or run chkdsk /f there";
        let dirty = (self.about.flags & DIRTY != 0).then(|| dirty.to_owned());
        self.doubt = self.asleep.doubt().or_else(|| self.log.doubt()).or(dirty);
        Ok(log)
    }

    /// The log as it is; none where its file has no content.
    fn open_log(&mut self) -> Result<Option<log::Log>> {
        let file = self.file(LOG)?;
        let Some(data) = file.get(DATA, &[]) else { return Ok(None) };
        let size = data.size();
        log::open(size, |offset, length| self.read_attribute(&file, data, offset, length)).map(Some)
    }

    fn read_hibernation(&mut self) -> Result<hibernation::State> {
        let root = self.file(ROOT)?;
        let name: Vec<u16> = "hiberfil.sys".encode_utf16().collect();
        let Some((reference, _)) = self.find(&root, &name)? else { return Ok(hibernation::State::Awake) };
        let file = self.referred(reference)?;
        let Some(data) = file.get(DATA, &[]) else { return Ok(hibernation::State::Awake) };
        let length = data.size().min(hibernation::HEADER);
        Ok(hibernation::State::read(&self.read_attribute(&file, data, 0, length)?))
    }

    /// Refuses to change what was not left clean, or what this adapter does not know well enough.
    pub fn check_writable(&self) -> Result<()> {
        if let Some(doubt) = &self.doubt {
            return Err(Error::new(ErrorKind::Dirty, doubt.clone()));
        }
        let (major, minor) = self.about.version;
        if !(1..=3).contains(&major) {
            let message = format!("NTFS {major}.{minor} is a version that this adapter does not change");
            return Err(Error::unsupported(message));
        }
        Ok(())
    }

    /// What the volume says of itself; the serial number as blkid prints it.
    pub fn identity(&self) -> Identity {
        let (major, minor) = self.about.version;
        let mut facts = vec![
            fact("ntfs.version", format!("{major}.{minor}")),
            fact("ntfs.dirty", self.about.flags & DIRTY != 0),
            fact("ntfs.log", self.log.name()),
            fact("ntfs.hibernated", self.asleep.name()),
        ];
        if let Some(doubt) = &self.doubt {
            facts.push(fact("doubt", doubt));
        }
        Identity {
            kind: "ntfs".into(),
            uuid: Some(format!("{:016X}", self.boot.serial)),
            label: self.about.label.clone(),
            block: self.boot.cluster as u32,
            size: self.boot.size,
            clean: self.doubt.is_none() && self.log != log::State::Replayable,
            facts,
        }
    }
}
