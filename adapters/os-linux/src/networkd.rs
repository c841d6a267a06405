//! systemd-networkd's files that take cards by their drivers alone, as Amazon Linux has one for EC2's cards: the new card is let in, for a
//! vendor's file by one of the same name in `/etc`, which comes before it (systemd.network(5)).

use crate::files::{listed, names, text};
use crate::modules;
use crate::work::Work;
use wherry_sdk::Result;

const FOLDER: &str = "/etc/systemd/network";
/// `/lib` is one of them where it is not a link to `/usr/lib`.
const VENDORS: [&str; 2] = ["/usr/lib/systemd/network", "/lib/systemd/network"];
/// Drivers of clouds' cards, which no target has.
const CLOUDS: [&str; 5] = ["ena", "ixgbevf", "gve", "mana", "mlx5_core"];
/// Keys by which a file is for one card, or for something else than cards.
const SPECIAL: [&str; 7] =
    ["name", "originalname", "macaddress", "permanentmacaddress", "path", "property", "kind"];
/// Bytes that every network carries; more has to be asked for there.
const MTU: u32 = 1500;
const REASON: &str = "the network is set up for cards of the old machine's drivers only";

/// Lets the new card in wherever those of the old machine were.
pub fn adapt(work: &mut Work<'_>) -> Result<()> {
    let Some((_, driver)) = modules::network(&work.profile.nic_model) else { return Ok(()) };
    let own = names(work.guest, FOLDER);
    let mut seen = Vec::new();
    for path in [FOLDER].iter().chain(&VENDORS).flat_map(|folder| listed(work.guest, folder, ".network")) {
        let Some((folder, name)) = path.rsplit_once('/') else { continue };
        let hidden = folder != FOLDER && own.iter().any(|other| other == name);
        if hidden || seen.iter().any(|other| other == name) {
            continue;
        }
        seen.push(name.to_owned());
        let Some(new) = text(work.guest, &path).and_then(|text| admitting(&text, driver)) else { continue };
        work.ensure_directory(FOLDER, REASON)?;
        work.guest.write(&format!("{FOLDER}/{name}"), new.as_bytes(), None, REASON)?;
    }
    Ok(())
}

/// A line's key and value.
fn setting(line: &str) -> Option<(String, &str)> {
    let (key, value) = line.split_once('=')?;
    Some((key.trim().to_ascii_lowercase(), value.trim()))
}

fn is_card(driver: &str) -> bool {
    let known = modules::CARDS.into_iter().filter_map(modules::network);
    CLOUDS.contains(&driver) || known.into_iter().any(|(_, name)| name == driver)
}

/// Whether a word of `Driver=` takes it; of patterns those that have a star at their end.
fn takes(word: &str, driver: &str) -> bool {
    word.strip_suffix('*').map_or(word == driver, |start| driver.starts_with(start))
}

fn is_large(bytes: &str) -> bool {
    bytes.parse().is_ok_and(|bytes: u32| bytes > MTU)
}

/// A file that lets this driver's cards in too; none if it does, or is not for cards by their drivers. What only the old network
/// carried goes.
fn admitting(text: &str, driver: &str) -> Option<String> {
    let mut section = "";
    let (mut lines, mut drivers) = (Vec::new(), None);
    for line in text.lines() {
        if line.trim_start().starts_with('[') {
            section = line.trim();
        }
        match (section, setting(line)) {
            ("[Match]", Some((key, _))) if SPECIAL.contains(&key.as_str()) => return None,
            ("[Match]", Some((key, value))) if key == "driver" => {
                drivers = Some((lines.len(), value));
            }
            ("[Link]", Some((key, value))) if key == "mtubytes" && is_large(value) => continue,
            _ => {}
        }
        lines.push(line.to_owned());
    }
    let (number, value) = drivers?;
    let words: Vec<&str> = value.split_whitespace().collect();
    let for_cards = words.iter().any(|word| is_card(word)) && !words.iter().any(|word| word.starts_with('!'));
    if !for_cards || words.iter().any(|word| takes(word, driver)) {
        return None;
    }
    let line = lines.get_mut(number)?;
    *line = format!("{} {driver}", line.trim_end());
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_card_is_let_in() {
        let amazon = "[Match]\nDriver=ena ixgbevf vif\n\n[Link]\nMTUBytes=9001\n\n[Network]\nDHCP=yes\n";
        let new = "[Match]\nDriver=ena ixgbevf vif virtio_net\n\n[Link]\n\n[Network]\nDHCP=yes\n";
        assert_eq!(admitting(amazon, "virtio_net").as_deref(), Some(new));
        assert_eq!(admitting(new, "virtio_net"), None);
        assert_eq!(admitting(amazon, "vif"), None);
        for other in [
            "[Match]\nName=vb-*\nDriver=veth\n",
            "[Match]\nDriver=veth\n",
            "[Match]\nDriver=!ena\n",
            "[Match]\nDriver=ena\nMACAddress=00:00:00:00:00:01\n",
            "[Match]\nDriver=ena virtio*\n",
            "[Network]\nDriver=ena\n",
            "",
        ] {
            assert_eq!(admitting(other, "virtio_net"), None, "{other}");
        }
    }
}
