//! Directories by their numbers in INF files (Microsoft, "Using Dirids"), and paths of Windows in the guest's tree.

use crate::inf::Inf;

/// Where a Windows keeps things.
#[derive(Clone, Debug)]
pub struct Directories {
    /// `C:\Windows`.
    windows: String,
    /// `/Windows`.
    root: String,
    /// Where the package is: its folder in the driver store.
    package: Option<String>,
}

impl Directories {
    /// Of a Windows that knows its directory as `windows` (`C:\Windows`) and has it in the tree as `root` (`/Windows`);
    /// `package` is the driver's folder as Windows knows it, where it has one.
    pub fn new(windows: &str, root: &str, package: Option<&str>) -> Self {
        let windows = windows.trim_end_matches('\\').to_owned();
        Self { windows, root: root.trim_end_matches('/').to_owned(), package: package.map(str::to_owned) }
    }

    /// The path of a directory's number; none where it is not known here.
    pub fn path(&self, number: i32) -> Option<String> {
        let below = |rest: &str| Some(format!(r"{}\{rest}", self.windows));
        let drive = || self.windows.split('\\').next().unwrap_or_default().to_owned();
        let on_drive = |rest: &str| Some(format!(r"{}\{rest}", drive()));
        match number {
            -1 | 65535 => Some(String::new()),
            1 | 13 => self.package.clone(),
            10 | 25 => Some(self.windows.clone()),
            11 => below("System32"),
            12 => below(r"System32\drivers"),
            17 => below("INF"),
            18 => below("Help"),
            20 => below("Fonts"),
            21 => below(r"System32\Viewers"),
            23 => below(r"System32\spool\drivers\color"),
            24 | 30 | 54 => Some(drive()),
            50 => below("System"),
            51 => below(r"System32\spool"),
            52 => below(r"System32\spool\drivers"),
            // 16384 and the number of a shell folder (CSIDL).
            16422 => on_drive("Program Files"),
            16425 => below("SysWOW64"),
            16426 => on_drive("Program Files (x86)"),
            16427 => on_drive(r"Program Files\Common Files"),
            16428 => on_drive(r"Program Files (x86)\Common Files"),
            _ => None,
        }
    }

    /// Puts strings and directories into a field.
    pub fn expand(&self, inf: &Inf, field: &str) -> String {
        inf.expand_with(field, |number| self.path(number))
    }

    /// Where a path of Windows is in the tree; none where it is on another drive than Windows, or climbs.
    pub fn in_tree(&self, path: &str) -> Option<String> {
        let folded = path.replace('/', r"\");
        if folded.split('\\').any(|part| part == ".." || part == ".") || folded.contains('\0') {
            return None;
        }
        let below = |folder: &str| {
            let head = folded.get(..folder.len()).filter(|head| head.eq_ignore_ascii_case(folder))?;
            folded.get(head.len()..).filter(|rest| rest.is_empty() || rest.starts_with('\\'))
        };
        let clean = |rest: &str| {
            let parts: Vec<&str> = rest.split('\\').filter(|part| !part.is_empty()).collect();
            parts.iter().map(|part| format!("/{part}")).collect::<String>()
        };
        if let Some(rest) = below(&self.windows) {
            return Some(format!("{}{}", self.root, clean(rest)));
        }
        let drive = self.windows.split('\\').next()?;
        below(drive).map(clean).filter(|path| !path.is_empty() && !path.contains(':'))
    }

    /// A path below Windows' directory, in the tree.
    pub fn below(&self, rest: &str) -> String {
        format!("{}/{rest}", self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let own = Directories::new(r"C:\WINNT\", "/winnt/", Some(r"C:\WINNT\store\x"));
        assert_eq!(own.path(12).as_deref(), Some(r"C:\WINNT\System32\drivers"));
        assert_eq!(own.path(16422).as_deref(), Some(r"C:\Program Files"));
        assert_eq!((own.path(13).as_deref(), own.path(99)), (Some(r"C:\WINNT\store\x"), None));
        assert_eq!(own.in_tree(r"c:\winnt\System32\\a.sys").as_deref(), Some("/winnt/System32/a.sys"));
        assert_eq!(own.in_tree(r"C:\Program Files\x").as_deref(), Some("/Program Files/x"));
        for odd in [r"D:\x", r"C:\WINNT\..\x", "C:", "x", r"\\host\share", r"C:\WINNT\a\..", r"C:\x:y"] {
            assert_eq!(own.in_tree(odd), None, "{odd}");
        }
    }
}
