//! What the sections behind `AddReg` and `DelReg` do (Microsoft, "INF AddReg Directive", "INF DelReg Directive").

use crate::directories::Directories;
use crate::edit::{Change, When};
use crate::inf::{Inf, number};
use wherry_registry::Kind;
use wherry_registry::data::{multi_sz, sz};
use wherry_sdk::{Error, ErrorKind, Result};

/// `FLG_ADDREG_BINVALUETYPE`: the data is bytes.
const BINARY: u32 = 0x1;
const NO_CLOBBER: u32 = 0x2;
const DELETE: u32 = 0x4;
const APPEND: u32 = 0x8;
/// `FLG_ADDREG_KEYONLY` and `FLG_ADDREG_KEYONLY_COMMON`; in `DelReg` the latter alone.
const KEY_ONLY: u32 = 0x2010;
const KEY_ONLY_COMMON: u32 = 0x2000;
const OVERWRITE_ONLY: u32 = 0x20;
const KEY_32: u32 = 0x4000;
/// `FLG_DELREG_MULTI_SZ_DELSTRING`: one text of several is taken away.
const DELETE_TEXT: u32 = 0x0001_8002;
/// Of the flags, the type; the lowest bit tells bytes from text.
const TYPE: u32 = 0xffff_0001;

/// What a key's path is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// `HKR`: the key of what the section belongs to.
    Relative,
    /// `HKLM`.
    Machine,
    /// `HKCR`.
    Classes,
    /// `HKCU` and `HKU`: no machine's.
    User,
}

/// One change of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where the path starts.
    pub root: Root,
    /// The key, without backslashes around; empty for the root itself.
    pub key: String,
    /// The change.
    pub change: Change,
    /// In what 32-bit programs see of the registry of a 64-bit system.
    pub narrow: bool,
}

/// What a section behind `AddReg` adds.
pub fn add(inf: &Inf, section: &str, directories: &Directories) -> Result<Vec<Entry>> {
    let lines = inf.lines(section).iter();
    lines
        .filter_map(|line| {
            let fields: Vec<String> =
                line.values.iter().map(|field| directories.expand(inf, field)).collect();
            one(&fields, added).transpose()
        })
        .map(|entry: Result<Entry>| entry.map_err(|e| e.within(&format!("section {section}"))))
        .collect()
}

/// What a section behind `DelReg` takes away.
pub fn delete(inf: &Inf, section: &str, directories: &Directories) -> Result<Vec<Entry>> {
    let lines = inf.lines(section).iter();
    lines
        .filter_map(|line| {
            let fields: Vec<String> =
                line.values.iter().map(|field| directories.expand(inf, field)).collect();
            one(&fields, |name, flags, values| Ok(deleted(name, flags, values))).transpose()
        })
        .collect()
}

/// A line's entry; none where its root is unknown, as Windows passes over it.
fn one(fields: &[String], change: impl Fn(&str, u32, &[String]) -> Result<Change>) -> Result<Option<Entry>> {
    let field = |place: usize| fields.get(place).map_or("", String::as_str);
    let root = match field(0).to_ascii_uppercase().as_str() {
        "HKR" => Root::Relative,
        "HKLM" => Root::Machine,
        "HKCR" => Root::Classes,
        "HKCU" | "HKU" => Root::User,
        _ => return Ok(None),
    };
    let flags = match field(3) {
        "" => 0,
        text => number(text).ok_or_else(|| bad(&format!("`{text}` is no number for flags")))?,
    };
    let change = change(field(2), flags, fields.get(4..).unwrap_or_default())?;
    let key = field(1).trim_matches('\\').to_owned();
    Ok(Some(Entry { root, key, change, narrow: flags & KEY_32 != 0 }))
}

fn added(name: &str, flags: u32, values: &[String]) -> Result<Change> {
    let name = name.to_owned();
    let first = values.first().map_or("", String::as_str);
    if flags & KEY_ONLY != 0 {
        return Ok(Change::Key);
    }
    if flags & DELETE != 0 {
        return Ok(if name.is_empty() { Change::RemoveKey } else { Change::RemoveValue { name } });
    }
    let when = match flags {
        _ if flags & OVERWRITE_ONLY != 0 => When::Present,
        _ if flags & NO_CLOBBER != 0 => When::Absent,
        _ => When::Always,
    };
    let (kind, data) = match flags & TYPE {
        0 if name.is_empty() && values.is_empty() => return Ok(Change::Key),
        0 => (Kind::SZ, sz(first)),
        0x0002_0000 => (Kind::EXPAND_SZ, sz(first)),
        0x0001_0000 => {
            let texts: Vec<String> = values.iter().filter(|text| !text.is_empty()).cloned().collect();
            if flags & APPEND != 0 {
                return Ok(Change::Append { name, texts });
            }
            (Kind::MULTI_SZ, multi_sz(&texts))
        }
        0x0001_0001 => (Kind::DWORD, dword(values)?),
        0x0002_0001 => (Kind::NONE, bytes(values)?),
        BINARY => (Kind::BINARY, bytes(values)?),
        other if other & BINARY != 0 => (Kind(other >> 16), bytes(values)?),
        // Text of no known type is taken for plain text.
        _ => (Kind::SZ, sz(first)),
    };
    Ok(Change::Value { name, kind, data, when })
}

fn deleted(name: &str, flags: u32, values: &[String]) -> Change {
    let name = name.to_owned();
    if flags & DELETE_TEXT == DELETE_TEXT {
        return Change::RemoveTexts { name, texts: values.to_vec() };
    }
    if name.is_empty() || flags & KEY_ONLY_COMMON != 0 {
        Change::RemoveKey
    } else {
        Change::RemoveValue { name }
    }
}

/// A number, or its four bytes.
fn dword(values: &[String]) -> Result<Vec<u8>> {
    match values {
        [] => Ok(vec![0; 4]),
        [one] if one.is_empty() => Ok(vec![0; 4]),
        [one] => {
            let number = number(one).ok_or_else(|| bad(&format!("`{one}` is no number")))?;
            Ok(number.to_le_bytes().to_vec())
        }
        several => {
            let mut bytes = bytes(several)?;
            bytes.resize(4, 0);
            Ok(bytes)
        }
    }
}

/// Bytes, each a field in hexadecimal.
fn bytes(values: &[String]) -> Result<Vec<u8>> {
    let given = values.iter().filter(|field| !field.is_empty());
    given
        .map(|field| {
            let digits = field.strip_prefix("0x").or_else(|| field.strip_prefix("0X")).unwrap_or(field);
            u8::from_str_radix(digits.trim(), 16).map_err(|_| bad(&format!("`{field}` is no byte")))
        })
        .collect()
}

fn bad(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<Entry> {
        let inf = Inf::parse(format!("[a]\n{text}").as_bytes(), 0).expect("parses");
        add(&inf, "A", &Directories::new(r"C:\Windows", "/Windows", None)).expect("is valid")
    }

    fn value(name: &str, kind: Kind, data: &[u8]) -> Change {
        Change::Value { name: name.into(), kind, data: data.into(), when: When::Always }
    }

    #[test]
    fn types() {
        let text = r#"
HKR, "Parameters\PnpInterface", "5", 0x00010001, 0x00000001
HKR,,EventMessageFile,0x00020000,"%%SystemRoot%%\a.dll;%12%"
HKR,Parameters\,BusType,0x10001,-1
HKR,,Multi,0x10000,one,,two
HKR,,Bytes,1,A,0x0b,ff
HKR,,Other,0x000b0001,1,0,0,0,0,0,0,0
HKR,,None,0x20001
HKR,,Four,0x10001,1,2
HKR,,,,default
"#;
        let changes: Vec<(String, Change)> =
            entries(text).into_iter().map(|entry| (entry.key, entry.change)).collect();
        let expected = [
            (r"Parameters\PnpInterface", value("5", Kind::DWORD, &[1, 0, 0, 0])),
            (
                "",
                value(
                    "EventMessageFile",
                    Kind::EXPAND_SZ,
                    &sz(r"%SystemRoot%\a.dll;C:\Windows\System32\drivers"),
                ),
            ),
            ("Parameters", value("BusType", Kind::DWORD, &[0xff; 4])),
            ("", value("Multi", Kind::MULTI_SZ, &multi_sz(&["one", "two"]))),
            ("", value("Bytes", Kind::BINARY, &[10, 11, 255])),
            ("", value("Other", Kind::QWORD, &[1, 0, 0, 0, 0, 0, 0, 0])),
            ("", value("None", Kind::NONE, &[])),
            ("", value("Four", Kind::DWORD, &[1, 2, 0, 0])),
            ("", value("", Kind::SZ, &sz("default"))),
        ];
        assert_eq!(changes, expected.map(|(key, change)| (key.to_owned(), change)));
    }

    #[test]
    fn what_is_done() {
        let done = |line: &str| entries(line).remove(0);
        assert_eq!(done("HKR,Interrupt Management,,0x00000010").change, Change::Key);
        assert_eq!(done("HKR,Interrupt Management").change, Change::Key);
        // As LSI's file has it: the flags are in the place of the name (and Windows stores it so).
        assert_eq!(
            done("HKR,Interrupt Management,0x00000010").change,
            value("0x00000010", Kind::SZ, &sz(""))
        );
        assert_eq!(done("HKLM,a,b,4").change, Change::RemoveValue { name: "b".into() });
        assert_eq!(done("HKLM,a,,4").change, Change::RemoveKey);
        let append = Change::Append { name: "UpperFilters".into(), texts: vec!["x".into()] };
        assert_eq!(done("HKR,,UpperFilters,0x00010008,x").change, append);
        let when = |line: &str| match done(line).change {
            Change::Value { when, .. } => when,
            other => panic!("{other:?}"),
        };
        assert_eq!((when("HKR,,a,2,b"), when("HKR,,a,0x20,b")), (When::Absent, When::Present));
        assert_eq!(
            (done("hkcr,x,,,y").root, done("HKLM,Software\\x,a,0x4000,y").narrow),
            (Root::Classes, true)
        );
        assert!(entries("HKXX,a\n").is_empty());
    }

    #[test]
    fn what_is_deleted() {
        let inf =
            Inf::parse(b"[d]\nHKR,a\nHKR,a,b\nHKR,a,b,0x2000\nHKR,a,b,0x18002,text\n", 0).expect("parses");
        let directories = Directories::new(r"C:\Windows", "/Windows", None);
        let changes: Vec<Change> =
            delete(&inf, "d", &directories).expect("is valid").into_iter().map(|e| e.change).collect();
        let name = || "b".to_owned();
        let expected = [
            Change::RemoveKey,
            Change::RemoveValue { name: name() },
            Change::RemoveKey,
            Change::RemoveTexts { name: name(), texts: vec!["text".into()] },
        ];
        assert_eq!(changes, expected);
    }

    #[test]
    fn what_is_no_number_is_named() {
        for line in ["HKR,,a,x,1", "HKR,,a,0x10001,x", "HKR,,a,1,100"] {
            let inf = Inf::parse(format!("[a]\n{line}").as_bytes(), 0).expect("parses");
            let e = add(&inf, "a", &Directories::new("C:\\W", "/W", None)).expect_err("no number");
            assert!(e.message.contains("section a: `"), "{}", e.message);
        }
    }
}
