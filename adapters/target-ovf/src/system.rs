//! The operating system's section. Numbers are those of CIM_OperatingSystem.OSType.

use crate::choice::Flavour;
use crate::descriptor::had;
use crate::machine::Plan;
use wherry_sdk::find;
use wherry_sdk::platform::xml;
use wherry_sdk::target::Machine;

/// Linux distributions, 64 bits, by their os-release ID; others are 101, `Linux 64-Bit`.
const NUMBERS: [(&str, u32); 7] = [
    ("debian", 96),
    ("ubuntu", 94),
    ("rhel", 80),
    ("sles", 85),
    ("centos", 107),
    ("ol", 109),
    ("windows", 103),
];
const LINUX: u32 = 101;

pub fn section(plan: &Plan, machine: &Machine) -> Vec<String> {
    let id = find(&machine.facts, "os.id");
    let known = NUMBERS.iter().find(|(name, _)| Some(*name) == id).map(|(_, number)| *number);
    let number = had(machine, "os.id").and_then(|said| said.parse().ok()).or(known).unwrap_or(LINUX);
    let product = find(&machine.facts, "os.product").or_else(|| had(machine, "os.description"));
    // A word of another platform means nothing to this one.
    let same =
        |flavour: &str| had(machine, "os.type").filter(|_| had(machine, "ovf.flavour") == Some(flavour));
    let (attribute, element) = match plan.choice.flavour {
        Flavour::VMware => (same("vmware").map(|kind| format!(" vmw:osType=\"{}\"", xml(kind))), None),
        Flavour::VirtualBox => (None, same("virtualbox")),
        Flavour::Dmtf => (None, None),
    };
    let mut lines = vec![
        format!("    <OperatingSystemSection ovf:id=\"{number}\"{}>", attribute.unwrap_or_default()),
        "      <Info>The installed guest operating system</Info>".into(),
    ];
    lines.extend(product.map(|product| format!("      <Description>{}</Description>", xml(product))));
    lines.extend(
        element.map(|kind| format!("      <vbox:OSType ovf:required=\"false\">{}</vbox:OSType>", xml(kind))),
    );
    lines.push("    </OperatingSystemSection>".into());
    lines
}
