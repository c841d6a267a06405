//! Writes that the kernel carries out while the thread that began them goes on (io_uring).

use crate::engine::Ready;
use crate::layout::Shape;
use io_uring::{IoUring, Probe, opcode, types};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Writes that can wait for the kernel to take them; no chunk is begun while more are on their way.
const ENTRIES: u32 = 64;
/// Answers that can wait for this thread: of those, and of the chunk that was begun last, by pieces of a page.
const ANSWERS: u32 = 1024;

/// One write of a chunk: these bytes of what the chunk stores, to this offset of a file.
#[derive(Clone, Copy)]
pub(crate) struct Write<'a> {
    pub file: BorrowedFd<'a>,
    pub offset: u64,
    pub from: usize,
    pub length: usize,
    /// Bytes that are written.
    done: usize,
}

impl<'a> Write<'a> {
    pub fn new(file: BorrowedFd<'a>, offset: u64, (from, length): (usize, usize)) -> Self {
        Self { file, offset, from, length, done: 0 }
    }
}

/// A chunk of which writes are on their way.
struct Going<'a> {
    ready: Ready,
    writes: Vec<Write<'a>>,
    /// Writes that the kernel has not answered.
    left: usize,
    refused: Vec<(Write<'a>, io::Error)>,
}

/// A chunk whose writes have ended, and those that were refused.
pub(crate) struct Ended<'a> {
    pub ready: Ready,
    pub refused: Vec<(Write<'a>, io::Error)>,
}

/// What the kernel has been asked to write, and the chunks that own those bytes.
pub(crate) struct Ring<'a> {
    uring: IoUring,
    shape: Shape,
    /// A chunk stays at its place here until the kernel has answered for all of its writes.
    going: Vec<Option<Going<'a>>>,
}

impl<'a> Ring<'a> {
    /// An error where the kernel has none (before 5.6) or does not give one to this process.
    pub fn new(shape: Shape) -> io::Result<Self> {
        let uring = IoUring::builder().setup_cqsize(ANSWERS).build(ENTRIES)?;
        let mut probe = Probe::new();
        uring.submitter().register_probe(&mut probe)?;
        if !probe.is_supported(opcode::Write::CODE) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Self { uring, shape, going: Vec::new() })
    }

    /// Whether nothing is on its way.
    pub fn is_idle(&self) -> bool {
        self.going.iter().all(Option::is_none)
    }

    /// Whether another chunk may be begun.
    pub fn has_room(&self) -> bool {
        self.going.iter().flatten().map(|going| going.left).sum::<usize>() < ENTRIES as usize
    }

    /// Begins the writes of a chunk, at least one.
    pub fn begin(&mut self, ready: Ready, writes: Vec<Write<'a>>) -> io::Result<()> {
        let place = self.going.iter().position(Option::is_none).unwrap_or(self.going.len());
        if place == self.going.len() {
            self.going.push(None);
        }
        let count = writes.len();
        self.going[place] = Some(Going { ready, writes, left: 0, refused: Vec::new() });
        (0..count).try_for_each(|number| self.push(place, number))?;
        self.uring.submit().map(|_| ())
    }

    /// Hands the kernel what is left of a write.
    fn push(&mut self, place: usize, number: usize) -> io::Result<()> {
        let Some(going) = self.going[place].as_mut() else { return Ok(()) };
        let write = &going.writes[number];
        let (bytes, _) = going.ready.desk.stored(&self.shape);
        let bytes = &bytes[write.from + write.done..write.from + write.length];
        let (file, offset) = (types::Fd(write.file.as_raw_fd()), write.offset + write.done as u64);
        let entry = opcode::Write::new(file, bytes.as_ptr(), bytes.len() as u32).offset(offset).build();
        let entry = entry.user_data((place as u64) << 32 | number as u64);
        // SAFETY: the file is borrowed for longer than the ring lives. The bytes are the heap's, owned by `going`, whose chunk
        // nobody changes or drops before the kernel has answered: `take_answers` does then, and `drop` waits for it.
        #[allow(unsafe_code, reason = "the kernel reads these bytes after this call")]
        while unsafe { self.uring.submission().push(&entry) }.is_err() {
            self.uring.submit()?;
        }
        going.left += 1;
        Ok(())
    }

    /// Waits for the kernel; the chunks that are done by then.
    pub fn wait(&mut self) -> io::Result<Vec<Ended<'a>>> {
        let mut ended = Vec::new();
        while ended.is_empty() && !self.is_idle() {
            match self.uring.submit_and_wait(1) {
                Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
                _ => {}
            }
            for (place, number) in self.take_answers() {
                self.push(place, number)?;
            }
            for place in &mut self.going {
                let done = place.take_if(|going| going.left == 0);
                ended.extend(done.map(|Going { ready, refused, .. }| Ended { ready, refused }));
            }
        }
        Ok(ended)
    }

    /// Notes what the kernel has answered; the writes of which something is left to write.
    fn take_answers(&mut self) -> Vec<(usize, usize)> {
        let mut again = Vec::new();
        for answer in self.uring.completion() {
            let (place, number) = ((answer.user_data() >> 32) as usize, answer.user_data() as u32 as usize);
            let Some(going) = self.going.get_mut(place).and_then(Option::as_mut) else { continue };
            going.left -= 1;
            let write = &mut going.writes[number];
            let error = match answer.result() {
                0 => io::ErrorKind::WriteZero.into(),
                written if written > 0 => {
                    write.done += written as usize;
                    if write.done < write.length {
                        again.push((place, number));
                    }
                    continue;
                }
                refused => io::Error::from_raw_os_error(-refused),
            };
            match error.kind() {
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => again.push((place, number)),
                _ => going.refused.push((*write, error)),
            }
        }
        again
    }
}

impl Drop for Ring<'_> {
    /// The kernel reads the chunks' bytes until it has answered.
    fn drop(&mut self) {
        while self.going.iter().flatten().any(|going| going.left > 0) {
            match self.uring.submit_and_wait(1) {
                Err(e) if e.kind() != io::ErrorKind::Interrupted => {
                    std::mem::forget(std::mem::take(&mut self.going));
                    return;
                }
                _ => drop(self.take_answers()),
            }
        }
    }
}
