//! Zones: `/etc/zones/index`, `name:state:path:uuid` (zonecfg(1M), zones(5)).

use crate::files::{lines, text};
use wherry_sdk::Tree;

/// Zones that are looked at.
const MOST: usize = 8192;

/// `web installed /zones/web` for each zone but the global one.
pub fn zones(guest: &dyn Tree) -> Vec<String> {
    let index = text(guest, "/etc/zones/index").unwrap_or_default();
    let zone = |line: &str| {
        let mut fields = line.split(':');
        let (name, state, path) = (fields.next()?, fields.next()?, fields.next()?);
        (name != "global").then(|| format!("{name} {state} {path}"))
    };
    lines(&index, '#').filter_map(zone).take(MOST).collect()
}

/// Boot environments of Live Upgrade: lines `id:name:C:0` of `/etc/lutab`.
pub fn live_upgrade(guest: &dyn Tree) -> Vec<String> {
    let table = text(guest, "/etc/lutab").unwrap_or_default();
    let name = |line: &str| {
        let mut fields = line.split(':');
        let (_, name, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "C").then(|| name.to_owned())
    };
    lines(&table, '#').filter_map(name).take(MOST).collect()
}
