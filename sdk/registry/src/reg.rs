//! Changes as text, in the manner of regedit's export ("Windows Registry Editor Version 5.00") and for people to read: texts are
//! shown as such whatever their kind, `"Path"=expand_sz:"%SystemRoot%"` and `"Groups"=multi_sz:"a","b"`, where regedit has
//! rows of hexadecimal bytes. A key's class is a comment. Of data beyond 1024 bytes the beginning is shown, and a checksum of all.

use crate::data::text;
use crate::journal::{Content, Journal, Record};
use crate::name::Name;
use crate::value::Kind;
use std::fmt::Write;
use wherry_sdk::Change;

/// Bytes of a text at most.
const TEXT_MOST: usize = 1 << 20;

/// One side of a change.
#[derive(Clone, Copy)]
enum Side {
    Before,
    After,
}

/// What changed, below `prefix`, which names the hive's root: `HKEY_LOCAL_MACHINE\SYSTEM`.
pub(crate) fn change(journal: &Journal, prefix: &str) -> Change {
    Change { before: side(journal, prefix, Side::Before), after: side(journal, prefix, Side::After) }
}

fn side(journal: &Journal, prefix: &str, side: Side) -> String {
    let (mut text, mut left_out) = (String::new(), journal.left_out);
    for (path, record) in &journal.keys {
        let section = section(prefix, path, record, side);
        if text.len() + section.len() > TEXT_MOST {
            left_out += 1;
            continue;
        }
        if !text.is_empty() && !section.is_empty() {
            text.push('\n');
        }
        text.push_str(&section);
    }
    if left_out > 0 {
        text.push_str(&format!("; and {left_out} more changes\n"));
    }
    text
}

/// A key's lines; none where it is not there, or nothing of it changed.
fn section(prefix: &str, path: &[Name], record: &Record, side: Side) -> String {
    let there = match side {
        Side::Before => record.there.before,
        Side::After => record.there.after,
    };
    let mut lines = String::new();
    let class = record.class.as_ref().filter(|class| class.before != class.after);
    let values = record.values.iter().filter(|(_, value)| value.before != value.after);
    let changed =
        record.there.before != record.there.after || class.is_some() || values.clone().next().is_some();
    if !there || !changed {
        return lines;
    }
    let names = path.iter().map(|name| format!("\\{name}")).collect::<String>();
    lines.push_str(&format!("[{prefix}{names}]\n"));
    if let Some(class) = class {
        let class = match side {
            Side::Before => &class.before,
            Side::After => &class.after,
        };
        if !class.is_empty() {
            lines.push_str(&format!("; class {}\n", quoted(&text(class))));
        }
    }
    for (name, value) in values {
        let content = match side {
            Side::Before => &value.before,
            Side::After => &value.after,
        };
        if let Some(content) = content {
            let name = if name.is_empty() { "@".to_owned() } else { quoted(&name.to_string()) };
            lines.push_str(&format!("{name}={}\n", shown(content)));
        }
    }
    lines
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Text that is exactly these bytes, and can be shown in a line.
fn exact(bytes: &[u8]) -> Option<String> {
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    let units: Vec<u16> = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    String::from_utf16(&units)
        .ok()
        .filter(|text| !text.contains(|letter: char| letter.is_control() && letter != '\0'))
}

/// Texts, each with a NUL behind it, and without another.
fn one(bytes: &[u8]) -> Option<String> {
    let text = exact(bytes)?;
    let text = text.strip_suffix('\0')?;
    (!text.contains('\0')).then(|| quoted(text))
}

fn many(bytes: &[u8]) -> Option<String> {
    let text = exact(bytes)?;
    if text == "\0" {
        return Some(String::new());
    }
    let texts: Vec<&str> = text.strip_suffix("\0\0")?.split('\0').collect();
    let empty = texts.iter().any(|text| text.is_empty());
    (!empty).then(|| texts.into_iter().map(quoted).collect::<Vec<_>>().join(","))
}

fn shown(content: &Content) -> String {
    let bytes = &content.head;
    let whole = bytes.len() == content.size;
    let text = match content.kind {
        Kind::SZ if whole => one(bytes),
        Kind::EXPAND_SZ if whole => one(bytes).map(|text| format!("expand_sz:{text}")),
        Kind::MULTI_SZ if whole => many(bytes).map(|texts| format!("multi_sz:{texts}")),
        Kind::DWORD if content.size == 4 => Some(format!("dword:{:08x}", crate::bytes::word(bytes, 0))),
        _ => None,
    };
    text.unwrap_or_else(|| {
        let kind =
            if content.kind == Kind::BINARY { String::new() } else { format!("({:x})", content.kind.0) };
        let mut line = format!("hex{kind}:");
        for (number, byte) in bytes.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            // Writing into a string cannot fail.
            let _written = write!(line, "{comma}{byte:02x}");
        }
        if !whole {
            line.push_str(&format!(",... ; {} bytes, CRC-32C {:08x}", content.size, content.sum));
        }
        line
    })
}
