//! The PowerShell script that makes the machine, for the Hyper-V module of Windows Server 2016 and later.

use crate::choice::Template;
use crate::machine::{Card, Disk, Plan};

/// All that is the same for every machine; the line `#MACHINE#` stands for the rest.
const IMPORT: &str = include_str!("import.ps1");

/// The script that makes `plan`. It is ASCII: Windows PowerShell takes other bytes for those of its own code page.
pub fn import(plan: &Plan, key: &str) -> String {
    IMPORT.replace("#MACHINE#\n", &description(plan, key))
}

fn description(plan: &Plan, key: &str) -> String {
    let memory = plan.memory_mib.saturating_mul(1 << 20);
    let summary = format!(
        "make a machine of generation {} with {} processors, {} MiB of memory, {} disks and {} network adapters",
        plan.choice.generation,
        plan.cpus,
        plan.memory_mib,
        plan.disks.len(),
        plan.cards.len()
    );
    let mut lines = vec![
        format!("$Name = {}", quoted(&plan.name)),
        format!("$Key = {}", quoted(&format!("wherry-key: {key}"))),
        format!("$Summary = {}", quoted(&summary)),
        format!("$Generation = {}", plan.choice.generation),
        format!("$Processors = {}", plan.cpus),
        format!("$MemoryBytes = {memory}"),
        format!("$OldProcessor = {}", truth(plan.choice.old_processor)),
    ];
    let template = match plan.choice.secure_boot {
        None => "",
        Some(Template::Windows) => "MicrosoftWindows",
        Some(Template::Others) => "MicrosoftUEFICertificateAuthority",
    };
    lines.push(format!("$SecureBoot = {}", quoted(template)));
    // The disk to start from first: it is what a new machine's firmware tries first.
    let mut disks: Vec<&Disk> = plan.disks.iter().collect();
    disks.sort_by_key(|disk| !is_first(disk, plan));
    lines.extend(list("DiskPlaces", disks.into_iter().map(disk_line)));
    let cards = plan.cards.iter().enumerate();
    lines.extend(list("CardPlaces", cards.map(|(number, card)| card_line(number, card, plan))));
    lines.join("\n") + "\n"
}

fn is_first(disk: &Disk, plan: &Plan) -> bool {
    plan.disks.get(plan.boot).is_some_and(|boot| boot.file == disk.file)
}

/// An array, also where it has one element or none.
fn list(name: &str, elements: impl Iterator<Item = String>) -> Vec<String> {
    let lines = elements.map(|element| format!("    {element}"));
    std::iter::once(format!("${name} = @(")).chain(lines).chain([")".to_owned()]).collect()
}

fn disk_line(disk: &Disk) -> String {
    let place = disk.place;
    let file = quoted(&disk.file);
    format!(
        "@{{ File = {file}; Type = '{}'; Number = {}; Location = {} }}",
        place.kind, place.controller, place.location
    )
}

fn card_line(number: usize, card: &Card, plan: &Plan) -> String {
    let said = |text: &Option<String>| quoted(text.as_deref().unwrap_or_default());
    format!(
        "@{{ Name = 'Wherry {number}'; Mac = {}; Network = {}; Legacy = {} }}",
        said(&card.mac),
        said(&card.network),
        truth(plan.choice.legacy_cards)
    )
}

fn truth(is: bool) -> &'static str {
    if is { "$true" } else { "$false" }
}

/// A string expression. Within single quotes only they themselves mean something (about_Quoting_Rules); everything that is not
/// ASCII is said by its UTF-16 number.
pub fn quoted(text: &str) -> String {
    if text.is_ascii() {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut words = String::from("(''");
    for part in text.split_inclusive(|c: char| !c.is_ascii()) {
        let plain = part.trim_end_matches(|c: char| !c.is_ascii());
        if !plain.is_empty() {
            words.push_str(&format!(" + '{}'", plain.replace('\'', "''")));
        }
        for unit in part[plain.len()..].encode_utf16() {
            words.push_str(&format!(" + [char] 0x{unit:04X}"));
        }
    }
    words + ")"
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn strings() {
        assert_eq!(quoted("it's $x `n"), "'it''s $x `n'");
        assert_eq!(quoted("B\u{fc}ro's"), "('' + 'B' + [char] 0x00FC + 'ro''s')");
        assert_eq!(quoted("\u{2019}\u{1f600}"), "('' + [char] 0x2019 + [char] 0xD83D + [char] 0xDE00)");
    }
}
