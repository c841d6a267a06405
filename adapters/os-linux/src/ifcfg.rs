//! SUSE's files whose names say which card they are for: `ifcfg-eth-id-00:50:56:00:00:01` (ifcfg(5) of SLES 10). The nth of them,
//! in the order of addresses, is for the nth new card.

use crate::files::names;
use crate::interfaces::is_mac;
use crate::work::Work;
use std::collections::BTreeMap;
use wherry_sdk::{Result, find};

const FOLDER: &str = "/etc/sysconfig/network";
const NAME: &str = "ifcfg-eth-id-";
/// More cards than any machine has.
const CARDS: usize = 64;

/// Gives the files the names of the new cards.
pub fn adapt(work: &mut Work<'_>) -> Result<()> {
    let address = |name: String| {
        let mac = name.strip_prefix(NAME).filter(|mac| is_mac(mac)).map(str::to_ascii_lowercase);
        mac.map(|mac| (mac, name))
    };
    let old: BTreeMap<String, String> =
        names(work.guest, FOLDER).into_iter().filter_map(address).take(CARDS).collect();
    let new = (0..CARDS).map_while(|n| find(work.options, &format!("nic.{n}.mac")));
    let new: Vec<String> = new.filter(|mac| is_mac(mac)).map(str::to_ascii_lowercase).collect();
    let mut free = new.iter().filter(|mac| !old.contains_key(*mac));
    for (_, name) in old.iter().filter(|(mac, _)| !new.contains(mac)) {
        let path = format!("{FOLDER}/{name}");
        let Some(card) = free.next() else {
            let message = format!("{path} is for a card of the old machine, and the new one is not known");
            let remedy = "give the new card's address as option nic.N.mac, in the order of the interfaces";
            work.warn("linux.network.card-unknown", message, remedy);
            continue;
        };
        let new = format!("{FOLDER}/{NAME}{card}");
        work.guest.rename(&path, &new, "the file's name says which network card it is for")?;
    }
    Ok(())
}
