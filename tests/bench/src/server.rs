//! Others' NBD servers, on sockets in the file system.

use anyhow::{Context, Result, bail};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server; ended with the scope.
pub struct Server {
    pub name: &'static str,
    pub uri: String,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// qemu-nbd and nbdkit, both serving `source` read-only to several connections.
pub fn start(source: &Path) -> Result<Vec<Server>> {
    let folder = std::path::absolute(source)?;
    let socket = |name| folder.with_file_name(name);
    let (qemu, nbdkit) = (socket("qemu-nbd"), socket("nbdkit"));
    let mut one = Command::new("qemu-nbd");
    one.args(["--read-only", "--persistent", "--shared=0", "--format=raw", "-k"]).arg(&qemu).arg(source);
    let mut other = Command::new("nbdkit");
    other.args(["--readonly", "--foreground", "--unix"]).arg(&nbdkit).arg("file").arg(source);
    Ok(vec![serve("qemu-nbd", one, &qemu)?, serve("nbdkit", other, &nbdkit)?])
}

fn serve(name: &'static str, mut command: Command, socket: &Path) -> Result<Server> {
    let socket = std::path::absolute(socket)?;
    let child = command.stderr(Stdio::null()).spawn().context(name)?;
    let server = Server { name, uri: format!("nbd+unix:///?socket={}", socket.display()), child };
    for _ in 0..200 {
        if UnixStream::connect(&socket).is_ok() {
            return Ok(server);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("{name} does not listen on {}", socket.display())
}
