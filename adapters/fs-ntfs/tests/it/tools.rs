//! The real tools of package ntfs-3g, and its driver.

use std::path::Path;
use std::process::Command;
use wherry_sdk::testing::{Mount, run_to};

/// The tools must find nothing: `ntfsfix` on a copy that nothing is written to, and `ntfsresize`, which compares every
/// run with `$Bitmap`.
pub fn check(image: &Path) {
    let text = run_to(Command::new("ntfsfix").arg("-n").arg(image), &[0]);
    assert!(text.contains("was processed successfully"), "ntfsfix finds fault:\n{text}");
    let arguments = ["--info", "--force", "--no-progress-bar"];
    let resize = Command::new("ntfsresize").args(arguments).arg(image).output().unwrap();
    let text =
        String::from_utf8_lossy(&resize.stdout).into_owned() + &String::from_utf8_lossy(&resize.stderr);
    // A volume that is full or has clusters beyond what it can move is not at fault.
    let sound = resize.status.success() || text.contains("is full") || text.contains("full. ");
    assert!(sound && !text.contains("accounting failed") && !text.contains("Corrupt"), "ntfsresize:\n{text}");
}

/// A volume mounted by ntfs-3g, with these further options.
pub fn mounted(image: &Path, options: &str) -> Mount {
    Mount::by_driver(Command::new("ntfs-3g").args(["-o", &format!("no_detach,{options}")]), image)
}
