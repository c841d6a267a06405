//! Lists of names and values in XDR (libnvpair). Every pair tells its own length, so that what is not known can be skipped.

use wherry_sdk::bytes::{be32_at, big, field, part};
use wherry_sdk::{Error, ErrorKind, Result};

/// Lists in lists: a pool's tree has a handful.
const DEPTH_MOST: usize = 16;
/// Types (data_type_t).
const BYTE: u32 = 2;
const UINT32: u32 = 6;
const INT64: u32 = 7;
const UINT64: u32 = 8;
pub(crate) const STRING: u32 = 9;
const BYTE_ARRAY: u32 = 10;
const UINT64_ARRAY: u32 = 16;
pub(crate) const NVLIST: u32 = 19;
pub(crate) const NVLIST_ARRAY: u32 = 20;
const UINT8: u32 = 23;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Any number that is not negative.
    Number(u64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Numbers.
    Numbers(Vec<u64>),
    /// One list.
    List(List),
    /// Several lists.
    Lists(Vec<List>),
    /// Something else, or a name that is enough.
    Other,
}

/// Names and values, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List(pub Vec<(String, Value)>);

pub(crate) fn bad(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("a name-value list {what}"))
}

/// One pair as it is stored.
pub(crate) struct Pair<'a> {
    pub name: &'a [u8],
    pub kind: u32,
    pub count: u32,
    /// Bytes before the value.
    pub head: usize,
    pub value: &'a [u8],
    /// Bytes of the whole.
    pub length: usize,
}

/// The pair at `at`; none at the end of a list.
pub(crate) fn pair(bytes: &[u8], at: usize) -> Result<Option<Pair<'_>>> {
    let length = be32_at(bytes, at) as usize;
    if length == 0 {
        return Ok(None);
    }
    let whole = field(bytes, at, length);
    let name_length = be32_at(whole, 8) as usize;
    let name = part(whole, 12, name_length);
    let head = name_length.checked_next_multiple_of(4).and_then(|padded| padded.checked_add(20));
    let head = head.filter(|head| name.len() == name_length && *head <= whole.len());
    let head = head.ok_or_else(|| bad("has a pair that is cut off"))?;
    let (kind, count) = (be32_at(whole, head - 8), be32_at(whole, head - 4));
    Ok(Some(Pair { name, kind, count, head, value: part(whole, head, length), length }))
}

impl List {
    /// A list with its head.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.first() != Some(&1) {
            return Err(bad("is not packed as XDR"));
        }
        Ok(pairs(part(bytes, 4, bytes.len()), 0)?.0)
    }

    /// A name's value.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<u64> {
        match self.get(name) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A list.
    pub fn list(&self, name: &str) -> Option<&List> {
        match self.get(name) {
            Some(Value::List(list)) => Some(list),
            _ => None,
        }
    }

    /// Lists; none where there is no such name.
    pub fn lists(&self, name: &str) -> &[List] {
        match self.get(name) {
            Some(Value::Lists(lists)) => lists,
            _ => &[],
        }
    }

    /// Numbers; none where there is no such name.
    pub fn numbers(&self, name: &str) -> &[u64] {
        match self.get(name) {
            Some(Value::Numbers(numbers)) => numbers,
            _ => &[],
        }
    }
}

/// A list without its head, which begins with version and flags, and how many bytes it takes.
fn pairs(bytes: &[u8], depth: usize) -> Result<(List, usize)> {
    if depth > DEPTH_MOST {
        return Err(bad("is too deep"));
    }
    let mut list = List::default();
    let mut at = 8;
    while let Some(pair) = pair(bytes, at)? {
        let name = String::from_utf8_lossy(pair.name).into_owned();
        list.0.push((name, value(&pair, depth)?));
        at += pair.length;
    }
    if at + 8 > bytes.len() { Err(bad("has no end")) } else { Ok((list, at + 8)) }
}

fn value(pair: &Pair<'_>, depth: usize) -> Result<Value> {
    let (bytes, count) = (pair.value, pair.count as usize);
    Ok(match pair.kind {
        BYTE | UINT32 | UINT8 => Value::Number(u64::from(be32_at(bytes, 0))),
        INT64 | UINT64 => Value::Number(big(bytes, 0, 8)),
        STRING => {
            let text = part(bytes, 4, be32_at(bytes, 0) as usize);
            Value::Text(String::from_utf8_lossy(text).into_owned())
        }
        BYTE_ARRAY => Value::Bytes(part(bytes, 0, count).to_vec()),
        UINT64_ARRAY => Value::Numbers(
            part(bytes, 4, bytes.len()).chunks_exact(8).take(count).map(|one| big(one, 0, 8)).collect(),
        ),
        NVLIST => Value::List(pairs(bytes, depth + 1)?.0),
        NVLIST_ARRAY => {
            let (mut lists, mut at) = (Vec::new(), 0);
            for _ in 0..count {
                let (list, length) = pairs(part(bytes, at, bytes.len()), depth + 1)?;
                lists.push(list);
                at += length;
            }
            Value::Lists(lists)
        }
        _ => Value::Other,
    })
}
