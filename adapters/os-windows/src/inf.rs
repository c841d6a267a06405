//! INF files: text in named sections, each a list of entries (Microsoft, "General Syntax Rules for INF Files", "INF Strings
//! Section"). What the sections mean is for [`crate::install`].

use std::collections::BTreeMap;
use wherry_sdk::{Error, ErrorKind, Result};

/// The longest file that is read. The largest of Windows' own have about 2 MiB.
pub const INF_MOST: usize = 8 << 20;
/// Characters of a field, before and after strings are put in ("INF Size Limits": 4096 with a NUL).
pub const FIELD_MOST: usize = 4095;
/// Entries of one file.
const LINES_MOST: usize = 200_000;
/// Characters between the percent signs of a token; a section's name is as long.
const TOKEN_MOST: usize = 255;

/// One entry: `key = value, value` or `value, value`. Quotes are resolved, `%tokens%` are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// What is before the equals sign.
    pub key: Option<String>,
    /// The fields behind it, or all of them.
    pub values: Vec<String>,
}

impl Line {
    /// A field; empty where it is left out.
    pub fn field(&self, number: usize) -> &str {
        self.values.get(number).map_or("", String::as_str)
    }
}

/// A parsed file.
#[derive(Clone, Debug, Default)]
pub struct Inf {
    /// By name in lower case: the name as it was first written, and the entries.
    sections: BTreeMap<String, (String, Vec<Line>)>,
    /// Keys in lower case, with their strings in one language.
    strings: BTreeMap<String, String>,
}

impl Inf {
    /// Parses a file. `language` is a LANGID such as 0x0409, by which one section of strings is chosen.
    pub fn parse(bytes: &[u8], language: u16) -> Result<Self> {
        if bytes.len() > INF_MOST {
            let message =
                format!("{} bytes, more than the {INF_MOST} that an INF file may have here", bytes.len());
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let text = decode(bytes)?;
        let mut inf = Self { sections: sections(&text)?, strings: BTreeMap::new() };
        inf.strings = inf.choose_strings(language);
        Ok(inf)
    }

    /// The entries of a section, whose name is found in any case; none where there is no such section.
    pub fn lines(&self, section: &str) -> &[Line] {
        self.sections.get(&section.to_lowercase()).map_or(&[], |(_, lines)| lines.as_slice())
    }

    /// Whether there is such a section, be it empty.
    pub fn has(&self, section: &str) -> bool {
        self.sections.contains_key(&section.to_lowercase())
    }

    /// A section's name as the file writes it.
    pub fn written(&self, section: &str) -> Option<&str> {
        self.sections.get(&section.to_lowercase()).map(|(name, _)| name.as_str())
    }

    /// Names in lower case of the sections that start with `prefix`, which is in lower case too.
    pub fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        let from = self.sections.range(prefix.to_owned()..);
        from.map(|(name, _)| name.as_str()).take_while(move |name| name.starts_with(prefix))
    }

    /// The entries with a key, in any case.
    pub fn entries<'a>(&'a self, section: &str, key: &'a str) -> impl Iterator<Item = &'a Line> {
        let same = move |line: &&Line| line.key.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(key));
        self.lines(section).iter().filter(same)
    }

    /// The first field of the first entry with a key, with its strings put in.
    pub fn value(&self, section: &str, key: &str) -> Option<String> {
        self.entries(section, key).next().map(|line| self.expand(line.field(0)))
    }

    /// All fields of all entries with a key, with their strings put in; empty ones are left out.
    pub fn list(&self, section: &str, key: &str) -> Vec<String> {
        let fields = self.entries(section, key).flat_map(|line| &line.values);
        fields.map(|field| self.expand(field)).filter(|field| !field.is_empty()).collect()
    }

    /// The string of a token, without its percent signs.
    pub fn string(&self, token: &str) -> Option<&str> {
        self.strings.get(&token.to_lowercase()).map(String::as_str)
    }

    /// Puts strings in, and leaves `%12%` and the like as they are.
    pub fn expand(&self, field: &str) -> String {
        self.expand_with(field, |_| None)
    }

    /// Puts strings in, and directories for their numbers. What is not known stays as it is; `%%` becomes `%`.
    pub fn expand_with(&self, field: &str, directory: impl Fn(i32) -> Option<String>) -> String {
        let (mut all, mut rest) = (String::new(), field);
        while let Some((before, after)) = rest.split_once('%') {
            all.push_str(before);
            let Some((token, next)) = after.split_once('%') else {
                all.push('%');
                rest = after;
                break;
            };
            rest = next;
            let directory = || token.trim().parse().ok().and_then(&directory);
            if token.is_empty() {
                all.push('%');
            } else if let Some(text) = self.string(token) {
                all.push_str(text);
            } else if let Some(path) = directory() {
                all.push_str(&path);
            } else {
                all.extend(["%", token, "%"]);
            }
            if all.len() > FIELD_MOST {
                break;
            }
        }
        all.push_str(rest);
        cut(&mut all, FIELD_MOST);
        all
    }

    /// The section of strings for a language: this one, its neutral one, any of the same primary language, or the one without.
    fn choose_strings(&self, language: u16) -> BTreeMap<String, String> {
        let primary = language & 0x3ff;
        let mut best: Option<(u8, &str)> = None;
        for name in self.names("strings.") {
            let number = name.get("strings.".len()..).and_then(|hex| u16::from_str_radix(hex, 16).ok());
            let rank = match number {
                Some(own) if own == language => 0,
                Some(own) if own == primary => 1,
                Some(own) if own & 0x3ff == primary => 2,
                _ => continue,
            };
            if best.is_none_or(|(other, _)| rank < other) {
                best = Some((rank, name));
            }
        }
        // What the language's section leaves out is taken from the one without, rather than not at all.
        let chosen = best.map_or("strings", |(_, name)| name);
        let both = self.lines("strings").iter().chain(self.lines(chosen));
        let named =
            both.filter_map(|line| Some((line.key.as_ref()?.to_lowercase(), line.field(0).to_owned())));
        named.collect()
    }
}

/// A number of an INF: decimal, or hexadecimal behind `0x`; none where it is neither.
pub fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    match text.get(..2) {
        Some("0x" | "0X") => u32::from_str_radix(text.get(2..)?, 16).ok(),
        _ => text.parse::<i64>().ok().map(|number| number as u32),
    }
}

/// Shortens a text to at most `most` bytes, at a character's end.
fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
}

/// UTF-16 and UTF-8 by their marks, UTF-16LE also by the NULs of its first letters; else a byte a letter, as in code page 1252
/// but for 32 signs that no path or number holds.
fn decode(bytes: &[u8]) -> Result<String> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> =
            bytes.chunks_exact(2).filter_map(|two| Some(unit(two.try_into().ok()?))).collect();
        String::from_utf16_lossy(&units)
    };
    Ok(match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        [_, 0, _, 0, ..] => wide(bytes, u16::from_le_bytes),
        _ if bytes.iter().take(4096).any(|byte| *byte == 0) => {
            return Err(Error::corrupt(0, "no text: it holds NULs, and no mark of UTF-16"));
        }
        _ => bytes.iter().map(|byte| char::from(*byte)).collect(),
    })
}

type Sections = BTreeMap<String, (String, Vec<Line>)>;

/// Sections of the same name become one.
fn sections(text: &str) -> Result<Sections> {
    let mut all = Sections::new();
    let (mut current, mut count) = (None::<String>, 0_usize);
    let mut lines = Lines { rest: text, number: 0 };
    while let Some(first) = lines.next() {
        let first = first.trim_start();
        if let Some(name) = first.strip_prefix('[') {
            let name = name.split_once(']').map_or(name, |(name, _)| name).trim();
            let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
            if name.chars().count() > TOKEN_MOST {
                return Err(broken(lines.number, "a section's name is longer than 255 characters"));
            }
            let key = name.to_lowercase();
            all.entry(key.clone()).or_insert_with(|| (name.to_owned(), Vec::new()));
            current = Some(key);
            continue;
        }
        let line = entry(first, &mut lines)?;
        if line.key.is_none() && line.values.iter().all(String::is_empty) {
            continue;
        }
        count += 1;
        if count > LINES_MOST {
            return Err(Error::new(ErrorKind::Limit, format!("more than {LINES_MOST} entries")));
        }
        // What is before the first section means nothing.
        if let Some((_, entries)) = current.as_ref().and_then(|name| all.get_mut(name)) {
            entries.push(line);
        }
    }
    Ok(all)
}

fn broken(line: usize, what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("line {line}: {what}"))
}

/// Lines that end with a carriage return, a line feed or both; a ^Z ends the file, as it did in DOS.
struct Lines<'a> {
    rest: &'a str,
    number: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() || self.rest.starts_with('\u{1a}') {
            return None;
        }
        let (line, rest) = self.rest.split_once(['\r', '\n']).unwrap_or((self.rest, ""));
        let at_end = self.rest.get(line.len()..).is_some_and(|end| end.starts_with("\r\n"));
        self.rest = if at_end { rest.get(1..).unwrap_or_default() } else { rest };
        self.number += 1;
        Some(line)
    }
}

/// A field in the making: blanks around it are dropped, those in quotes are not.
#[derive(Default)]
struct Field {
    text: String,
    /// Bytes that must stay.
    kept: usize,
}

impl Field {
    fn push(&mut self, c: char) {
        if !c.is_whitespace() && c != '\0' {
            self.text.push(c);
            self.kept = self.text.len();
        } else if !self.text.is_empty() {
            self.text.push(c);
        }
    }

    fn push_quoted(&mut self, c: char) {
        self.text.push(c);
        self.kept = self.text.len();
    }

    fn take(&mut self, line: usize) -> Result<String> {
        self.text.truncate(self.kept);
        self.kept = 0;
        if self.text.chars().count() > FIELD_MOST {
            return Err(broken(line, "a field is longer than 4095 characters"));
        }
        Ok(std::mem::take(&mut self.text))
    }
}

/// One entry, which may go on over several lines.
fn entry(first: &str, lines: &mut Lines<'_>) -> Result<Line> {
    let (mut entry, mut field) = (Line::default(), Field::default());
    let mut text = first;
    loop {
        let goes_on = piece(text, &mut entry, &mut field, lines.number)?;
        if !goes_on {
            break;
        }
        let Some(next) = lines.next() else { break };
        text = next;
    }
    entry.values.push(field.take(lines.number)?);
    Ok(entry)
}

/// One line of an entry; whether it goes on in the next.
fn piece(text: &str, entry: &mut Line, field: &mut Field, line: usize) -> Result<bool> {
    let (mut rest, mut quoted) = (text, false);
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        rest = after;
        match c {
            '"' if quoted && after.starts_with('"') => {
                field.push_quoted('"');
                rest = after.get(1..).unwrap_or_default();
            }
            '"' => quoted = !quoted,
            _ if quoted => field.push_quoted(c),
            '%' => rest = token(after, field),
            ';' => return Ok(false),
            '\\' if ends(after) => return Ok(true),
            ',' => entry.values.push(field.take(line)?),
            '=' if entry.key.is_none() && entry.values.is_empty() => entry.key = Some(field.take(line)?),
            _ => field.push(c),
        }
    }
    Ok(false)
}

/// Whether only blanks and a comment follow.
fn ends(text: &str) -> bool {
    let rest = text.trim_start();
    rest.is_empty() || rest.starts_with(';')
}

/// A token is taken whole, as a semicolon in it starts no comment; returns what follows the sign or the token.
fn token<'a>(after: &'a str, field: &mut Field) -> &'a str {
    field.push_quoted('%');
    match after.split_once('%') {
        Some((name, rest)) if name.len() <= TOKEN_MOST && !name.contains([',', '=', '"']) => {
            name.chars().for_each(|c| field.push_quoted(c));
            field.push_quoted('%');
            rest
        }
        _ => after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Inf {
        Inf::parse(text.as_bytes(), 0x0409).expect("parses")
    }

    fn fields(text: &str) -> Vec<String> {
        parse(&format!("[s]\n{text}")).lines("S")[0].values.clone()
    }

    #[test]
    fn fields_of_all_shapes() {
        assert_eq!(fields(" a , b c ,, \"d , e\" ; comment"), ["a", "b c", "", "d , e"]);
        assert_eq!(fields(r#""say ""hello"""  , "\" "#), [r#"say "hello""#, "\\"]);
        assert_eq!(fields("a, \\\r\n  b, \\ ; comment\n c\nnot this"), ["a", "b", "c"]);
        assert_eq!(fields("\"dir\\\"\\\n,file"), ["dir\\", "file"]);
        assert_eq!(fields("%a;b%,c"), ["%a;b%", "c"]);
        assert_eq!(fields("100% ,50%;x"), ["100%", "50%"]);
        assert_eq!(fields("\" a \",\"no end"), [" a ", "no end"]);
    }

    #[test]
    fn sections_are_merged_and_keys_found_in_any_case() {
        let inf = parse("lost\n[One]\na=1\n[two]\nb\n[ONE]\nA = 2, 3\n\u{1a}c=4");
        assert_eq!(inf.list("one", "a"), ["1", "2", "3"]);
        assert_eq!((inf.value("One", "A").as_deref(), inf.written("oNE")), (Some("1"), Some("One")));
        assert_eq!(inf.lines("two")[0], Line { key: None, values: vec!["b".into()] });
        assert!(inf.has("TWO") && !inf.has("three") && inf.lines("three").is_empty());
        assert_eq!(inf.names("o").collect::<Vec<_>>(), ["one"]);
    }

    #[test]
    fn strings_and_directories() {
        let inf = parse("[Strings]\nVendor = \"Red Hat, Inc.\"\nq = \"\"\"a\"\" \"\n[s]\n");
        let directory = |number| (number == 12).then(|| r"C:\Windows\System32\drivers".to_owned());
        assert_eq!(inf.expand("%VENDOR%!"), "Red Hat, Inc.!");
        assert_eq!(inf.expand("%%SystemRoot%%\\%x%%vendor%"), "%SystemRoot%\\%x%Red Hat, Inc.");
        assert_eq!(inf.expand_with(r"%12%\a.sys", directory), r"C:\Windows\System32\drivers\a.sys");
        assert_eq!(
            (inf.expand(r"%12%\%vendor%").as_str(), inf.expand("5%").as_str()),
            (r"%12%\Red Hat, Inc.", "5%")
        );
        assert_eq!(inf.string("Q"), Some("\"a\" "));
    }

    #[test]
    fn strings_by_language() {
        let text = "[Strings]\na=neutral\nn=1\n[Strings.0407]\na=deutsch\n[Strings.0009]\na=any English\n[Strings.0c07]\na=at";
        let of = |language| Inf::parse(text.as_bytes(), language).expect("parses").expand("%a%%n%");
        assert_eq!(
            [of(0x407), of(0x409), of(0x807), of(0x411)],
            ["deutsch1", "any English1", "deutsch1", "neutral1"]
        );
    }

    #[test]
    fn encodings() {
        let text = "[S]\r\nk = gr\u{fc}n\r\n";
        let units: Vec<u16> = text.encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        let latin: Vec<u8> = text.chars().map(|c| c as u8).collect();
        let mark = |mark: &[u8], rest: &[u8]| [mark, rest].concat();
        let all = [
            mark(&[0xff, 0xfe], &little),
            little.clone(),
            mark(&[0xfe, 0xff], &big),
            mark(&[0xef, 0xbb, 0xbf], text.as_bytes()),
            latin,
        ];
        for bytes in all {
            let inf = Inf::parse(&bytes, 0).expect("parses");
            assert_eq!(inf.value("s", "K").as_deref(), Some("gr\u{fc}n"));
        }
        assert!(Inf::parse(b"ab\0c", 0).is_err());
    }

    #[test]
    fn bounds() {
        let long = format!("[s]\na={}", "x".repeat(FIELD_MOST));
        assert!(Inf::parse(long.as_bytes(), 0).is_ok());
        assert!(Inf::parse(format!("{long}x").as_bytes(), 0).is_err());
        let inf = parse(&format!("[strings]\na={}\n", "x".repeat(4000)));
        assert_eq!(inf.expand(&"%a%".repeat(1000)).len(), FIELD_MOST);
        assert_eq!(
            [number("0x10"), number(" 12 "), number("-1"), number("x")],
            [Some(16), Some(12), Some(u32::MAX), None]
        );
    }
}
