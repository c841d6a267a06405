//! The grammar of LVM's metadata text (`libdm/libdm-config.c`): sections in braces, `key = value`, lists in brackets,
//! quoted strings with backslash escapes, comments from `#` to the end of the line; a zero byte ends the text.

use wherry_sdk::{Error, ErrorKind, Result};

/// Group, list of volumes, volume, segment, list: lvm2 nests no deeper than five.
const DEPTH_MOST: usize = 16;
/// A logical volume takes about thirty.
const NODES_MOST: usize = 250_000;

/// What stands behind a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number without a sign.
    Number(u64),
    /// A string, or a word that is no number.
    Text(String),
    /// Values in brackets.
    List(Vec<Value>),
    /// Keys in braces.
    Section(Section),
}

/// Keys and their values, in the order of the text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Section(pub Vec<(String, Value)>);

impl Section {
    /// The first value called `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// A number, or why there is none.
    pub fn number(&self, key: &str) -> Result<u64> {
        match self.get(key) {
            Some(Value::Number(number)) => Ok(*number),
            _ => Err(missing(key, "a number")),
        }
    }

    /// A string, or why there is none.
    pub fn text(&self, key: &str) -> Result<&str> {
        match self.get(key) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(missing(key, "a string")),
        }
    }

    /// A list; empty where there is none.
    pub fn list(&self, key: &str) -> &[Value] {
        match self.get(key) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    /// Whether a list holds this string.
    pub fn has(&self, key: &str, flag: &str) -> bool {
        self.list(key).iter().any(|value| matches!(value, Value::Text(text) if text == flag))
    }

    /// The sections in this one, by name.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Section)> {
        self.0.iter().filter_map(|(name, value)| match value {
            Value::Section(section) => Some((name.as_str(), section)),
            _ => None,
        })
    }

    /// The sections in the section called `key`, if there is one.
    pub fn within(&self, key: &str) -> impl Iterator<Item = (&str, &Section)> {
        let inner = match self.get(key) {
            Some(Value::Section(section)) => Some(section),
            _ => None,
        };
        inner.into_iter().flat_map(Section::sections)
    }
}

fn missing(key: &str, what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("`{key}` is missing or is not {what}"))
}

/// Parses a whole text.
pub fn parse(bytes: &[u8]) -> Result<Section> {
    let mut parser = Parser { bytes: wherry_sdk::bytes::until_nul(bytes), at: 0, nodes: 0 };
    let section = parser.section(0)?;
    match parser.next() {
        None => Ok(section),
        Some(byte) => Err(parser.error(&format!("`{}` closes nothing", char::from(byte)))),
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: usize,
}

impl Parser<'_> {
    fn error(&self, message: &str) -> Error {
        Error::corrupt(self.at as u64, format!("byte {} of the metadata text: {message}", self.at))
    }

    /// One more node, `depth` deep: both are bounded.
    fn count(&mut self, depth: usize) -> Result<()> {
        self.nodes += 1;
        if depth > DEPTH_MOST || self.nodes > NODES_MOST {
            return Err(self.error("nested too deep or too long"));
        }
        Ok(())
    }

    /// The next byte that is neither blank nor comment, not yet taken.
    fn next(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at)? {
                b'#' => {
                    let rest = self.bytes.get(self.at..)?;
                    self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                }
                byte if byte.is_ascii_whitespace() => self.at += 1,
                byte => return Some(*byte),
            }
        }
    }

    /// Takes `byte` if it is next.
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.next() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Keys up to a closing brace, which is left, or the end.
    fn section(&mut self, depth: usize) -> Result<Section> {
        let mut entries = Vec::new();
        while self.next().is_some_and(|byte| byte != b'}') {
            self.count(depth)?;
            let key = self.scalar()?;
            let value = if self.take(b'{') {
                let section = self.section(depth + 1)?;
                if !self.take(b'}') {
                    return Err(self.error(&format!("the section `{}` is not closed", shown(&key))));
                }
                Value::Section(section)
            } else if self.take(b'=') {
                self.value(depth + 1)?
            } else {
                return Err(self.error("neither `{` nor `=` behind a key"));
            };
            entries.push((key, value));
        }
        Ok(Section(entries))
    }

    fn value(&mut self, depth: usize) -> Result<Value> {
        self.count(depth)?;
        match self.next() {
            Some(b'[') => self.values(depth + 1).map(Value::List),
            Some(b'"' | b'\'') => self.scalar().map(Value::Text),
            _ => self.scalar().map(|word| word.parse().map_or(Value::Text(word), Value::Number)),
        }
    }

    /// `[ value, value, ]`: lvm2 takes a comma before the bracket, too.
    fn values(&mut self, depth: usize) -> Result<Vec<Value>> {
        let mut list = Vec::new();
        self.at += 1;
        while !self.take(b']') {
            list.push(self.value(depth)?);
            if !self.take(b',') && self.next() != Some(b']') {
                return Err(self.error("neither `,` nor `]` behind a list's value"));
            }
        }
        Ok(list)
    }

    /// A quoted string or a bare word.
    fn scalar(&mut self) -> Result<String> {
        match self.next() {
            Some(quote @ (b'"' | b'\'')) => self.quoted(quote),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let ends = |byte: &u8| byte.is_ascii_whitespace() || b"#={}[],\"'".contains(byte);
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        if length == 0 {
            return Err(self.error("a name or a value is missing"));
        }
        self.at += length;
        Ok(String::from_utf8_lossy(rest.get(..length).unwrap_or_default()).into())
    }

    /// Between single quotes a backslash means itself.
    fn quoted(&mut self, quote: u8) -> Result<String> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let Some(byte) = self.bytes.get(self.at).copied() else {
                return Err(self.error("a string is not closed"));
            };
            self.at += 1;
            if byte == quote {
                return Ok(String::from_utf8_lossy(&text).into());
            }
            if byte == b'\\' && quote == b'"' {
                text.extend(self.bytes.get(self.at));
                self.at += 1;
            } else {
                text.push(byte);
            }
        }
    }
}

/// A name from the text, fit to be printed.
pub fn shown(name: &str) -> String {
    name.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect()
}
