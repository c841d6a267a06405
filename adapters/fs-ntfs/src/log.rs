//! `$LogFile`: whether what it records is on the volume already. Two restart pages at its start say so, the newer counts.
//!
//! Where it is not, `log_replay` does what is left to do, or the user is told how to have Windows do it. Sources: Linux'
//! documentation of the structures (`fs/ntfs3`, `ntfs-3g`'s `logfile.h`); versions 1.0 and 1.1 are those up to Windows 7,
//! 2.0 is what Windows 8 and later keep while it runs.

use crate::bytes::{part, u16_at, u32_at, u64_at};
use crate::fixup;
use crate::log_idle::is_harmless;
use crate::log_pages::{Area, Pages};
use wherry_sdk::{ErrorKind, Result};

/// What is looked at: the second page is where the first ends, and pages have 64 KiB at most.
const HEAD: u64 = 128 << 10;
/// Pages have 512 bytes at least.
const PAGE_LEAST: usize = 512;
const PAGE_MOST: usize = 64 << 10;
/// No client is in this list.
const NO_CLIENT: u16 = 0xffff;
/// The volume was left complete, although the log is open (Windows XP and later).
const COMPLETE: u16 = 0x0002;
/// Versions whose restart pages are known.
const VERSIONS: [(u16, u16); 3] = [(1, 0), (1, 1), KEPT];
/// Windows 8 and later go back to 1.1 when they let go of a volume.
const KEPT: (u16, u16) = (2, 0);

/// What the log says of the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// closed, or open with nothing to do
    Clean,
    /// never used since the volume was made, or since a tool emptied it
    Empty,
    /// open, but all of it is on the volume
    Idle,
    /// chkdsk made it void
    Checked,
    /// what it records is still to be done
    Pending,
    /// the same, and all of it can be done here
    Replayable,
    /// Windows 8 or later still keeps changes in memory: hibernated, shut down with Fast Startup, or stopped at once
    Kept,
    /// its pages contradict themselves
    Damaged,
    /// of a version that is not known
    Unknown(u16, u16),
}

impl State {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Empty => "empty",
            Self::Idle => "idle",
            Self::Checked => "checked",
            Self::Pending => "pending",
            Self::Replayable => "replayable",
            Self::Kept => "kept",
            Self::Damaged => "damaged",
            Self::Unknown(..) => "unknown",
        }
    }

    /// Why the volume cannot be believed, and what to do.
    pub fn doubt(self) -> Option<String> {
        let start = "start Windows once, and shut it down fully (shutdown /s /t 0, or hold Shift)";
        match self {
            Self::Clean | Self::Empty | Self::Idle | Self::Checked | Self::Replayable => None,
            Self::Pending => Some(format!("its log has changes that are not on the volume yet: {start}")),
            Self::Kept => {
                Some(format!("Windows keeps changes of it in memory (hibernation, Fast Startup): {start}"))
            }
            Self::Damaged => Some("its log is damaged: run chkdsk /f on it in Windows".into()),
            Self::Unknown(major, minor) => {
                Some(format!("its log has the unknown version {major}.{minor}: {start}"))
            }
        }
    }
}

/// What a restart page says.
#[derive(Clone, Debug)]
struct Page {
    state: State,
    /// The number of the newest record when it was written.
    newest: u64,
    /// Bytes of a page.
    size: usize,
    /// Where the log goes on.
    area: Option<Area>,
    /// The page, its update sequence resolved.
    bytes: Vec<u8>,
}

/// A log that was looked at.
pub struct Log {
    /// how it was left
    pub state: State,
    /// what counts of it, where that is known
    pub area: Option<Area>,
    /// the restart page that says so
    pub restart: Vec<u8>,
    /// its pages, where they had to be read to tell
    pub pages: Option<Pages>,
}

/// Looks at a log of `size` bytes, which `read` gives by offset and length.
pub fn judge(size: u64, read: impl FnMut(u64, u64) -> Result<Vec<u8>>) -> Result<State> {
    Ok(open(size, read)?.state)
}

/// The same, with what a replay needs.
pub fn open(size: u64, mut read: impl FnMut(u64, u64) -> Result<Vec<u8>>) -> Result<Log> {
    let mut head = read(0, size.min(HEAD))?;
    if !head.is_empty() && part(&head, 0, PAGE_MOST).iter().all(|byte| *byte == 0xff) {
        return Ok(Log::without(State::Empty));
    }
    let first = page(&mut head, 0);
    let sizes =
        std::iter::successors(Some(PAGE_LEAST), |size| Some(size * 2)).take_while(|size| *size <= PAGE_MOST);
    let second = match &first {
        Some(Page { size, .. }) if *size > 0 => page(&mut head, *size),
        _ => sizes.into_iter().find_map(|size| page(&mut head, size)),
    };
    let mut log = match (first, second) {
        (Some(one), Some(two)) => newer(one, two),
        (Some(one), None) | (None, Some(one)) => one.into_log(),
        (None, None) => Log::without(State::Damaged),
    };
    log.look_for_changes(size, &mut read)?;
    Ok(log)
}

impl Log {
    fn without(state: State) -> Self {
        Self { state, area: None, restart: Vec::new(), pages: None }
    }

    /// An open log may have nothing in it that is to be done; where that can be, its pages tell.
    fn look_for_changes(
        &mut self,
        size: u64,
        read: &mut impl FnMut(u64, u64) -> Result<Vec<u8>>,
    ) -> Result<()> {
        let (State::Pending, Some(area)) = (self.state, self.area) else { return Ok(()) };
        if area.checkpoint != area.newest {
            return Ok(());
        }
        let pages = match Pages::read(area, size, read) {
            Err(error) if error.kind == ErrorKind::Dirty => return Ok(()),
            pages => pages?,
        };
        match is_harmless(&area, &pages) {
            Ok(true) => self.state = State::Idle,
            Err(error) if error.kind != ErrorKind::Dirty => return Err(error),
            _ => self.pages = Some(pages),
        }
        Ok(())
    }
}

impl Page {
    fn damaged(size: usize) -> Self {
        Self { state: State::Damaged, newest: 0, size, area: None, bytes: Vec::new() }
    }

    fn into_log(self) -> Log {
        Log { area: self.area, restart: self.bytes, ..Log::without(self.state) }
    }
}

/// The state that counts. A torn page may have been the newer one, so that the other one cannot say that all is well.
fn newer(one: Page, two: Page) -> Log {
    match (one.state, two.state) {
        (State::Pending, State::Damaged) | (State::Damaged, State::Pending) => Log::without(State::Pending),
        (State::Damaged, _) | (_, State::Damaged) => Log::without(State::Damaged),
        _ if two.newest > one.newest => two.into_log(),
        _ => one.into_log(),
    }
}

/// The restart page at `at`, if there is one.
fn page(head: &mut [u8], at: usize) -> Option<Page> {
    let checked = match part(head, at, 4) {
        b"RSTR" => false,
        b"CHKD" => true,
        b"BAAD" => return Some(Page::damaged(0)),
        _ => return None,
    };
    let size = u32_at(head, at + 0x10) as usize;
    let sensible =
        size.is_power_of_two() && (PAGE_LEAST..=PAGE_MOST).contains(&size) && (at == 0 || at == size);
    let damaged = Page::damaged(if sensible { size } else { 0 });
    let bytes = at.checked_add(size).and_then(|end| head.get_mut(at..end)).filter(|_| sensible);
    let Some(bytes) = bytes.filter(|bytes| bytes.len() == size) else { return Some(damaged) };
    if !fixup::apply(bytes) {
        return Some(damaged);
    }
    let newest = u64_at(bytes, usize::from(u16_at(bytes, 0x18)));
    if checked {
        let newest = newest.max(u64_at(bytes, 8));
        return Some(Page { state: State::Checked, newest, size, area: None, bytes: Vec::new() });
    }
    let state = restart(bytes);
    let area = Area::parse(bytes, usize::from(u16_at(bytes, 0x18)));
    Some(Page { state, newest, size, area: Some(area), bytes: bytes.to_vec() })
}

/// The restart area of a page: who uses the log, and how it was left.
fn restart(page: &[u8]) -> State {
    let version = (u16_at(page, 0x1c), u16_at(page, 0x1a));
    if !VERSIONS.contains(&version) {
        return State::Unknown(version.0, version.1);
    }
    let (records, start) = (u32_at(page, 0x14) as usize, usize::from(u16_at(page, 0x18)));
    let area = part(page, start, page.len());
    let (clients, free, used) = (u16_at(area, 8), u16_at(area, 10), u16_at(area, 12));
    let listed = |client: u16| client == NO_CLIENT || client < clients;
    // The number of bits in sequence numbers follows from the log's size.
    let bits = 67u32.saturating_sub(64 - u64_at(area, 0x18).leading_zeros());
    let sensible = records.is_power_of_two()
        && records >= PAGE_LEAST
        && start >= 0x20
        && start % 8 == 0
        && area.len() >= 0x30
        && area.len() >= usize::from(u16_at(area, 0x14))
        && clients == 1
        && listed(free)
        && listed(used)
        && bits == u32_at(area, 0x10);
    match sensible {
        false => State::Damaged,
        true if version == KEPT => State::Kept,
        true if used == NO_CLIENT || u16_at(area, 14) & COMPLETE != 0 => State::Clean,
        true => State::Pending,
    }
}
