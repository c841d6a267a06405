//! File systems mounted by others: by the kernel, or by a driver in a process of its own (FUSE).

use super::run;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One loop device at a time: tests run in parallel, loop devices are few.
static LOOPS: Mutex<()> = Mutex::new(());

/// A mount, undone when it goes out of scope.
pub struct Mount {
    /// Where it is: beside the image.
    pub path: PathBuf,
    driver: Option<Child>,
    _only: Option<MutexGuard<'static, ()>>,
}

fn forbidden() -> bool {
    std::env::var_os("WHERRY_NO_MOUNT").is_some()
}

/// Whether the kernel may be asked.
///
/// # Panics
/// Where it cannot be, unless the environment says WHERRY_NO_MOUNT.
pub fn can_loop() -> bool {
    if forbidden() {
        return false;
    }
    let root = std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0);
    let possible = root && Path::new("/dev/loop-control").exists();
    assert!(
        possible,
        "no loop mount here: be root, or set WHERRY_NO_MOUNT to go without what the kernel says"
    );
    true
}

/// Whether a driver of FUSE may be asked.
///
/// # Panics
/// Where it cannot be, unless the environment says WHERRY_NO_MOUNT.
pub fn can_fuse() -> bool {
    if forbidden() {
        return false;
    }
    assert!(Path::new("/dev/fuse").exists(), "no /dev/fuse here: set WHERRY_NO_MOUNT to go without");
    true
}

fn place(image: &Path) -> PathBuf {
    let path = image.with_extension("mounted");
    std::fs::create_dir_all(&path).expect("a directory beside the image");
    path
}

fn is_mounted(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/mounts").expect("there is /proc");
    mounts.contains(&format!(" {} ", path.display()))
}

impl Mount {
    /// An image mounted by the kernel; none, loudly, where the environment forbids it.
    ///
    /// # Panics
    /// If the kernel does not mount it.
    pub fn by_kernel(kind: &str, image: &Path, options: &str) -> Option<Self> {
        let only = LOOPS.lock().unwrap_or_else(PoisonError::into_inner);
        if !can_loop() {
            let image = image.display();
            eprintln!("NOT TESTED: what the kernel says of {image}, since WHERRY_NO_MOUNT is set");
            return None;
        }
        let path = place(image);
        let options = format!("loop,{options}");
        run(Command::new("mount").args(["-t", kind, "-o", &options]).arg(image).arg(&path));
        Some(Self { path, driver: None, _only: Some(only) })
    }

    /// An image mounted by a driver that stays in the foreground and takes the image and the place as its last words.
    ///
    /// # Panics
    /// If it does not mount it.
    pub fn by_driver(driver: &mut Command, image: &Path) -> Self {
        let path = place(image);
        let started = driver.arg(image).arg(&path).stderr(Stdio::piped()).spawn();
        let mut child = started.unwrap_or_else(|e| panic!("{driver:?}: {e}"));
        for _ in 0..500 {
            if is_mounted(&path) {
                return Self { path, driver: Some(child), _only: None };
            }
            if child.try_wait().expect("a child of this process").is_some() {
                let output = child.wait_with_output().expect("a child of this process");
                panic!("{driver:?}: {}", String::from_utf8_lossy(&output.stderr));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{driver:?} does not mount");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A process that another test is just starting may hold a file open until it is really started.
        for _ in 0..50 {
            if Command::new("umount").arg(&self.path).output().is_ok_and(|output| output.status.success()) {
                // The image is complete when the driver has ended.
                if let Some(driver) = &mut self.driver {
                    driver.wait().expect("a child of this process");
                }
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        if !std::thread::panicking() {
            panic!("cannot umount {}", self.path.display());
        }
    }
}
