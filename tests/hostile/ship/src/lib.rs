//! A target adapter that has raw disks sent to `/put` of the server, or to where the wish `to` says, and tells the server every
//! call by a request of its own. With the wish `tires` it ends the shipment.

use wherry_sdk::http::Request;
use wherry_sdk::target::{DiskNeed, FileSink, Machine, Offer, Shipment, Sink, Upload};
use wherry_sdk::{DeviceProfile, Error, Fact, Host, LivePlatform, Result, fact, find};

/// Ships.
pub struct Ship;

fn name(machine: &Machine, disk: &DiskNeed) -> String {
    format!("{}-{}.img", machine.name, disk.index)
}

fn said<'a>(machine: &'a Machine, key: &str) -> &'a str {
    find(&machine.facts, key).unwrap_or_default()
}

/// Tells the server; the secret is named only where there is one.
fn tell(host: Host<'_>, machine: &Machine, what: &str) -> Result<()> {
    let request = Request {
        method: "POST".into(),
        url: format!("{}/tell", said(machine, "target.server")),
        headers: vec![("content-type".into(), "text/xml".into())],
        body: format!("<p>{{{{secret:login:password}}}}</p>{what}").into_bytes(),
        secret: find(&machine.facts, "target.secret.login").map(|_| "login".into()),
        timeout_ms: 10_000,
    };
    let answer = host.http.send(&request)?;
    match answer.status {
        200 => Ok(()),
        status => Err(Error::unsupported(format!("being answered {status}"))),
    }
}

impl LivePlatform for Ship {
    fn capabilities() -> Result<Vec<Fact>> {
        Ok(Vec::new())
    }

    fn profile(host: Host<'_>, machine: &Machine) -> Result<Offer> {
        tell(host, machine, "profile")?;
        let profile = DeviceProfile {
            firmware: "bios".into(),
            disk_bus: "virtio-blk".into(),
            nic_model: "virtio-net".into(),
            architecture: "x86_64".into(),
            machine: "q35".into(),
            facts: vec![fact("serial-console", "ttyS0")],
        };
        Ok(Offer { profile, concerns: Vec::new() })
    }

    fn prepare(_: Host<'_>, _: &str, machine: &Machine, _: &DeviceProfile) -> Result<Vec<Sink>> {
        let sink =
            |disk| FileSink { format: "format-raw".into(), name: name(machine, disk), options: Vec::new() };
        Ok(machine.disks.iter().map(|disk| Sink::File(sink(disk))).collect())
    }

    fn ship(host: Host<'_>, key: &str, machine: &Machine, _: &DeviceProfile) -> Result<Option<Shipment>> {
        tell(host, machine, &format!("ship {key}"))?;
        let to = find(&machine.facts, "wish.to")
            .map_or_else(|| format!("{}/put", said(machine, "target.server")), str::to_owned);
        let upload = |disk| Upload {
            name: name(machine, disk),
            method: "PUT".into(),
            url: to.clone(),
            headers: vec![("x-disk".into(), name(machine, disk))],
            secret: None,
        };
        let uploads = machine.disks.iter().map(upload).collect();
        Ok(Some(Shipment { uploads, alive_seconds: 1, note: "lease 7".into() }))
    }

    fn sending(host: Host<'_>, _: &str, machine: &Machine, note: &str, bytes: (u64, u64)) -> Result<()> {
        if find(&machine.facts, "wish.tires").is_some() {
            return Err(Error::unsupported("going on"));
        }
        tell(host, machine, &format!("sending {note} {} of {}", bytes.0, bytes.1))
    }

    fn abandon(host: Host<'_>, key: &str, machine: &Machine, note: &str) -> Result<()> {
        tell(host, machine, &format!("abandon {key} {note}"))
    }

    fn finish(host: Host<'_>, key: &str, machine: &Machine, _: &DeviceProfile) -> Result<Vec<Fact>> {
        tell(host, machine, &format!("finish {key} {}", said(machine, "shipment.note")))?;
        Ok(vec![fact("definition.0", "there"), fact("next.0", "start it")])
    }

    fn undo(_: Host<'_>, _: &str, _: &Machine) -> Result<()> {
        Ok(())
    }
}

wherry_sdk::register_live_platform!(Ship, "../adapter.toml");
