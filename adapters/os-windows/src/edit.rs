//! Changes of a guest as plain data, so that they are tested without a guest: registry edits and files.

use wherry_registry::Kind;

/// In a path of the SYSTEM hive stands for each of the control sets.
pub const CONTROL_SET: &str = "ControlSet";

/// A hive that drivers are written into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hive {
    /// `HKEY_LOCAL_MACHINE\SYSTEM`.
    System,
    /// `HKEY_LOCAL_MACHINE\SOFTWARE`.
    Software,
    /// `HKEY_LOCAL_MACHINE\DRIVERS`, loaded by Windows 8 and later where a driver is looked for.
    Drivers,
}

/// Whether a value that is there is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// It is.
    Always,
    /// Only one that is not there is written.
    Absent,
    /// Only one that is there.
    Present,
}

/// What happens to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is made, with those above it.
    Key,
    /// A value is written.
    Value {
        /// Empty for the key's default value.
        name: String,
        /// What the bytes mean.
        kind: Kind,
        /// As the hive stores them.
        data: Vec<u8>,
        /// Whether one that is there is replaced.
        when: When,
    },
    /// Texts are added to those of a value (`REG_MULTI_SZ`), unless they are among them, in any case.
    Append {
        /// The value.
        name: String,
        /// What is added at the end.
        texts: Vec<String>,
    },
    /// A part is added at the end of a value's text (`REG_EXPAND_SZ`) behind a semicolon, unless it is there, in any case.
    Extend {
        /// The value.
        name: String,
        /// What is added.
        part: String,
        /// The text where there is none.
        usual: String,
    },
    /// Texts are taken from those of a value.
    RemoveTexts {
        /// The value.
        name: String,
        /// What goes.
        texts: Vec<String>,
    },
    /// A value is removed.
    RemoveValue {
        /// The value.
        name: String,
    },
    /// The key is removed with all below it.
    RemoveKey,
}

/// A change of a hive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The hive.
    pub hive: Hive,
    /// The key: `ControlSet\Services\viostor`, where [`CONTROL_SET`] at the beginning stands for every control set.
    pub path: String,
    /// The change.
    pub change: Change,
    /// For people.
    pub reason: String,
}

/// A file that is written, or replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// In the guest's tree: `/Windows/System32/drivers/viostor.sys`.
    pub path: String,
    /// All of it.
    pub bytes: Vec<u8>,
    /// For people.
    pub reason: String,
}
