//! Both ends of a connection: TCP, a socket in the file system, and in `tls` either of them encrypted.

use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Both ends of a connection.
pub(crate) trait Stream: io::Read + io::Write + Send {
    /// A second handle of the same connection, so that one thread can read while another writes.
    fn twin(&self) -> io::Result<Box<dyn Stream>>;
    /// How long to wait for the other side until that is an error; none is for ever.
    fn patience(&self, time: Option<Duration>) -> io::Result<()>;
    /// Ends both directions, which wakes a thread that reads.
    fn hang_up(&self);
    /// Whether the other side has neither gone nor said anything unasked, as far as is known; nobody may be reading.
    fn is_quiet(&self) -> bool {
        true
    }
}

impl Stream for TcpStream {
    fn twin(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.try_clone()?))
    }
    fn patience(&self, time: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(time)?;
        self.set_write_timeout(time)
    }
    fn hang_up(&self) {
        let _gone = self.shutdown(std::net::Shutdown::Both);
    }
    fn is_quiet(&self) -> bool {
        let look = || -> io::Result<usize> {
            self.set_nonblocking(true)?;
            let seen = self.peek(&mut [0]);
            self.set_nonblocking(false)?;
            seen
        };
        look().is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
    }
}

impl Stream for UnixStream {
    fn twin(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.try_clone()?))
    }
    fn patience(&self, time: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(time)?;
        self.set_write_timeout(time)
    }
    fn hang_up(&self) {
        let _gone = self.shutdown(std::net::Shutdown::Both);
    }
}
