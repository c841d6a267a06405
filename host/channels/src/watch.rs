//! Patience: a connection whose every wait ends at a time, or when the operator asks to stop.

use crate::stream::{Stream, lock};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long one wait in the kernel lasts: so soon is a wish to stop seen.
const SLICE: Duration = Duration::from_millis(200);
/// How long a server's address may take to answer.
const CONNECT: Duration = Duration::from_secs(10);

/// Until when to wait, and whether to.
#[derive(Clone)]
pub(crate) struct Watch {
    deadline: Arc<Mutex<Instant>>,
    stop: Arc<AtomicBool>,
}

impl Watch {
    pub fn new(stop: Arc<AtomicBool>) -> Self {
        Self { deadline: Arc::new(Mutex::new(Instant::now())), stop }
    }

    /// Every wait ends so long from now.
    pub fn allow(&self, time: Duration) {
        *lock(&self.deadline) = Instant::now() + time;
    }

    pub fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    pub fn is_over(&self) -> bool {
        Instant::now() >= *lock(&self.deadline)
    }

    /// An error that no library takes for a reason to try again.
    fn check(&self) -> io::Result<()> {
        if self.stopped() || self.is_over() {
            return Err(io::Error::new(ErrorKind::ConnectionAborted, "there was no more time"));
        }
        Ok(())
    }
}

/// A TCP connection under a watch.
pub(crate) struct Patient {
    inner: TcpStream,
    watch: Watch,
}

impl Patient {
    pub fn connect(host: &str, port: u16, watch: &Watch) -> io::Result<Self> {
        let mut last = io::Error::new(ErrorKind::NotFound, "its name has no address");
        for address in (host, port).to_socket_addrs()? {
            watch.check()?;
            let left = lock(&watch.deadline).saturating_duration_since(Instant::now()).min(CONNECT);
            match TcpStream::connect_timeout(&address, left.max(SLICE)) {
                Ok(inner) => {
                    inner.set_nodelay(true)?;
                    inner.set_read_timeout(Some(SLICE))?;
                    inner.set_write_timeout(Some(SLICE))?;
                    return Ok(Self { inner, watch: watch.clone() });
                }
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    fn waiting(&self, mut try_once: impl FnMut(&TcpStream) -> io::Result<usize>) -> io::Result<usize> {
        loop {
            self.watch.check()?;
            match try_once(&self.inner) {
                Err(e)
                    if matches!(
                        e.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                done => return done,
            }
        }
    }
}

impl Read for Patient {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.waiting(|mut stream| stream.read(into))
    }
}

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting(|mut stream| stream.write(bytes))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Patient {
    fn twin(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(Self { inner: self.inner.try_clone()?, watch: self.watch.clone() }))
    }
    /// The watch has it.
    fn patience(&self, _time: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
    fn hang_up(&self) {
        self.inner.hang_up();
    }
    fn is_quiet(&self) -> bool {
        self.inner.is_quiet()
    }
}
