//! The machine made on a Hyper-V host over WinRM, by the same script that otherwise lies beside the disks. The disks are where
//! the host sees them already: the output directory is a share of its own.

use crate::machine::Plan;
use crate::script::{import, quoted};
use crate::wsman::{self, Access};
use wherry_sdk::target::Machine;
use wherry_sdk::{Concern, Error, ErrorKind, Fact, Host, Http, Result, Severity, concern, fact, find};

const LOOK: &str = include_str!("look.ps1");
const CHECK: &str = include_str!("check.ps1");
const MADE: &str = include_str!("made.ps1");
const REMOVE: &str = include_str!("remove.ps1");

/// Whether there is a server to ask.
pub fn is_live(machine: &Machine) -> bool {
    find(&machine.facts, "target.server").is_some()
}

/// Wishes that mean something on a server alone.
pub const WISHES: [&str; 4] = ["directory", "switch", "start", "checkpoint"];

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, what)
}

/// How to reach the host. Messages are numbered by the run's time and the script: there is nothing random in a sandbox.
fn access(machine: &Machine, script: &str) -> Result<Access> {
    let server = find(&machine.facts, "target.server").ok_or_else(|| invalid("no server was named"))?;
    let secret = machine.facts.iter().find_map(|fact| {
        let name = fact.key.strip_prefix("target.secret.")?;
        ["ntlm", "basic"].contains(&fact.value.as_str()).then_some(name)
    });
    let secret =
        secret.ok_or_else(|| invalid("no secret `winrm` of kind ntlm or basic was given (--credentials)"))?;
    let seed = format!("{server} {} {script}", wherry_sdk::now_unix());
    Ok(Access { url: format!("{server}/wsman"), secret: secret.into(), seed })
}

/// The output directory as the host calls it.
fn directory(machine: &Machine) -> Result<&str> {
    let said = find(&machine.facts, "wish.directory").filter(|path| !path.is_empty());
    let said =
        said.ok_or_else(|| invalid("it is not said what the Hyper-V host calls the output directory"))?;
    match said.chars().any(|c| c.is_control() || "\"<>|?*".contains(c)) {
        true => Err(invalid("the wish for `directory` is no path of Windows")),
        false => Ok(said),
    }
}

fn yes(machine: &Machine, wish: &str) -> Result<bool> {
    match find(&machine.facts, wish) {
        None | Some("no") => Ok(false),
        Some("yes") => Ok(true),
        Some(other) => Err(invalid(&format!("`{wish}` is `{other}`, where yes and no are known"))),
    }
}

/// Runs `script` with these variables.
fn run(
    http: &dyn Http,
    machine: &Machine,
    values: &[(&str, &str)],
    script: &str,
) -> Result<Vec<(String, String)>> {
    let set: String = values.iter().map(|(name, value)| format!("${name} = {}\n", quoted(value))).collect();
    let script = format!("{set}{script}");
    wsman::run(http, &access(machine, &script)?, &script)
}

/// What the host says that speaks against the machine.
pub fn concerns(http: &dyn Http, machine: &Machine) -> Vec<Concern> {
    let blocking =
        |id: &str, e: Error, remedy: &str| vec![concern(Severity::Blocking, id, e.message, Some(remedy))];
    let wishes = directory(machine).and_then(|path| {
        yes(machine, "wish.start")?;
        yes(machine, "wish.checkpoint").map(|_| path)
    });
    let directory = match wishes {
        Ok(directory) => directory,
        Err(e) => {
            return blocking("hyperv.wish", e, "such as --wish directory=D:\\machines --wish start=yes");
        }
    };
    match run(http, machine, &[("Name", &machine.name), ("Directory", directory)], LOOK) {
        Ok(found) => fit(machine, directory, &found),
        Err(e) => blocking("hyperv.server", e, "see whether server, secret and WinRM are right"),
    }
}

fn fit(machine: &Machine, directory: &str, found: &[(String, String)]) -> Vec<Concern> {
    let all = |key: &str| {
        found.iter().filter(move |(one, _)| one == key).map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    let one = |key: &str| all(key).first().copied().unwrap_or_default();
    let number = |key: &str| one(key).parse::<u64>().ok();
    let message = format!("the machine goes to {} (Windows {}), to {directory}", one("host"), one("version"));
    let mut concerns = vec![concern(Severity::Information, "hyperv.place", message, None)];
    let mut tell = |severity, id: &str, message: String, remedy: &str| {
        concerns.push(concern(severity, id, message, Some(remedy)));
    };
    if one("directory") != "yes" {
        let message = format!("the host has no directory {directory}");
        tell(Severity::Blocking, "hyperv.directory", message, "say what the host calls the output directory");
    }
    let switches = all("switch");
    let cards = machine.nics.iter().filter_map(|nic| nic.network.as_deref());
    let wanted: Vec<&str> =
        find(&machine.facts, "wish.switch").map_or_else(|| cards.collect(), |one| vec![one]);
    for switch in wanted.into_iter().filter(|name| !switches.contains(name)) {
        let message = format!("the host has no virtual switch {switch:?}; it has: {}", switches.join(", "));
        tell(
            Severity::Blocking,
            "hyperv.switch",
            message,
            "say one with --nic MAC,NETWORK or --wish switch=NAME",
        );
    }
    let needed = machine.memory_mib.saturating_mul(1 << 20);
    if let Some(memory) = number("memory").filter(|memory| *memory < needed) {
        let message = format!("the host has {memory} bytes of memory, and the machine needs {needed}");
        tell(Severity::Warning, "hyperv.memory", message, "give it less with --memory");
    }
    if let Some(count) = number("processors").filter(|count| *count < machine.cpus.into()) {
        let message = format!("the host has {count} processors, and the machine {}", machine.cpus);
        tell(Severity::Warning, "hyperv.processors", message, "give it fewer with --cpus");
    }
    concerns
}

/// Whether the host sees the output directory, and the name is free there: before anything is copied.
pub fn check(host: Host<'_>, key: &str, machine: &Machine) -> Result<()> {
    let claim = format!("{}.wherry.json", machine.name);
    let values = [
        ("Name", machine.name.as_str()),
        ("Key", key),
        ("Directory", directory(machine)?),
        ("Claim", &claim),
    ];
    run(host.http, machine, &values, CHECK).map(drop)
}

/// Makes the machine, or goes on with it.
pub fn make(host: Host<'_>, key: &str, machine: &Machine, plan: &Plan) -> Result<Vec<Fact>> {
    let place = quoted(directory(machine)?);
    let switch = find(&machine.facts, "wish.switch").map(|name| format!(" -SwitchName {}", quoted(name)));
    let script = format!(
        "$made = & {{\n{}\n}} -Disks {place} -Path {place}{} -Confirm:$false | Select-Object -Last 1\n{MADE}",
        import(plan, key),
        switch.unwrap_or_default()
    );
    let truth = |is: bool| if is { "yes" } else { "" };
    let values = [
        ("Checkpoint", truth(yes(machine, "wish.checkpoint")?)),
        ("Start", truth(yes(machine, "wish.start")?)),
    ];
    let found = run(host.http, machine, &values, &script)?;
    let one = |key: &str| found.iter().find(|(one, _)| one == key).map_or("", |(_, value)| value.as_str());
    let server = find(&machine.facts, "target.server").unwrap_or_default();
    let mut facts = vec![fact("definition.0", format!("{server} {} {}", plan.name, one("machine")))];
    let mut next: Vec<String> = found
        .iter()
        .filter(|(key, _)| key == "warning")
        .map(|(_, text)| format!("the host warns: {text}"))
        .collect();
    next.push(match one("state") {
        "Off" => format!("on the Hyper-V host: Start-VM {}", plan.name),
        state => format!("it is {state}; on the Hyper-V host: vmconnect localhost {}", plan.name),
    });
    facts.extend(next.iter().enumerate().map(|(number, line)| fact(format!("next.{number}"), line)));
    Ok(facts)
}

/// Stops and removes what `key` has made there; its disks are the output directory's.
pub fn remove(host: Host<'_>, key: &str, machine: &Machine) -> Result<()> {
    run(host.http, machine, &[("Name", machine.name.as_str()), ("Key", key)], REMOVE).map(drop)
}
