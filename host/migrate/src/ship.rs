//! Files on their way to a server: the adapter says where to, the host sends them, and the adapter keeps its lease alive.

use crate::plan::Plan;
use crate::run::{Event, stopped};
use crate::servers::Granted;
use crate::{Error, ErrorKind, Result};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use channels::{Answer, Trouble};
use runtime::{Adapters, Target, contract, origin};
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How often the sender is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// A machine's files and the adapter that sends them away.
pub(crate) struct Ship<'a> {
    pub plan: &'a Plan,
    pub machine: &'a contract::Machine,
    pub folder: &'a Path,
    pub adapters: &'a Adapters,
    pub watch: &'a (dyn Fn(Event<'_>) + Sync),
}

/// What was sent: the adapter's note, and the files.
pub(crate) struct Sent {
    pub note: String,
    pub files: Vec<String>,
}

/// A file that ends with an error when nobody wants it any more.
struct Wanted<'a, R>(R, &'a AtomicBool);

impl<R: Read> Read for Wanted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self.1.load(Relaxed) {
            true => Err(std::io::Error::other("stopped")),
            false => self.0.read(into),
        }
    }
}

impl Ship<'_> {
    /// Asks what is to be sent, and sends it; what was begun is given back where that fails.
    pub(crate) fn run(&self, target: &mut Target) -> Result<Option<Sent>> {
        let (key, profile) = (&self.plan.key, &self.plan.device_profile);
        let Some(shipment) = target.ship(key, self.machine, profile)? else { return Ok(None) };
        if let Err(e) = self.send(&shipment, target) {
            let clearing = self.plan.destination.clearing();
            let given_back =
                clearing.and_then(|mut target| Ok(target.abandon(key, self.machine, &shipment.note)?));
            if let Err(other) = given_back {
                tracing::warn!("what the shipment has taken on the server was not given back: {other}");
            }
            return Err(e);
        }
        let files = shipment.uploads.into_iter().map(|upload| upload.name).collect();
        Ok(Some(Sent { note: shipment.note, files }))
    }

    fn send(&self, shipment: &contract::Shipment, target: &mut Target) -> Result<()> {
        let servers = self.plan.destination.servers.as_deref();
        let servers =
            servers.ok_or_else(|| Error::usage("files are to be sent, but no --server is named"))?;
        let io = |e| Error::failed(format!("{}: {e}", self.folder.display()));
        let folder = Dir::open_ambient_dir(self.folder, ambient_authority()).map_err(io)?;
        let mut files = Vec::new();
        for upload in &shipment.uploads {
            let failed = |e| Error::failed(format!("{} cannot be sent: {e}", upload.name));
            let file = folder.open(&upload.name).map_err(failed)?;
            let length = file.metadata().map_err(failed)?.len();
            files.push((upload, file, length));
        }
        let total = files.iter().map(|(_, _, length)| length).sum();
        let mut before = 0;
        for (upload, file, length) in files {
            let so_far = |done: u64| {
                target.sending(&self.plan.key, self.machine, &shipment.note, (before + done, total))
            };
            let alive = Duration::from_secs(u64::from(shipment.alive_seconds)) / 2;
            self.one(servers, (upload, file, length), alive, so_far)?;
            before += length;
        }
        Ok(())
    }

    /// Sends one file from another thread, so that the server hears of the adapter whatever the connection does.
    fn one(
        &self,
        servers: &Granted,
        (upload, file, length): (&contract::Upload, cap_std::fs::File, u64),
        alive: Duration,
        mut so_far: impl FnMut(u64) -> runtime::Result<()>,
    ) -> Result<()> {
        let (done, unwanted) = (AtomicU64::new(0), AtomicBool::new(false));
        let path = self.folder.join(&upload.name);
        std::thread::scope(|scope| {
            let (say, hear) = channel();
            let (done, unwanted) = (&done, &unwanted);
            scope.spawn(move || {
                let mut file = Wanted(file, unwanted);
                // Nobody hears it where the adapter has failed in the meantime.
                let _unheard = say.send(servers.upload(upload, (&mut file, length), done));
            });
            let mut last = Instant::now();
            loop {
                match hear.recv_timeout(LOOK) {
                    Ok(answer) => {
                        (self.watch)(Event::Sending { file: &path, done: done.load(Relaxed), total: length });
                        return arrived(upload, answer);
                    }
                    Err(RecvTimeoutError::Disconnected) => return Err(Error::failed("the sender is gone")),
                    Err(RecvTimeoutError::Timeout) => {}
                }
                let sent = done.load(Relaxed);
                (self.watch)(Event::Sending { file: &path, done: sent, total: length });
                let told = match last.elapsed() >= alive {
                    true => so_far(sent).map_err(Error::from),
                    false => Ok(()),
                };
                if let Err(e) = told.and_then(|()| stopped(self.adapters)) {
                    unwanted.store(true, Relaxed);
                    return Err(e);
                }
                if last.elapsed() >= alive {
                    last = Instant::now();
                }
            }
        })
    }
}

/// Whether the server has the file now.
fn arrived(upload: &contract::Upload, answer: std::result::Result<Answer, channels::Failure>) -> Result<()> {
    let (name, to) = (&upload.name, origin(&upload.url));
    let again = "the same command sends it anew";
    match answer {
        Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
        Ok(answer) => Err(Error::failed(format!("{to} answers {} to {name}; {again}", answer.status))),
        Err(e) if e.trouble == Trouble::Stopped => {
            Err(Error::new(ErrorKind::Stopped, format!("{e}; {again}")))
        }
        Err(e) => Err(Error::failed(format!("{name} was not sent: {e}; {again}"))),
    }
}
