//! Sections that say something of the machine, and those that are only kept.

use crate::kept::verbatim;
use crate::vendor::{VIRTUALBOX, VMWARE};
use crate::xml::{attribute, child, children, elements, name, text, value};
use roxmltree::Node;
use wherry_sdk::definition::Machine;
use wherry_sdk::{Fact, Severity, concern, fact};

/// Sections whose content is used, or has no meaning for a single machine.
const USED: [&str; 12] = [
    "Info",
    "Name",
    "References",
    "DiskSection",
    "SharedDiskSection",
    "NetworkSection",
    "OperatingSystemSection",
    "VirtualHardwareSection",
    "VirtualSystem",
    "VirtualSystemCollection",
    "DeploymentOptionSection",
    "Strings",
];
/// Sections that are understood, and kept for people and other targets.
const UNDERSTOOD: [&str; 3] = ["ProductSection", "EulaSection", "AnnotationSection"];
/// Facts of one kind.
const FACTS_MOST: usize = 200;
/// Bytes after which no further part is kept.
const KEPT_MOST: usize = 256 << 10;

/// Facts of the sections of one machine.
pub fn add(system: Node<'_, '_>, machine: &mut Machine) {
    if let Some(section) = child(system, "OperatingSystemSection") {
        let description = value(section, "Description");
        let kind = attribute(section, "osType").map(str::to_owned).or_else(|| value(section, "OSType"));
        let said = [
            ("os.id", attribute(section, "id").map(str::to_owned)),
            ("os.type", kind),
            ("os.description", description),
        ];
        machine.facts.extend(said.into_iter().filter_map(|(key, value)| Some(fact(key, value?))));
    }
    if let Some(section) = child(system, "ProductSection") {
        machine.facts.extend(product(section));
    }
    let license = child(system, "EulaSection").and_then(|section| value(section, "License"));
    machine.facts.extend(license.map(|text| fact("eula", text)));
    let note = child(system, "AnnotationSection").and_then(|section| value(section, "Annotation"));
    machine.facts.extend(note.map(|text| fact("annotation", text)));
}

/// What is sold, and the properties that the guest asks its platform for.
fn product(section: Node<'_, '_>) -> Vec<Fact> {
    let keys = [("Product", "product.name"), ("Vendor", "product.vendor"), ("Version", "product.version")];
    let mut facts: Vec<Fact> =
        keys.into_iter().filter_map(|(element, key)| Some(fact(key, value(section, element)?))).collect();
    let properties = children(section, "Property").filter_map(|one| {
        let given = attribute(one, "value").unwrap_or_default();
        let hidden = attribute(one, "password") == Some("true");
        Some(fact(format!("property.{}", attribute(one, "key")?), if hidden { "(hidden)" } else { given }))
    });
    facts.extend(properties.take(FACTS_MOST));
    facts
}

/// Keeps what is not understood, and reports it: blocking where the descriptor says that it must be understood.
pub fn keep(parent: Node<'_, '_>, key: &str, machine: &mut Machine) {
    let own = parent.tag_name().namespace();
    let (mut kept, mut size, mut reported) = (0, 0, 0);
    for section in elements(parent) {
        let (name, uri) = (name(section), section.tag_name().namespace());
        if uri == own && USED.contains(&name) {
            continue;
        }
        // These describe the old hardware once more.
        let stale = uri == Some(VIRTUALBOX) || (uri == Some(VMWARE) && name.starts_with("Boot"));
        let room = !stale && kept < FACTS_MOST && size < KEPT_MOST;
        let text = room.then(|| verbatim(section)).flatten();
        if !(uri == own && UNDERSTOOD.contains(&name)) && uri != Some(VIRTUALBOX) {
            reported += 1;
            let told = (reported <= FACTS_MOST).then(|| unknown(section, uri == own, text.is_some()));
            machine.concerns.extend(told);
        }
        if let Some(text) = text {
            size += text.len();
            machine.facts.push(fact(format!("{key}.{kept}"), text));
            kept += 1;
        }
    }
    if reported > FACTS_MOST {
        let message = format!("{reported} sections are not understood, more than any appliance has");
        let remedy = Some("name its disks one by one");
        machine.concerns.push(concern(Severity::Blocking, "ovf.unknown-sections", message, remedy));
    }
}

fn short(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

fn unknown(section: Node<'_, '_>, own: bool, kept: bool) -> wherry_sdk::Concern {
    let (severity, what) = match attribute(section, "required") {
        Some("true" | "1") => (Severity::Blocking, "it says that it must be understood"),
        Some(_) => (Severity::Information, "it says that it may be ignored"),
        None => (Severity::Warning, "it may matter to the guest"),
    };
    let uri = section.tag_name().namespace().filter(|_| !own).map(|uri| format!(" of {}", short(uri, 120)));
    let about = child(section, "Info").and_then(text).map(|info| format!(" ({})", short(&info, 200)));
    let message = format!(
        "the section {}{}{} is not understood, and {}; {what}",
        short(name(section), 80),
        uri.unwrap_or_default(),
        about.unwrap_or_default(),
        if kept { "kept as it is" } else { "left out" },
    );
    let remedy =
        "look at what it does; remove it or its ovf:required, and its digest, if the machine can do without";
    concern(severity, "ovf.unknown-section", message, Some(remedy))
}
