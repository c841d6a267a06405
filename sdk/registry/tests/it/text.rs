//! What people are shown of edits.

use crate::hives::{empty, merged};
use wherry_registry::{Hive, Kind, data};

const ROOT: &str = r"HKEY_LOCAL_MACHINE\SYSTEM";

#[test]
fn changes_are_told_as_regedit_would() {
    let start = "[HKEY_LOCAL_MACHINE\\Select]\n\"Current\"=dword:00000001\n\"Gone\"=\"x\"\n\"Same\"=\"y\"\n\
        [HKEY_LOCAL_MACHINE\\Old\\Deep]\n@=\"default\"\n";
    let mut hive = Hive::open(merged(&empty(5), start), &[]).unwrap();
    hive.set("SELECT", "current", Kind::DWORD, &data::dword(2)).unwrap();
    hive.set("Select", "Same", Kind::SZ, &data::sz("z")).unwrap();
    hive.set("Select", "Same", Kind::SZ, &data::sz("y")).unwrap();
    hive.unset("Select", "Gone").unwrap();
    hive.remove("Old").unwrap();
    let new = r"ControlSet001\Services\viostor";
    hive.set(new, "ImagePath", Kind::EXPAND_SZ, &data::sz(r"%SystemRoot%\a.sys")).unwrap();
    hive.set(new, r#"a\"b"#, Kind::SZ, &data::sz(r#"say "hi" in C:\"#)).unwrap();
    hive.set(new, "List", Kind::MULTI_SZ, &data::multi_sz(&["a", "ä"])).unwrap();
    hive.set(new, "None", Kind::MULTI_SZ, &data::multi_sz::<&str>(&[])).unwrap();
    hive.set(new, "Raw", Kind::BINARY, &[1, 0xab]).unwrap();
    hive.set(new, "Unended", Kind::SZ, &[65, 0]).unwrap();
    hive.set(new, "Lines", Kind::SZ, &data::sz("a\nb")).unwrap();
    hive.set(new, "Odd", Kind(0x1_0000), &[]).unwrap();
    hive.set_class(new, &data::sz("Driver")).unwrap();
    let change = hive.take(ROOT).unwrap().change;
    let before = r#"[HKEY_LOCAL_MACHINE\SYSTEM\Old]

[HKEY_LOCAL_MACHINE\SYSTEM\Old\Deep]
@="default"

[HKEY_LOCAL_MACHINE\SYSTEM\Select]
"Current"=dword:00000001
"Gone"="x"
"#;
    let after = r#"[HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001]

[HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Services]

[HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Services\viostor]
; class "Driver"
"a\\\"b"="say \"hi\" in C:\\"
"ImagePath"=expand_sz:"%SystemRoot%\\a.sys"
"Lines"=hex(1):61,00,0a,00,62,00,00,00
"List"=multi_sz:"a","ä"
"None"=multi_sz:
"Odd"=hex(10000):
"Raw"=hex:01,ab
"Unended"=hex(1):41,00

[HKEY_LOCAL_MACHINE\SYSTEM\Select]
"Current"=dword:00000002
"#;
    assert_eq!((change.before.as_str(), change.after.as_str()), (before, after));
    let again = hive.take(ROOT).unwrap().change;
    assert_eq!((again.before, again.after), (String::new(), String::new()));
}

#[test]
fn what_is_long_is_shown_in_part() {
    let mut hive = Hive::empty(5).unwrap();
    hive.set("", "Long", Kind::BINARY, &[7; 1500]).unwrap();
    hive.take(ROOT).unwrap();
    let mut bytes = [7; 1500];
    bytes[1499] = 8;
    hive.set("", "Long", Kind::BINARY, &bytes).unwrap();
    let change = hive.take(ROOT).unwrap().change;
    assert!(
        change.before != change.after && change.after.contains(",... ; 1500 bytes, CRC-32C "),
        "{change:?}"
    );
    assert_eq!(change.after.matches("07").count(), 1024);
    for number in 0..30_000 {
        hive.make(&format!(r"Many{}\Key{number}", number / 100)).unwrap();
    }
    let text = hive.take(ROOT).unwrap().change.after;
    assert!(text.len() < 2 << 20 && text.ends_with(" more changes\n"), "{} bytes", text.len());
}

#[test]
fn a_quiet_hive_keeps_no_text() {
    let mut hive = Hive::empty(5).unwrap();
    hive.quiet();
    hive.make("A").unwrap();
    let taken = hive.take(ROOT).unwrap();
    assert_eq!((taken.patches.is_empty(), taken.change.after), (false, String::new()));
}
