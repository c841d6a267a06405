//! The way over a server: what is asked of it, in which order, and what its answers mean.

use crate::bench::{DEBIAN, Directory, machine};
use crate::winrm::{Winrm, fault};
use target_hyperv::HyperV;
use wherry_sdk::target::Machine;
use wherry_sdk::{ErrorKind, Host, Http, LivePlatform, Output as _, Severity};

const ALL: [&str; 6] = ["Create", "Command", "Send", "Receive", "Receive", "Signal"];

pub fn live(wishes: &[(&str, &str)]) -> Machine {
    let told = [
        ("target.server", "https://hv1:5986"),
        ("target.secret.winrm", "ntlm"),
        ("wish.directory", "D:\\it's"),
    ];
    let told: Vec<_> =
        told.into_iter().filter(|(key, _)| !wishes.iter().any(|(other, _)| key == other)).collect();
    machine(DEBIAN, &[&told[..], wishes].concat())
}

const HOST: [&str; 7] = [
    "host=HV1",
    "version=10.0.20348.0",
    "processors=8",
    "memory=17179869184",
    "switch=LAN",
    "switch=it's B\u{fc}ro",
    "directory=yes",
];

fn concerns(http: &dyn Http, machine: &Machine) -> Vec<(String, Severity)> {
    let output = Directory::new("plan");
    let offer = HyperV::profile(Host { output: &output, http }, machine).unwrap();
    let all = offer.concerns.into_iter().filter(|one| one.id != "hyperv.card-driver");
    all.map(|one| (one.id, one.severity)).collect()
}

#[test]
fn a_plan_asks_the_host_what_it_has() {
    let host = Winrm::printing(&HOST);
    let told = concerns(&host, &live(&[]));
    assert_eq!(told, [("hyperv.place".into(), Severity::Information)]);
    assert_eq!(*host.asked.borrow(), [&ALL[..], &["Delete"]].concat());
    let script = host.scripts.borrow()[0].clone();
    assert!(script.starts_with("$Name = 'web-a.1'\n$Directory = 'D:\\it''s'\n# wherry: look\n"), "{script}");
    assert!(script.is_ascii());

    let poor = Winrm::printing(&["host=HV1", "version=10.0", "processors=1", "memory=1024"]);
    let ids: Vec<_> = concerns(&poor, &live(&[])).into_iter().map(|(id, _)| id).collect();
    assert_eq!(
        ids,
        ["hyperv.place", "hyperv.directory", "hyperv.switch", "hyperv.memory", "hyperv.processors"]
    );
    let said = Winrm::printing(&HOST);
    assert!(concerns(&said, &live(&[("wish.switch", "LAN")])).len() == 1);
    for (wish, value, id) in [
        ("wish.directory", "", "hyperv.wish"),
        ("wish.directory", "D:\\a\"b", "hyperv.wish"),
        ("wish.start", "perhaps", "hyperv.wish"),
        ("target.secret.winrm", "template", "hyperv.server"),
        ("wish.unknown", "x", "hyperv.unknown-wish"),
    ] {
        let told = concerns(&Winrm::printing(&HOST), &live(&[(wish, value)]));
        assert!(told.contains(&(id.into(), Severity::Blocking)), "{wish}={value}: {told:?}");
    }
    // Without a server the wishes of one are unknown.
    let alone = machine(DEBIAN, &[("wish.directory", "D:\\")]);
    assert_eq!(concerns(&Winrm::default(), &alone), [("hyperv.unknown-wish".into(), Severity::Blocking)]);
}

/// Every script that a host is given, and the program that reads them.
pub fn scripts() -> Vec<String> {
    let output = Directory::new("scripts");
    let machine = live(&[("wish.start", "yes"), ("wish.checkpoint", "yes"), ("wish.switch", "LAN")]);
    let host = Winrm::printing(&HOST);
    let lent = Host { output: &output, http: &host };
    let profile = HyperV::profile(lent, &machine).unwrap().profile;
    HyperV::prepare(lent, "k1", &machine, &profile).unwrap();
    HyperV::finish(lent, "k1", &machine, &profile).unwrap();
    HyperV::undo(lent, "k1", &machine).unwrap();
    let mut all = host.scripts.borrow().clone();
    all.push(host.reader.borrow().clone());
    all
}

#[test]
fn a_machine_is_checked_made_and_removed() {
    let output = Directory::new("live");
    let machine = live(&[("wish.start", "yes"), ("wish.checkpoint", "yes"), ("wish.switch", "LAN")]);
    let host = Winrm::printing(&["warning=it is late", "machine=4711", "state=Running"]);
    let lent = Host { output: &output, http: &host };
    let profile =
        HyperV::profile(Host { output: &output, http: &Winrm::printing(&HOST) }, &machine).unwrap().profile;
    HyperV::prepare(lent, "k1", &machine, &profile).unwrap();
    let facts = HyperV::finish(lent, "k1", &machine, &profile).unwrap();
    let facts: Vec<_> = facts.iter().map(|fact| (fact.key.as_str(), fact.value.as_str())).collect();
    assert_eq!(
        facts,
        [
            ("definition.0", "https://hv1:5986 web-a.1 4711"),
            ("next.0", "the host warns: it is late"),
            ("next.1", "it is Running; on the Hyper-V host: vmconnect localhost web-a.1"),
        ]
    );
    HyperV::undo(lent, "k1", &machine).unwrap();
    let scripts = host.scripts.borrow().clone();
    let kinds: Vec<_> = scripts
        .iter()
        .map(|script| script.split("# wherry: ").last().unwrap().lines().next().unwrap())
        .collect();
    assert_eq!(kinds, ["check", "make", "remove"]);
    assert!(scripts[0].contains("$Claim = 'web-a.1.wherry.json'\n") && scripts[0].contains("$Key = 'k1'\n"));
    for words in [
        "$Checkpoint = 'yes'\n$Start = 'yes'\n",
        "\n} -Disks 'D:\\it''s' -Path 'D:\\it''s' -SwitchName 'LAN' -Confirm:$false | Select-Object -Last 1\n",
        "$Key = 'wherry-key: k1'\n",
    ] {
        assert!(scripts[1].contains(words), "{words}: {}", scripts[1]);
    }
    // A claim of another key is nothing to ask the host about.
    let before = host.asked.borrow().len();
    HyperV::undo(lent, "k2", &machine).unwrap();
    assert_eq!(host.asked.borrow().len(), before);
    assert!(output.names().is_ok_and(|names| names.is_empty()));
}

#[test]
fn what_a_host_refuses_is_told() {
    let output = Directory::new("refused");
    let machine = live(&[]);
    let prepare = |host: &Winrm| {
        let profile = HyperV::profile(Host { output: &output, http: &Winrm::printing(&HOST) }, &machine)
            .unwrap()
            .profile;
        HyperV::prepare(Host { output: &output, http: host }, "k1", &machine, &profile)
    };
    let throws = Winrm::printing(&["error=D:\\x is not\u{7} there"]);
    let error = prepare(&throws).unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ErrorKind::Failed, "the host says: D:\\x is not  there")
    );
    assert_eq!(throws.asked.borrow().last().unwrap(), "Delete", "no shell is left behind");

    let denied = fault("AccessDenied", "5", "Access is denied.");
    let quota = fault("QuotaLimit", "2150859173", "too many shells");
    for (number, status, answer, kind, words) in [
        (1, 500, denied.as_str(), ErrorKind::Denied, "Access is denied."),
        (2, 500, quota.as_str(), ErrorKind::Failed, "too many shells"),
        (1, 404, "", ErrorKind::Io, "answers 404"),
        (1, 500, "", ErrorKind::Io, "answers 500"),
        (1, 200, "<a/>", ErrorKind::Io, "the new shell has no number"),
        (2, 200, "<a/>", ErrorKind::Io, "the new command has no number"),
        (1, 200, "<a>", ErrorKind::Io, "no XML"),
        (1, 200, "<!DOCTYPE a><a/>", ErrorKind::Io, "no XML"),
    ] {
        let host = Winrm::printing(&[]);
        *host.replaced.borrow_mut() = Some((number, status, answer.into()));
        let error = prepare(&host).unwrap_err();
        assert_eq!(error.kind, kind, "{answer}: {}", error.message);
        assert!(error.message.contains(words), "{answer}: {}", error.message);
    }
    assert_eq!(output.names().unwrap(), ["web-a.1.wherry.json"]);
}
