//! Which old card becomes which new one: where it is there already, by hardware address, then by their order on the buses, then by their names.

use crate::cards::Card;

/// What each old card becomes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// The new card's number, for each old one.
    pub new: Vec<Option<usize>>,
    /// Old cards whose order is only that of their names.
    pub guessed: Vec<usize>,
}

/// What is known of a new card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct New {
    /// Its hardware address.
    pub mac: Option<String>,
    /// Its device's path below `Enum`.
    pub device: Option<String>,
}

/// Of old cards in the order of their names.
pub fn pair(old: &[Card], new: &[New]) -> Pairs {
    let mut pairs = Pairs { new: vec![None; old.len()], guessed: Vec::new() };
    let mut free: Vec<usize> = (0..new.len()).collect();
    // A path that is taken over already comes first, so that the second time gives the same.
    for is_same in [same_device, same_mac] {
        for (card, found) in old.iter().zip(&mut pairs.new).filter(|(_, found)| found.is_none()) {
            if let Some(at) = free.iter().position(|n| new.get(*n).is_some_and(|new| is_same(card, new))) {
                *found = Some(free.remove(at));
            }
        }
    }
    let mut rest: Vec<usize> = (0..old.len()).filter(|n| pairs.new[*n].is_none()).collect();
    // Where there are too few new ones, what has nothing to lose goes without.
    while rest.len() > free.len()
        && let Some(at) = rest.iter().rposition(|n| !old[*n].is_fixed())
    {
        rest.remove(at);
    }
    if rest.iter().all(|n| old[*n].place.is_some()) {
        rest.sort_by_key(|n| old[*n].place);
    } else {
        pairs.guessed = rest.clone();
    }
    for (n, new) in rest.into_iter().zip(free) {
        pairs.new[n] = Some(new);
    }
    pairs
}

fn same_device(card: &Card, new: &New) -> bool {
    new.device.as_ref().is_some_and(|device| device.eq_ignore_ascii_case(&card.device))
}

fn same_mac(card: &Card, new: &New) -> bool {
    let pair = card.mac.as_ref().zip(new.mac.as_ref());
    pair.is_some_and(|(old, new)| old.eq_ignore_ascii_case(new))
}

/// Bus, device and function in a device's `LocationInformation`: `PCI bus 2, device 1, function 0` in any language, from Vista on
/// `@system32\drivers\pci.sys,#65536;PCI bus %1, device %2, function %3;(2,1,0)`.
pub fn place(location: &str) -> Option<[u32; 3]> {
    let numbers = location.rsplit_once(";(").map_or(location, |(_, numbers)| numbers);
    let parts = numbers.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    let numbers: Vec<u32> = parts.take(4).filter_map(|part| part.parse().ok()).collect();
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(mac: Option<&str>, place: Option<[u32; 3]>) -> Card {
        let addresses = vec![("10.0.0.1".to_owned(), "255.0.0.0".to_owned())];
        Card { mac: mac.map(str::to_owned), place, addresses, ..Card::default() }
    }

    fn new(mac: &str) -> New {
        New { mac: Some(mac.to_owned()), device: None }
    }

    #[test]
    fn by_address_then_place_then_name() {
        let both = [new("00:50:56:00:00:0A"), new("00:50:56:00:00:0b")];
        let swapped = [card(Some("00:50:56:00:00:0b"), None), card(Some("00:50:56:00:00:0a"), None)];
        assert_eq!(pair(&swapped, &both), Pairs { new: vec![Some(1), Some(0)], guessed: vec![] });
        let one = [card(None, None), card(Some("00:50:56:00:00:0a"), None)];
        assert_eq!(pair(&one, &both), Pairs { new: vec![Some(1), Some(0)], guessed: vec![0] });
        let places = [card(None, Some([3, 0, 0])), card(None, Some([2, 1, 0]))];
        assert_eq!(pair(&places, &both).new, [Some(1), Some(0)]);
        let names = [card(None, Some([3, 0, 0])), card(None, None), card(None, None)];
        let pairs = Pairs { new: vec![Some(0), Some(1), None], guessed: vec![0, 1, 2] };
        assert_eq!(pair(&names, &both), pairs);
        assert_eq!(pair(&names[..1], &[New::default()]).new, [Some(0)]);
        assert_eq!(pair(&[], &both), Pairs::default());
    }

    #[test]
    fn what_is_there_stays_and_what_is_fixed_comes_first() {
        let there = New { mac: None, device: Some(r"PCI\X\1".into()) };
        let mut cards = [card(None, Some([1, 0, 0])), card(None, None)];
        cards[1].device = r"pci\x\1".into();
        let pairs = pair(&cards, &[there, new("00:50:56:00:00:0a")]);
        assert_eq!(pairs, Pairs { new: vec![Some(1), Some(0)], guessed: vec![] });
        let by_dhcp = Card::default();
        let pairs = pair(&[by_dhcp, card(None, None)], &[new("00:50:56:00:00:0a")]);
        assert_eq!(pairs.new, [None, Some(0)]);
    }

    #[test]
    fn places() {
        assert_eq!(place("PCI bus 2, device 1, function 0"), Some([2, 1, 0]));
        assert_eq!(place("PCI-Bus 0, Gerät 3, Funktion 0"), Some([0, 3, 0]));
        let late = r"@system32\drivers\pci.sys,#65536;PCI bus %1, device %2, function %3;(0,21,0)";
        assert_eq!(place(late), Some([0, 21, 0]));
        for odd in ["", "Internal", "PCI bus 2", "1 2 3 4", "(99999999999,1,2)"] {
            assert_eq!(place(odd), None, "{odd}");
        }
    }
}
