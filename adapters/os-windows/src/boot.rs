//! What the loaders read: boot.ini and BCD stores.

use crate::bootini::BootIni;
use crate::files::text;
use crate::hives;
use crate::place::{Boot, Loader, Place};
use wherry_sdk::{Fact, Result, Tree, fact};

/// boot.ini is a page of text.
pub const INI_MOST: u64 = 64 << 10;

/// Where a loader's file is in the tree.
pub fn file(boot: &Boot) -> String {
    let name = match boot.loader {
        Loader::Ntldr => "boot.ini",
        Loader::Bootmgr => "Boot/BCD",
        Loader::BootmgrEfi => "EFI/Microsoft/Boot/BCD",
    };
    format!("{}/{name}", boot.path)
}

/// `boot.FILE.N`: what the loaders offer.
pub fn describe(guest: &dyn Tree, place: &Place) -> Result<Vec<Fact>> {
    let mut facts = Vec::new();
    for boot in &place.boots {
        let path = file(boot);
        let entries = match boot.loader {
            Loader::Ntldr => BootIni::parse(&text(guest, &path, INI_MOST)?).describe(),
            Loader::Bootmgr | Loader::BootmgrEfi => match hives::open(guest, &path) {
                Ok(mut store) => crate::bcd::describe(&mut store)
                    .unwrap_or_else(|e| vec![format!("cannot be read: {}", e.message)]),
                Err(e) => vec![format!("cannot be read: {}", e.message)],
            },
        };
        let entries = entries.into_iter().enumerate();
        facts.extend(entries.map(|(n, entry)| fact(format!("entry.{n}"), format!("{path}: {entry}"))));
    }
    Ok(facts)
}
