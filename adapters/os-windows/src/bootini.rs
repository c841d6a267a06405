//! boot.ini: a menu of ARC paths (Microsoft KB 102873, KB 833721). Lines that are not understood are kept as they are.

/// An entry of `[operating systems]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `multi(0)disk(0)rdisk(0)partition(1)\WINDOWS`
    pub path: String,
    /// What the menu shows.
    pub title: String,
    /// `/fastdetect /NoExecute=OptIn`
    pub switches: String,
    line: usize,
}

/// A boot.ini.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootIni {
    lines: Vec<String>,
    /// The line that says what starts by itself.
    default_line: Option<usize>,
    /// What starts by itself.
    pub default: Option<String>,
    /// Seconds.
    pub timeout: Option<u32>,
    /// The menu, in its order.
    pub entries: Vec<Entry>,
}

impl BootIni {
    /// Reads it.
    pub fn parse(text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut new =
            Self { default: None, default_line: None, timeout: None, entries: Vec::new(), lines: Vec::new() };
        let mut section = String::new();
        for (number, line) in lines.iter().enumerate() {
            let line = line.trim();
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = name.trim().to_ascii_lowercase();
                continue;
            }
            let Some((key, value)) = line.split_once('=') else { continue };
            let (key, value) = (key.trim(), value.trim());
            match (section.as_str(), key.to_ascii_lowercase().as_str()) {
                ("boot loader", "default") => {
                    (new.default, new.default_line) = (Some(value.to_owned()), Some(number));
                }
                ("boot loader", "timeout") => new.timeout = value.parse().ok(),
                ("operating systems", _) => new.entries.push(entry(key, value, number)),
                _ => {}
            }
        }
        new.lines = lines;
        new
    }

    /// The entry that starts by itself: the first of the default's path, else the first of all.
    pub fn usual(&self) -> Option<&Entry> {
        let named = self.default.as_deref().unwrap_or_default();
        let same = |entry: &&Entry| entry.path.eq_ignore_ascii_case(named);
        self.entries.iter().find(same).or(self.entries.first())
    }

    /// One line for each entry.
    pub fn describe(&self) -> Vec<String> {
        let usual = self.usual().map(|entry| entry.line);
        let show = |entry: &Entry| {
            let default = if Some(entry.line) == usual { " (default)" } else { "" };
            format!("{}{default}: {} {}", entry.path, entry.title, entry.switches).trim_end().to_owned()
        };
        self.entries.iter().map(show).collect()
    }

    /// The text with one more entry in front of `before`, which is started by itself: the first one of the default's path.
    pub fn with(&self, before: &Entry, new: &Entry) -> String {
        let line = format!("{}=\"{}\" {}", new.path, new.title, new.switches).trim_end().to_owned();
        let mut lines = self.lines.clone();
        if let Some(default) = self.default_line.and_then(|number| lines.get_mut(number)) {
            *default = format!("default={}", new.path);
        }
        lines.insert(before.line.min(lines.len()), line);
        lines.join("\r\n") + "\r\n"
    }
}

fn entry(path: &str, value: &str, line: usize) -> Entry {
    let (title, switches) = match value.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        Some((title, switches)) => (title, switches.trim()),
        None => value.split_once(" /").map_or((value, ""), |(title, _)| (title, value[title.len()..].trim())),
    };
    Entry { path: path.to_owned(), title: title.to_owned(), switches: switches.to_owned(), line }
}

#[cfg(test)]
mod tests {
    use super::*;

    const XP: &str = "[boot loader]\r\ntimeout=30\r\ndefault=multi(0)disk(0)rdisk(0)partition(1)\\WINDOWS\r\n\
                      [operating systems]\r\n; a comment\r\n\
                      multi(0)disk(0)rdisk(0)partition(1)\\WINDOWS=\"Microsoft Windows XP\" /fastdetect /NoExecute=OptIn\r\n\
                      C:\\CMDCONS\\BOOTSECT.DAT=\"Recovery Console\" /cmdcons\r\n";

    #[test]
    fn entries_and_what_is_added() {
        let ini = BootIni::parse(XP);
        assert_eq!((ini.timeout, ini.entries.len()), (Some(30), 2));
        let usual = ini.usual().unwrap();
        assert_eq!(usual.title, "Microsoft Windows XP");
        assert_eq!(usual.switches, "/fastdetect /NoExecute=OptIn");
        let new = Entry { title: "new".into(), switches: "/HAL=halw.dll".into(), ..usual.clone() };
        let text = ini.with(usual, &new);
        let again = BootIni::parse(&text);
        assert_eq!(again.entries.len(), 3);
        assert_eq!(again.usual().unwrap().title, "new");
        assert_eq!(text.lines().count(), XP.lines().count() + 1);
        assert!(text.contains("; a comment"));
    }

    #[test]
    fn an_entry_of_another_path_becomes_the_default() {
        let ini = BootIni::parse(XP);
        let usual = ini.usual().unwrap();
        let path = r"multi(0)disk(0)rdisk(1)partition(2)\WINDOWS";
        let new = Entry { title: "new".into(), path: path.into(), ..usual.clone() };
        let again = BootIni::parse(&ini.with(usual, &new));
        assert_eq!((again.usual().unwrap().title.as_str(), again.default.as_deref()), ("new", Some(path)));
    }

    #[test]
    fn odd_ones() {
        for text in ["", "[", "[operating systems]\n=\n==\"", "default=x", "[boot loader]\ndefault"] {
            let ini = BootIni::parse(text);
            let _ = (ini.describe(), ini.usual());
        }
    }
}
