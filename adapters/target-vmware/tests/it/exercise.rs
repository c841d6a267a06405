//! Every call of the adapter against a server that answers one of them with these bytes.

use crate::bench::{DEBIAN, Directory, live};
use crate::replay::{CALLS, Replay};
use target_vmware::VMware;
use wherry_sdk::target::{Machine, Shipment};
use wherry_sdk::{Host, LivePlatform, Result, fact};

/// More than the longest wait takes; a server that never lets go is left.
const REQUESTS_MOST: usize = 60_000;

/// What the adapter makes of the whole way; all of its calls come back.
pub fn way(replay: &Replay<'_>) -> Result<Shipment> {
    let output = Directory::new("replay");
    let host = Host { output: &output, http: replay };
    let machine = live("https://esx", DEBIAN, &[]);
    let offer = VMware::profile(host, &machine)?;
    VMware::prepare(host, "key", &machine, &offer.profile)?;
    let shipment = VMware::ship(host, "key", &machine, &offer.profile)?;
    let Some(shipment) = shipment else {
        return Err(wherry_sdk::Error::unsupported("there is nothing to send"));
    };
    assert_eq!(shipment.uploads.len(), machine.disks.len());
    assert!(shipment.alive_seconds > 0 && shipment.note.len() < 2000);
    let sent = VMware::sending(host, "key", &machine, &shipment.note, (u64::MAX, 1));
    let finished = end(host, &machine, &shipment);
    let removed = VMware::undo(host, "key", &machine);
    sent.and(finished).and(removed).map(|()| shipment)
}

/// The request that makes such a machine.
pub fn made_of(system: &[(&str, &str)], wishes: &[(&str, &str)]) -> String {
    let output = Directory::new("made-of");
    let replay = Replay::new("", b"");
    let host = Host { output: &output, http: &replay };
    let machine = live("https://esx", system, wishes);
    let profile = VMware::profile(host, &machine).unwrap().profile;
    VMware::prepare(host, "key", &machine, &profile).unwrap();
    VMware::ship(host, "key", &machine, &profile).unwrap();
    replay.import.take()
}

fn end(host: Host<'_>, machine: &Machine, shipment: &Shipment) -> Result<()> {
    let mut told = machine.clone();
    told.facts.push(fact("shipment.note", &shipment.note));
    let profile = VMware::profile(host, machine)?.profile;
    VMware::finish(host, "key", &told, &profile)?;
    VMware::abandon(host, "key", machine, &shipment.note)
}

/// The bytes as the answer to each call in turn.
pub fn exercise(bytes: &[u8]) {
    for call in CALLS {
        let replay = Replay::new(call, bytes);
        if let Err(error) = way(&replay) {
            assert!(error.message.len() < 2000, "{call}: {}", error.message);
        }
        assert!(replay.requests.get() < REQUESTS_MOST, "{call}: {} requests", replay.requests.get());
    }
}
