//! `wherry serve`.

use crate::Format;
use crate::words::{about, put, say};
use anyhow::{Context, Result};
use block::{Disk, Overlay};
use channels::{Export, Server, ServerTls};
use clap::Args;
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

/// What is served, and to whom.
#[derive(Args)]
pub struct Serve {
    /// FORMAT:PATH of the disk
    disk: String,
    /// Where to listen: a socket's path, or HOST:PORT (port 0: any free one)
    #[arg(long, value_name = "WHERE", default_value = "127.0.0.1:10809")]
    listen: String,
    /// The export's name
    #[arg(long, default_value = "")]
    name: String,
    /// Clients may write: into memory, never to the disk; it is gone at the end
    #[arg(long)]
    overlay: bool,
    /// Only encrypted, with DIR's server-cert.pem and server-key.pem; with ca-cert.pem there, only to clients that show a
    /// certificate of that authority
    #[arg(long, value_name = "DIR")]
    tls: Option<PathBuf>,
}

/// Serves until the operator interrupts.
pub fn run(asked: &Serve, adapters: &Adapters, format: Format) -> Result<()> {
    let Serve { disk, listen, name, overlay, tls } = asked;
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
    let tls = tls.as_deref().map(ServerTls::load).transpose()?;
    let scheme = if tls.is_some() { "nbds" } else { "nbd" };
    let export = Export { name: name.clone(), disk: bytes, writable: *overlay };
    let network = listen.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let held;
    let (mut server, uri) = if network {
        held = None;
        let server = Server::tcp(listen, export).with_context(|| format!("cannot listen on {listen}"))?;
        let address = server.address().context("no address")?;
        (server, format!("{scheme}://{address}/{name}"))
    } else {
        let server =
            Server::unix(Path::new(listen), export).with_context(|| format!("cannot listen on {listen}"))?;
        held = Some(Socket(listen.into()));
        (server, format!("{scheme}+unix:///{name}?socket={listen}"))
    };
    if let Some(tls) = tls {
        server = server.encrypted(tls);
    }
    match format {
        Format::Json => put(&json!({ "uri": uri, "source": source, "writable": overlay }).to_string()),
        Format::Text => {
            say!("{} ({}) is at {uri}", source.name, about(&source));
            say!("{}", if *overlay { "writes go to memory and are gone at the end" } else { "read-only" });
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
