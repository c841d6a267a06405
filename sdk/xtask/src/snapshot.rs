//! A machine that runs straight from a snapshot in an archive: served over NBD, its writes kept in an overlay.

use crate::boot::{Answers, End, start};
use crate::console::Show;
use crate::image::{self, KINDS};
use crate::{packages, quiet, root, wherry};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// The archive's key, which is no secret here.
const KEY: &[u8; 64] = &[7; 64];

/// The server, which ends with its owner.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Captures the demo's source disk, boots it out of the archive on the hardware that it came from, and shows that the archive
/// is as it was.
pub fn run() -> Result<()> {
    packages::install(packages::BOOT)?;
    let source = image::build(&KINDS[0])?;
    let folder = root().join(".work/boots/snapshot");
    let _absent = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("key"), KEY)?;
    let archive = folder.join("archive").display().to_string();
    let asked = |words: &[&str]| {
        let mut command = wherry();
        command.env_remove("WHERRY_PASSWORD").env("WHERRY_KEY_FILE", folder.join("key")).args(words);
        command
    };
    quiet(&mut asked(&["archive", "init", &archive]))?;
    let started = Instant::now();
    quiet(&mut asked(&[
        "capture",
        &format!("raw:{}", source.display()),
        "--to",
        &archive,
        "--name",
        "demo",
    ]))?;
    println!("captured in {:.1} s", started.elapsed().as_secs_f64());
    let socket = folder.join("socket");
    let disk = format!("snapshot:{archive}#demo");
    let listen = socket.display().to_string();
    let mut serve = asked(&["serve", &disk, "--overlay", "--listen", &listen]);
    let server = Server(serve.stdout(Stdio::null()).spawn().context("cannot start wherry serve")?);
    let started = Instant::now();
    while !socket.exists() {
        ensure!(started.elapsed() < Duration::from_secs(30), "wherry serve does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    let started = Instant::now();
    let uri = format!("nbd+unix:///?socket={}", socket.display());
    let mut guest = start(Path::new(&uri), "ahci", Show::Lines)?;
    ensure!(matches!(guest.end()?, End::Login), "the guest did not reach its login");
    let answers = Answers::of(&mut guest)?;
    println!("booted from the archive in {:.1} s\n{answers}", started.elapsed().as_secs_f64());
    drop((guest, server));
    quiet(&mut asked(&["archive", "verify", &archive, "--deep"]))?;
    let same = quiet(&mut asked(&["disk", "compare", &disk, &format!("raw:{}", source.display())]))?;
    println!("{}", same.trim());
    Ok(())
}
