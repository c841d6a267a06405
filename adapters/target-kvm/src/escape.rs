//! Names on their way into definitions, shell words and QEMU options.

use wherry_sdk::{Error, ErrorKind, Result};

/// The output directory's path, without a slash at its end.
pub fn directory(path: &str) -> Result<String> {
    // XML 1.0 has no way to write control characters (section 2.2), and U+FFFD means that the path was not UTF-8.
    if !path.starts_with('/')
        || path.contains(|c: char| c.is_control() || ('\u{fffd}'..='\u{ffff}').contains(&c))
    {
        let message = format!("a definition cannot name files in {path:?}; choose another output directory");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(path.trim_end_matches('/').to_owned())
}

/// One word for a POSIX shell.
pub fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A value within a QEMU option list, where a comma is written twice.
pub fn option(text: &str) -> String {
    text.replace(',', ",,")
}
