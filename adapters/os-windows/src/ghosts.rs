//! Cards that stay behind while a script gives their addresses to new ones: they are forgotten, so that they do not claim the
//! addresses, and what they had is kept in a place of ours until the script has run.

use crate::cards::Card;
use crate::hives::{Hives, Store};
use crate::pairs;
use crate::work::Work;
use wherry_registry::{Kind, data};
use wherry_sdk::Result;

/// Keys of cards, by their GUIDs.
const CARDS: &str = r"Wherry\Cards";

/// What the card had, if it is such a one.
pub fn remembered(hives: &mut Hives<'_>, card: &mut Card) -> Result<bool> {
    let key = format!(r"{CARDS}\{}", card.guid);
    // The script counts its runs (`firstboot.rs`).
    let has_run = hives.value(Store::Software, "Wherry", "Runs")?.is_some();
    if has_run || !hives.has(Store::Software, &key)? {
        return Ok(false);
    }
    card.take_addresses(hives, Store::Software, &key)?;
    let place = hives.text(Store::Software, &key, "LocationInformation")?;
    card.place = place.and_then(|place| pairs::place(&place));
    Ok(true)
}

/// Forgets a card.
pub fn release(work: &mut Work<'_>, card: &Card) -> Result<()> {
    let key = format!(r"{CARDS}\{}", card.guid);
    let (addresses, masks): (Vec<&str>, Vec<&str>) =
        card.addresses.iter().map(|(address, mask)| (address.as_str(), mask.as_str())).unzip();
    let gateways: Vec<&str> = card.gateways.iter().map(String::as_str).collect();
    for (name, texts) in [("IPAddress", addresses), ("SubnetMask", masks), ("DefaultGateway", gateways)] {
        work.set(Store::Software, &key, name, Kind::MULTI_SZ, &data::multi_sz(&texts))?;
    }
    work.set_text(Store::Software, &key, "NameServer", &card.servers)?;
    if let Some([bus, device, function]) = card.place {
        let place = format!("PCI bus {bus}, device {device}, function {function}");
        work.set_text(Store::Software, &key, "LocationInformation", &place)?;
    }
    work.in_sets(|work, set| {
        let interface = format!(r"{set}\Services\Tcpip\Parameters\Interfaces\{}", card.guid);
        if work.hives.number(Store::System, &interface, "EnableDHCP")? == Some(0) {
            work.set_number(Store::System, &interface, "EnableDHCP", 1)?;
            for name in ["IPAddress", "SubnetMask"] {
                work.set(Store::System, &interface, name, Kind::MULTI_SZ, &data::multi_sz(&["0.0.0.0"]))?;
            }
            for name in ["DefaultGateway", "NameServer"] {
                work.unset(Store::System, &interface, name)?;
            }
        }
        if card.device.contains('\\') {
            work.remove(Store::System, &format!(r"{set}\Enum\{}", card.device))?;
        }
        Ok(())
    })?;
    work.commit(&format!(
        "the first-boot script gives what {} had to the new card, and the old one must not claim it",
        card.name
    ))
}
