//! The real tools of package ntfs-3g, and its driver.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Runs a command and returns what it printed; panics when it fails.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error} (package ntfs-3g)"));
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} ended with {}:\n{text}", output.status);
    text
}

/// The tools must find nothing: `ntfsfix` on a copy that nothing is written to, and `ntfsresize`, which compares every
/// run with `$Bitmap`.
pub fn check(image: &Path) {
    let text = run(Command::new("ntfsfix").arg("-n").arg(image));
    assert!(text.contains("was processed successfully"), "ntfsfix finds fault:\n{text}");
    let arguments = ["--info", "--force", "--no-progress-bar"];
    let resize = Command::new("ntfsresize").args(arguments).arg(image).output().unwrap();
    let text =
        String::from_utf8_lossy(&resize.stdout).into_owned() + &String::from_utf8_lossy(&resize.stderr);
    // A volume that is full or has clusters beyond what it can move is not at fault.
    let sound = resize.status.success() || text.contains("is full") || text.contains("full. ");
    assert!(sound && !text.contains("accounting failed") && !text.contains("Corrupt"), "ntfsresize:\n{text}");
}

/// Whether ntfs-3g is asked. Where it cannot be, tests fail, unless the environment says WHERRY_NO_MOUNT.
pub fn mounts() -> bool {
    if std::env::var_os("WHERRY_NO_MOUNT").is_some() {
        return false;
    }
    assert!(Path::new("/dev/fuse").exists(), "no /dev/fuse here: set WHERRY_NO_MOUNT to go without");
    true
}

/// A volume mounted by ntfs-3g, unmounted when it goes out of scope.
pub struct Mount {
    pub path: PathBuf,
    driver: Child,
}

fn is_mounted(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    mounts.contains(&format!(" {} ", path.display()))
}

impl Mount {
    /// Mounts with these further options.
    pub fn new(image: &Path, options: &str) -> Self {
        let path = image.with_extension("mounted");
        std::fs::create_dir_all(&path).unwrap();
        let options = format!("no_detach,{options}");
        let mut driver = Command::new("ntfs-3g")
            .args(["-o", &options])
            .arg(image)
            .arg(&path)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        for _ in 0..500 {
            if is_mounted(&path) {
                return Self { path, driver };
            }
            if driver.try_wait().unwrap().is_some() {
                let output = driver.wait_with_output().unwrap();
                panic!("ntfs-3g on {}: {}", image.display(), String::from_utf8_lossy(&output.stderr));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("ntfs-3g does not mount {}", image.display());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        for _ in 0..50 {
            if Command::new("umount").arg(&self.path).output().is_ok_and(|output| output.status.success()) {
                // The volume is complete when the driver has ended.
                self.driver.wait().unwrap();
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        if !std::thread::panicking() {
            panic!("cannot umount {}", self.path.display());
        }
    }
}
