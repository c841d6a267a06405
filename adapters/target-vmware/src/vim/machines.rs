//! Machines on the server: found by the key of a run, which they carry, and changed.

use crate::vim::inventory::Place;
use crate::vim::session::Session;
use crate::vim::soap::Ref;
use wherry_sdk::platform::{uuid, xml};
use wherry_sdk::{Error, ErrorKind, Result};

/// Settings of a machine in which the run's key and its state are.
pub const KEY: &str = "wherry.key";
pub const STATE: &str = "wherry.state";
const COMPLETE: &str = "complete";

/// A machine that a run of this key has made.
#[derive(Debug)]
pub struct Made {
    pub this: Ref,
    /// Whether its disks are there and it was defined to the end.
    pub is_complete: bool,
    pub is_on: bool,
}

/// The machine's own identifier, by which the server finds it at once.
pub fn identifier(key: &str) -> String {
    uuid(key, "machine")
}

impl Session<'_> {
    /// The machine of this key.
    pub fn made(&self, key: &str) -> Result<Option<Made>> {
        let arguments = format!(
            "<uuid>{}</uuid><vmSearch>true</vmSearch><instanceUuid>false</instanceUuid>",
            identifier(key)
        );
        let answer = self.call("FindByUuid", &self.content.index, &arguments)?;
        let Some(this) = answer.reference("returnval") else { return Ok(None) };
        let found = self.properties(&this, &["config.extraConfig", "runtime.powerState"])?;
        let settings =
            found.get("config.extraConfig").map(|value| value.children.as_slice()).unwrap_or_default();
        let setting =
            |name: &str| settings.iter().find(|one| one.text("key") == name).map(|one| one.text("value"));
        // A machine could have been copied, identifier and all.
        if setting(KEY) != Some(key) {
            let message =
                "a machine on the server has the identifier of this run's, but not its key; remove it";
            return Err(Error::new(ErrorKind::Exists, message));
        }
        Ok(Some(Made {
            this,
            is_complete: setting(STATE) == Some(COMPLETE),
            is_on: found.text("runtime.powerState") == "poweredOn",
        }))
    }

    /// Refuses a name that something else has in the folder.
    pub fn check_free(&self, place: &Place, name: &str, key: &str) -> Result<()> {
        let there = self.child(&place.folder, name)?;
        let ours = self.made(key)?.map(|made| made.this);
        if there.is_none() || there == ours {
            return Ok(());
        }
        let message = format!(
            "the server has a machine `{name}` that this run has not made; use another name or wish for another folder"
        );
        Err(Error::new(ErrorKind::Exists, message))
    }

    /// The machine is as it should be.
    pub fn mark_complete(&self, machine: &Ref) -> Result<()> {
        let spec = format!("<spec><extraConfig>{}</extraConfig></spec>", setting(STATE, COMPLETE));
        self.run("ReconfigVM_Task", machine, &spec).map(|_| ())
    }

    /// Turns it off if it is on, and removes it with its disks.
    pub fn destroy(&self, made: &Made) -> Result<()> {
        if made.is_on {
            self.run("PowerOffVM_Task", &made.this, "")?;
        }
        self.run("Destroy_Task", &made.this, "").map(|_| ())
    }

    /// A state to come back to, without memory.
    pub fn snapshot(&self, machine: &Ref, name: &str, words: &str) -> Result<()> {
        let arguments = format!(
            "<name>{}</name><description>{}</description><memory>false</memory><quiesce>false</quiesce>",
            xml(name),
            xml(words)
        );
        self.run("CreateSnapshot_Task", machine, &arguments).map(|_| ())
    }

    /// Turns it on.
    pub fn power_on(&self, machine: &Ref) -> Result<()> {
        self.run("PowerOnVM_Task", machine, "").map(|_| ())
    }
}

/// One of a machine's free settings.
pub fn setting(key: &str, value: &str) -> String {
    format!("<key>{}</key><value xsi:type=\"xsd:string\">{}</value>", xml(key), xml(value))
}
