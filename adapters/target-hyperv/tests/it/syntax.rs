//! The scripts are PowerShell by tree-sitter's grammar of it, and use cmdlets and parameters that the Hyper-V module has. No
//! PowerShell itself runs here.

use crate::bench::{DEBIAN, NT4, WINDOWS_7, WINDOWS_2022, machine, script};
use std::collections::BTreeSet;
use tree_sitter::{Node, Parser, Tree};

/// Cmdlets with the parameters that are used of them, as learn.microsoft.com documents them for Windows Server 2016 to 2025.
const CMDLETS: [(&str, &[&str]); 33] = [
    ("Add-VMHardDiskDrive", &["VM", "Path", "ControllerType", "ControllerNumber", "ControllerLocation"]),
    ("Add-VMNetworkAdapter", &["VM", "Name", "IsLegacy", "StaticMacAddress", "SwitchName"]),
    ("Add-VMScsiController", &["VM"]),
    ("Connect-VMNetworkAdapter", &["VMNetworkAdapter", "SwitchName"]),
    ("Get-VM", &["Name", "Id"]),
    ("Get-VMBios", &["VM"]),
    ("Get-VMDvdDrive", &["VM", "ControllerNumber", "ControllerLocation"]),
    ("Get-VMFirmware", &["VM"]),
    ("Get-VMHardDiskDrive", &["VM", "ControllerType", "ControllerNumber", "ControllerLocation"]),
    ("Get-VMMemory", &["VM"]),
    ("Get-VMNetworkAdapter", &["VM", "Name"]),
    ("Get-VMProcessor", &["VM"]),
    ("Get-VMScsiController", &["VM", "ControllerNumber"]),
    ("Get-VMSwitch", &["Name", "Id", "SwitchType"]),
    ("New-VM", &["Name", "Generation", "MemoryStartupBytes", "Path", "NoVHD", "Version"]),
    ("Remove-VM", &["VM", "Force"]),
    ("Remove-VMDvdDrive", &[]),
    ("Remove-VMNetworkAdapter", &[]),
    ("Set-VM", &["VM", "Notes", "AutomaticCheckpointsEnabled"]),
    ("Set-VMBios", &["VM", "StartupOrder"]),
    ("Set-VMFirmware", &["VM", "EnableSecureBoot", "SecureBootTemplate", "FirstBootDevice", "BootOrder"]),
    ("Set-VMMemory", &["VM", "StartupBytes", "DynamicMemoryEnabled"]),
    ("Set-VMNetworkAdapter", &["VMNetworkAdapter", "StaticMacAddress"]),
    ("Set-VMProcessor", &["VM", "Count", "CompatibilityForOlderOperatingSystemsEnabled"]),
    ("Start-VM", &["VM"]),
    ("Stop-VM", &["VM", "TurnOff", "Force"]),
    ("Checkpoint-VM", &["VM", "SnapshotName"]),
    ("Get-VMSnapshot", &["VM"]),
    ("Remove-VMSnapshot", &[]),
    ("Get-VMHost", &[]),
    ("Get-Content", &["LiteralPath", "Raw"]),
    ("Get-Command", &["Name"]),
    ("Join-Path", &["Path", "ChildPath"]),
];
/// Of the language's own modules; their parameters are not looked at.
const OTHERS: [&str; 7] = [
    "ForEach-Object",
    "Select-Object",
    "Set-StrictMode",
    "Test-Path",
    "Where-Object",
    "Write-Warning",
    "Write-Output",
];

fn parse(text: &str) -> Tree {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_powershell::LANGUAGE.into()).unwrap();
    parser.parse(text, None).unwrap()
}

fn nodes<'t>(node: Node<'t>, kind: &str, found: &mut Vec<Node<'t>>) {
    if node.kind() == kind {
        found.push(node);
    }
    for child in 0..node.child_count() {
        nodes(node.child(child).unwrap(), kind, found);
    }
}

/// The first node that the grammar does not know, for people.
fn trouble(text: &str) -> Option<String> {
    let tree = parse(text);
    let mut errors = Vec::new();
    nodes(tree.root_node(), "ERROR", &mut errors);
    let first = errors.first().map(|node| format!("{}: {}", node.start_position(), &text[node.byte_range()]));
    first.or_else(|| tree.root_node().has_error().then(|| "something is missing".to_owned()))
}

fn words(text: &str, node: Node<'_>, kind: &str) -> Vec<String> {
    let mut found = Vec::new();
    nodes(node, kind, &mut found);
    found.iter().map(|node| text[node.byte_range()].to_owned()).collect()
}

fn scripts() -> Vec<String> {
    let wishes: [(&[_], &[_]); 6] = [
        (NT4, &[]),
        (WINDOWS_7, &[]),
        (WINDOWS_2022, &[("wish.secure-boot", "on")]),
        (DEBIAN, &[]),
        (DEBIAN, &[("wish.format", "vhd")]),
        (DEBIAN, &[("firmware", "uefi")]),
    ];
    let mut scripts: Vec<_> =
        wishes.iter().map(|(system, wishes)| script(&machine(system, wishes))).collect();
    let mut bare = machine(DEBIAN, &[]);
    bare.nics.clear();
    scripts.push(script(&bare));
    scripts
}

#[test]
fn the_grammar_knows_every_script() {
    for script in scripts() {
        assert_eq!(trouble(&script), None, "{script}");
        assert!(script.is_ascii() && !script.contains("#MACHINE#"));
        assert!(script.contains("'wherry-key: k''1'"));
        // What is damaged is seen.
        assert!(
            trouble(&script.replacen("function Set-Disk($Disk) {", "function Set-Disk($Disk", 1)).is_some()
        );
        assert!(trouble(&script.replace("'wherry-key: k''1'", "'wherry-key: k'1'")).is_some());
    }
}

/// The parameters of a command, without those of commands within its arguments.
fn parameters(text: &str, command: Node<'_>) -> Vec<String> {
    let mut cursor = command.walk();
    let elements = command.children(&mut cursor).find(|part| part.kind() == "command_elements");
    let Some(elements) = elements else { return Vec::new() };
    let mut cursor = elements.walk();
    let parameters = elements.children(&mut cursor).filter(|part| part.kind() == "command_parameter");
    parameters.map(|part| text[part.byte_range()].trim_start_matches('-').to_owned()).collect()
}

/// Cmdlets and parameters that the module does not have, and how many words were looked at.
fn unknown(script: &str) -> (Vec<String>, usize) {
    let tree = parse(script);
    let own: BTreeSet<String> = words(script, tree.root_node(), "function_name").into_iter().collect();
    let mut commands = Vec::new();
    nodes(tree.root_node(), "command", &mut commands);
    let (mut unknown, mut looked) = (Vec::new(), 0);
    for command in commands {
        let name = words(script, command, "command_name").into_iter().next().unwrap_or_default();
        if own.contains(&name) || OTHERS.contains(&name.as_str()) || name.is_empty() {
            continue;
        }
        let known = CMDLETS.iter().find(|(known, _)| *known == name).map(|(_, known)| *known);
        looked += 1;
        for word in parameters(script, command) {
            looked += 1;
            if !known.unwrap_or_default().contains(&word.as_str()) {
                unknown.push(format!("{name} -{word}"));
            }
        }
        if known.is_none() {
            unknown.push(name);
        }
    }
    (unknown, looked)
}

#[test]
fn cmdlets_and_their_parameters_exist() {
    let script = script(&machine(WINDOWS_2022, &[]));
    let (none, looked) = unknown(&script);
    assert!(none.is_empty() && looked > 90, "{none:?} of {looked}");
    for (good, bad) in [("-NoVHD", "-NoDisk"), ("-IsLegacy", "-Legacy"), ("Start-VM ", "Run-VM ")] {
        let (found, _) = unknown(&script.replace(good, bad));
        assert!(found.iter().any(|one| one.contains(bad.trim())), "{bad}: {found:?}");
    }
}

#[test]
fn so_do_those_of_scripts_for_a_host() {
    let scripts = crate::live::scripts();
    assert_eq!(scripts.len(), 5);
    for script in scripts {
        assert_eq!(trouble(&script), None, "{script}");
        assert!(script.is_ascii());
        let (none, looked) = unknown(&script);
        assert!(
            none.is_empty() && (looked >= 2 || script.contains("Out-Line")),
            "{none:?} of {looked}: {script}"
        );
    }
}

#[test]
fn every_change_asks_first() {
    let script = script(&machine(WINDOWS_2022, &[]));
    assert!(script.contains("[CmdletBinding(SupportsShouldProcess)]"));
    // Each cmdlet that changes something is in a block that `Set-Right` runs, or behind `ShouldProcess`.
    let tree = parse(&script);
    let mut commands = Vec::new();
    nodes(tree.root_node(), "command", &mut commands);
    let mut changes = 0;
    for command in commands {
        let name = words(&script, command, "command_name").into_iter().next().unwrap_or_default();
        let verbs = ["Add-VM", "Connect-VM", "New-VM", "Remove-VM", "Set-VM", "Start-VM"];
        if !verbs.iter().any(|verb| name.starts_with(verb)) {
            continue;
        }
        changes += 1;
        let mut around = command.parent();
        let asked = std::iter::from_fn(|| {
            let node = around?;
            around = node.parent();
            Some(node)
        })
        .any(|node| {
            let text = &script[node.byte_range()];
            let block = node.kind() == "command" && text.starts_with("Set-Right ");
            block || (node.kind() == "if_statement" && text.contains("ShouldProcess"))
        });
        assert!(asked, "{name} is run without asking");
    }
    assert!(changes > 15, "{changes}");
}
