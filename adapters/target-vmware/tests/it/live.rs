//! Machines made on a vCenter: govmomi's simulator, which is asked afterwards what it has.

use crate::bench::{DEBIAN, Directory, WINDOWS_2022, files, live};
use crate::vcsim::Simulator;
use crate::wire::{Wire, exchange};
use target_vmware::VMware;
use wherry_sdk::http::Response;
use wherry_sdk::target::{Machine, Shipment};
use wherry_sdk::{ErrorKind, Fact, Host, LivePlatform, Output as _, Result, Severity, fact, find};

fn blocking(host: Host<'_>, machine: &Machine) -> Vec<String> {
    let concerns = VMware::profile(host, machine).unwrap().concerns.into_iter();
    let blocking = concerns.filter(|one| one.severity == Severity::Blocking);
    blocking.map(|one| format!("{}: {}", one.id, one.message)).collect()
}

fn prepare(host: Host<'_>, output: &Directory, key: &str, machine: &Machine) -> Result<Option<Shipment>> {
    let profile = VMware::profile(host, machine)?.profile;
    let sinks = VMware::prepare(host, key, machine, &profile)?;
    for file in files(&sinks) {
        assert_eq!(find(&file.options, "subformat"), Some("streamOptimized"));
        output.write(&file.name, format!("bytes of {}", file.name).as_bytes(), false).unwrap();
    }
    VMware::ship(host, key, machine, &profile)
}

/// Sends what is to be sent, as the host does it.
fn send(host: Host<'_>, output: &Directory, key: &str, machine: &Machine, shipment: &Shipment) {
    for (number, upload) in shipment.uploads.iter().enumerate() {
        VMware::sending(host, key, machine, &shipment.note, (number as u64, 3)).unwrap();
        let bytes = output.read(&upload.name).unwrap();
        let answer = exchange(&upload.method, &upload.url, &upload.headers, &bytes);
        assert_eq!(answer.status, 200, "{}", upload.url);
    }
}

fn finish(host: Host<'_>, key: &str, machine: &Machine, note: Option<&str>) -> Result<Vec<Fact>> {
    let profile = VMware::profile(host, machine)?.profile;
    let mut told = machine.clone();
    told.facts.extend(note.map(|note| fact("shipment.note", note)));
    VMware::finish(host, key, &told, &profile)
}

/// What the server tells of all its machines, in a session of our own.
fn inventory(server: &Simulator) -> String {
    let url = format!("{}/sdk", server.origin);
    let ask = |cookie: &str, body: &str| -> Response {
        let envelope = format!(
            "<Envelope xmlns=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><Body>{body}</Body></Envelope>"
        );
        exchange("POST", &url, &[("cookie".into(), cookie.into())], envelope.as_bytes())
    };
    let login = "<Login xmlns=\"urn:vim25\"><_this type=\"SessionManager\">SessionManager</_this>\
                 <userName>an &lt;odd&gt; user</userName><password>pass &amp; word</password></Login>";
    let answer = ask("", login);
    let cookie = answer.headers.iter().find(|(name, _)| name == "set-cookie").unwrap().1.clone();
    let cookie = cookie.split(';').next().unwrap();
    let view = "<CreateContainerView xmlns=\"urn:vim25\"><_this type=\"ViewManager\">ViewManager</_this>\
                <container type=\"Folder\">group-d1</container><type>VirtualMachine</type><recursive>true</recursive>\
                </CreateContainerView>";
    let made = String::from_utf8(ask(cookie, view).body).unwrap();
    let made = made.split("<returnval").nth(1).unwrap().split(['>', '<']).nth(1).unwrap();
    let spec = "<propSet><type>VirtualMachine</type><pathSet>name</pathSet><pathSet>config</pathSet>\
                <pathSet>runtime.powerState</pathSet><pathSet>snapshot</pathSet></propSet>";
    let all = format!(
        "<RetrievePropertiesEx xmlns=\"urn:vim25\"><_this type=\"PropertyCollector\">propertyCollector</_this>\
         <specSet>{spec}<objectSet><obj type=\"ContainerView\">{made}</obj><skip>true</skip>\
         <selectSet xsi:type=\"TraversalSpec\"><type>ContainerView</type><path>view</path></selectSet></objectSet>\
         </specSet><options></options></RetrievePropertiesEx>"
    );
    String::from_utf8(ask(cookie, &all).body).unwrap()
}

/// The part of it that speaks of the machine `web-a.1`; empty where there is none.
fn ours(server: &Simulator) -> String {
    let all = inventory(server);
    let mut objects = all.split("<objects>");
    let named = |object: &&str| object.contains("<name>web-a.1</name>");
    objects.find(named).unwrap_or_default().to_owned()
}

#[test]
fn a_machine_is_made_and_removed() {
    let server = Simulator::start(&[]);
    let (output, wire) = (Directory::new("live"), Wire::default());
    let host = Host { output: &output, http: &wire };
    let wishes = [("wish.snapshot", "on"), ("wish.power", "on"), ("firmware", "uefi")];
    let machine = live(&server.origin, DEBIAN, &wishes);
    assert_eq!(blocking(host, &machine), [""; 0]);
    let shipment = prepare(host, &output, "key", &machine).unwrap().unwrap();
    let names: Vec<_> = shipment.uploads.iter().map(|upload| upload.name.as_str()).collect();
    assert_eq!(names, ["web-a.1-1.vmdk", "web-a.1.vmdk", "web-a.1-2.vmdk"]);
    send(host, &output, "key", &machine, &shipment);
    let next = finish(host, "key", &machine, Some(&shipment.note)).unwrap();
    assert!(next[0].value.contains("web-a.1 is vm-"), "{next:?}");

    let made = ours(&server);
    let expected = [
        "<guestId>debian10_64Guest</guestId>",
        "<version>vmx-13</version>",
        "<annotation>wherry-key: key</annotation>",
        "<memoryMB>1024</memoryMB>",
        "<numCPU>2</numCPU>",
        "<firmware>efi</firmware>",
        "<key>wherry.key</key>",
        "<key>wherry.state</key>",
        "<capacityInKB>2097152</capacityInKB>",
        "ParaVirtualSCSIController",
        "VirtualVmxnet3",
        "<macAddress>00:50:56:3f:cd:01</macAddress>",
        "<portgroupKey>dvportgroup-",
        "<deviceName>VM Network</deviceName>",
        "poweredOn",
        "<currentSnapshot",
    ];
    for part in expected {
        assert!(made.contains(part), "{part} in {made}");
    }
    // Again: nothing is sent, nothing is made.
    assert!(prepare(host, &output, "key", &machine).unwrap().is_none());
    finish(host, "key", &machine, None).unwrap();
    assert_eq!(inventory(&server).matches("<name>web-a.1</name>").count(), 1);
    // Another run may neither take the name nor remove it.
    let other = Directory::new("live-other");
    let second = Host { output: &other, http: &wire };
    assert_eq!(prepare(second, &other, "other", &machine).unwrap_err().kind, ErrorKind::Exists);
    VMware::undo(second, "other", &machine).unwrap();
    assert!(!ours(&server).is_empty());
    VMware::undo(host, "key", &machine).unwrap();
    assert!(ours(&server).is_empty() && output.names().unwrap().is_empty());
    VMware::undo(host, "key", &machine).unwrap();
}

#[test]
fn every_device_is_taken_by_the_server() {
    let server = Simulator::start(&[]);
    let wire = Wire::default();
    let cards = ["vmxnet3", "e1000e", "e1000", "pcnet"];
    let types = ["VirtualVmxnet3", "VirtualE1000e", "VirtualE1000", "VirtualPCNet32"];
    let buses = [
        ("pvscsi", "ParaVirtualSCSIController"),
        ("lsi-sas", "VirtualLsiLogicSASController"),
        ("lsi-scsi", "VirtualLsiLogicController"),
        ("buslogic", "VirtualBusLogicController"),
        ("ahci", "VirtualAHCIController"),
        ("nvme", "VirtualNVMEController"),
        ("ide", "VirtualIDEController"),
    ];
    for (turn, (bus, controller)) in buses.into_iter().enumerate() {
        let output = Directory::new(bus);
        let host = Host { output: &output, http: &wire };
        let wishes = [("wish.disk-bus", bus), ("wish.nic-model", cards[turn % 4])];
        let machine = live(&server.origin, DEBIAN, &wishes);
        let shipment = prepare(host, &output, bus, &machine).unwrap().unwrap();
        assert_eq!(shipment.uploads.len(), 3, "{bus}");
        let made = ours(&server);
        for part in [controller, types[turn % 4]] {
            assert!(made.contains(&format!("type=\"{part}\"")), "{bus}: {part} in {made}");
        }
        VMware::abandon(host, bus, &machine, &shipment.note).unwrap();
        assert!(ours(&server).is_empty(), "{bus}");
    }
}

#[test]
fn what_a_killed_run_has_left_is_removed() {
    let server = Simulator::start(&[]);
    let (output, wire) = (Directory::new("killed"), Wire::default());
    let host = Host { output: &output, http: &wire };
    let machine = live(&server.origin, WINDOWS_2022, &[("wish.secure-boot", "on")]);
    // Killed after each request that was ever sent, and begun again.
    let mut survived = 0;
    for most in 1.. {
        wire.called.borrow_mut().clear();
        wire.dies_after.set(Some(most));
        let run = || -> Result<()> {
            let Some(shipment) = prepare(host, &output, "key", &machine)? else { return Ok(()) };
            for upload in &shipment.uploads {
                VMware::sending(host, "key", &machine, &shipment.note, (1, 2))?;
                let bytes = output.read(&upload.name)?;
                assert_eq!(exchange(&upload.method, &upload.url, &upload.headers, &bytes).status, 200);
            }
            finish(host, "key", &machine, Some(&shipment.note)).map(|_| ())
        };
        match run() {
            Ok(()) => break,
            Err(error) => assert!(error.message.contains("the line is dead"), "{most}: {error:?}"),
        }
        survived += 1;
        assert!(survived < 200, "it never comes to its end");
    }
    wire.dies_after.set(None);
    assert!(survived > 20, "{survived}");
    assert_eq!(inventory(&server).matches("<name>web-a.1</name>").count(), 1);
    VMware::undo(host, "key", &machine).unwrap();
    assert!(ours(&server).is_empty());
}

#[test]
fn what_the_server_does_not_have_is_told() {
    let server = Simulator::start(&[]);
    let (output, wire) = (Directory::new("told"), Wire::default());
    let host = Host { output: &output, http: &wire };
    let told = |wishes: &[(&str, &str)]| blocking(host, &live(&server.origin, DEBIAN, wishes)).join("\n");
    let cases: [(&[_], &[&str]); 6] = [
        (&[("wish.cluster", "no")], &["vsphere.server", "no cluster `no`", "DC0_C0", "DC0_H0"]),
        (&[("wish.datacenter", "no")], &["no datacenter `no`", "DC0"]),
        (&[("wish.datastore", "no")], &["no datastore `no`", "LocalDS_0"]),
        (&[("wish.resource-pool", "no")], &["no resource-pool `no`", "Resources"]),
        (&[("wish.folder", "no")], &["no folder `no`"]),
        (&[("wish.subformat", "streamOptimized")], &["vmware.unknown-wish"]),
    ];
    for (wishes, words) in cases {
        let told = told(wishes);
        assert!(words.iter().all(|word| told.contains(word)), "{wishes:?}: {told}");
    }
    let mut elsewhere = live(&server.origin, DEBIAN, &[]);
    elsewhere.nics[1].network = Some("no".into());
    let words = blocking(host, &elsewhere).join("\n");
    assert!(words.contains("vsphere.network") && words.contains("VM Network"), "{words}");
    for (key, word) in
        [("target.server", "no server was named"), ("target.secret.vcenter", "no secret of kind")]
    {
        let mut without = live(&server.origin, DEBIAN, &[]);
        without.facts.retain(|fact| fact.key != key);
        assert!(blocking(host, &without).join("\n").contains(word), "{key}");
    }
    // With two clusters one has to be chosen.
    let mut open = live(&server.origin, DEBIAN, &[]);
    open.facts.retain(|fact| fact.key != "wish.cluster");
    assert!(blocking(host, &open).join("\n").contains("wish for a cluster"));
}

#[test]
fn a_host_by_itself_is_a_server_too() {
    let server = Simulator::start(&["-host"]);
    let (output, wire) = (Directory::new("host"), Wire::default());
    let host = Host { output: &output, http: &wire };
    let mut machine = live(&server.origin, DEBIAN, &[]);
    machine.facts.retain(|fact| fact.key != "wish.cluster");
    machine.nics[0].network = None;
    assert_eq!(blocking(host, &machine), [""; 0]);
    let shipment = prepare(host, &output, "key", &machine).unwrap().unwrap();
    send(host, &output, "key", &machine, &shipment);
    finish(host, "key", &machine, Some(&shipment.note)).unwrap();
    VMware::undo(host, "key", &machine).unwrap();
}
