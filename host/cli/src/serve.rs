//! `wherry serve`.

use crate::Format;
use crate::words::{about, put, say};
use anyhow::{Context, Result};
use block::{Disk, Overlay};
use channels::{Export, Server};
use migrate::ErrorKind;
use runtime::Adapters;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use workload::Severity;

/// How soon an interrupt is noticed.
const PAUSE: Duration = Duration::from_millis(100);

/// A socket that goes with the program.
struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
    }
}

/// Serves until the operator interrupts.
pub fn run(
    disk: &str,
    listen: &str,
    name: &str,
    overlay: bool,
    adapters: &Adapters,
    format: Format,
) -> Result<()> {
    let source = migrate::open(disk, adapters)?;
    let blocking = source.concerns.iter().find(|concern| concern.severity == Severity::Blocking);
    if let Some(concern) = blocking {
        let message = format!("nothing is served: {}", concern.message);
        return Err(migrate::Error { kind: ErrorKind::Blocked, message }.into());
    }
    let bytes: Arc<dyn Disk> = match overlay {
        true => Arc::new(Overlay::new(source.disk.clone())),
        false => source.disk.clone(),
    };
    let export = Export { name: name.into(), disk: bytes, writable: overlay };
    let network = listen.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let held;
    let (server, uri) = if network {
        held = None;
        let server = Server::tcp(listen, export).with_context(|| format!("cannot listen on {listen}"))?;
        let address = server.address().context("no address")?;
        (server, format!("nbd://{address}/{name}"))
    } else {
        let server =
            Server::unix(Path::new(listen), export).with_context(|| format!("cannot listen on {listen}"))?;
        held = Some(Socket(listen.into()));
        (server, format!("nbd+unix:///{name}?socket={listen}"))
    };
    match format {
        Format::Json => put(&json!({ "uri": uri, "source": source, "writable": overlay }).to_string()),
        Format::Text => {
            say!("{} ({}) is at {uri}", source.name, about(&source));
            say!("{}", if overlay { "writes go to memory and are gone at the end" } else { "read-only" });
        }
    }
    let ended = std::thread::spawn(move || server.run(|why| tracing::warn!("{why}")));
    while !adapters.job.cancelled() {
        if ended.is_finished() {
            let result = ended.join().map_err(|_| anyhow::anyhow!("the server crashed"))?;
            return result.context("the server ended");
        }
        std::thread::sleep(PAUSE);
    }
    drop(held);
    Ok(())
}
