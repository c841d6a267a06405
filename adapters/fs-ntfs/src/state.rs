//! In which state the volume was left, and what that allows.

use crate::volume::Volume;
use wherry_sdk::filesystem::Identity;
use wherry_sdk::{Error, ErrorKind, Result, fact};

/// `$Volume` says that the volume has to be checked.
const DIRTY: u16 = 0x0001;

impl Volume<'_> {
    /// Finds out whether everything on the volume can be believed.
    pub fn judge(&mut self) -> Result<()> {
        if self.about.flags & DIRTY != 0 {
            self.doubt = Some("the volume is marked as dirty: start Windows, or run chkdsk /f there".into());
        }
        Ok(())
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
            clean: self.doubt.is_none(),
            facts,
        }
    }
}
