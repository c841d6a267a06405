//! Fixed IPv6 addresses, which Vista and later keep by interface in the network store interface's part of the registry, with
//! names of values that are keys of 24 and more bytes in hexadecimal digits.
//!
//! No document of Microsoft's describes it. An address' value is described in stackoverflow.com/questions/8155700: the
//! interface's LUID and the address; lifetimes, origins, and at byte 16 the length of the prefix. A Windows 7's hive (regipy's
//! SYSTEM) has IPv4 addresses in this shape, the LUIDs are those of `NetLuidIndex` and `*IfType` in it, and its default routes
//! have the prefixes in front, all zero, the LUID twice, and the way out. That IPv6 routes have the same shape, with longer
//! addresses, is concluded from that.

use crate::hives::{Hives, Store};
use crate::system::System;
use core::net::Ipv6Addr;
use wherry_sdk::Result;

/// `NPI_MS_IPV6_MODULEID`.
const IPV6: &str = "{eb004a01-9b1a-11d4-9123-0050047759bc}";
const ADDRESSES: &str = "10";
const ROUTES: &str = "16";
/// Where the length of the prefix is in an address' value.
const PREFIX: usize = 16;
/// Values that are looked at.
const MOST: usize = 4096;

/// Fixed IPv6 addresses of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ipv6 {
    /// Addresses, and the length of their networks' prefixes.
    pub addresses: Vec<(Ipv6Addr, u8)>,
    /// Ways out.
    pub gateways: Vec<Ipv6Addr>,
    /// Name servers.
    pub servers: Vec<Ipv6Addr>,
}

/// Of the interface with this `NetLuidIndex`, `*IfType` and GUID.
pub fn read(hives: &mut Hives<'_>, system: &System, luid: (u64, u64), guid: &str) -> Result<Ipv6> {
    let luid = self::luid(luid);
    let mut all = Ipv6::default();
    let key = |number: &str| format!(r"{}\Control\Nsi\{IPV6}\{number}", system.current);
    for name in hives.values(Store::System, &key(ADDRESSES))?.into_iter().take(MOST) {
        let Some(address) = digits(&name).and_then(|key| address(&key, &luid)) else { continue };
        let value = hives.value(Store::System, &key(ADDRESSES), &name)?;
        let length = value.and_then(|(_, bytes)| bytes.get(PREFIX).copied());
        all.addresses.extend(length.filter(|length| *length <= 128).map(|length| (address, length)));
    }
    for name in hives.values(Store::System, &key(ROUTES))?.into_iter().take(MOST) {
        all.gateways.extend(digits(&name).and_then(|key| gateway(&key, &luid)));
    }
    all.addresses.sort();
    all.gateways.sort();
    let key = format!(r"{}\Services\Tcpip6\Parameters\Interfaces\{guid}", system.current);
    let servers = hives.text(Store::System, &key, "NameServer")?.unwrap_or_default();
    all.servers = servers.split([',', ' ']).filter_map(|server| server.parse().ok()).collect();
    Ok(all)
}

/// `NET_LUID`: three bytes that are reserved, three of the index, two of the type.
fn luid((index, kind): (u64, u64)) -> [u8; 8] {
    ((index & 0x00ff_ffff) << 24 | (kind & 0xffff) << 48).to_le_bytes()
}

fn digits(name: &str) -> Option<Vec<u8>> {
    let (pairs, []) = name.as_bytes().as_chunks::<2>() else { return None };
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    pairs.iter().map(byte).collect()
}

fn address(key: &[u8], luid: &[u8]) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(key.strip_prefix(luid)?).ok()?))
}

/// Where the default route leads, by this interface.
fn gateway(key: &[u8], luid: &[u8; 8]) -> Option<Ipv6Addr> {
    let twice = [*luid, *luid].concat();
    let at =
        (0..key.len()).step_by(8).find(|at| key.get(*at..).is_some_and(|rest| rest.starts_with(&twice)))?;
    let (prefixes, rest) = key.split_at_checked(at)?;
    let next = Ipv6Addr::from(*rest.get(twice.len()..)?.first_chunk::<16>()?);
    (at > 0 && prefixes.iter().all(|byte| *byte == 0) && !next.is_unspecified()).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of values in a Windows 7's hive; those of IPv4 have four bytes of address, and four that fill up.
    #[test]
    fn keys_of_a_real_one() {
        let own = luid((7, 6));
        assert_eq!(digits("00000007000006000a033a0500000000").unwrap()[..8], own);
        assert_eq!(luid((0x8001, 6)), *digits("0000000180000600").unwrap());
        let route = digits(&("0".repeat(48) + "000000070000060000000007000006000a033a0100000000")).unwrap();
        assert_eq!((route[24..32].to_vec(), route[32..40].to_vec()), (own.to_vec(), own.to_vec()));
        assert_eq!(digits("0x"), None);
        assert_eq!(digits("123"), None);
    }

    #[test]
    fn addresses_and_ways_out() {
        let own = luid((9, 6));
        let key = digits("000000090000060020010000000000000000000000000001").unwrap();
        assert_eq!(address(&key, &own), Some("2001::1".parse().unwrap()));
        assert_eq!((address(&key, &luid((8, 6))), address(&key[..23], &own)), (None, None));
        let route = |prefix: u8| [&[prefix; 48][..], &own, &own, &key[8..], &[0; 8]].concat();
        assert_eq!(gateway(&route(0), &own), Some("2001::1".parse().unwrap()));
        assert_eq!((gateway(&route(1), &own), gateway(&route(0)[..70], &own)), (None, None));
    }
}
