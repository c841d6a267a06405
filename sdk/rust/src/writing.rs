//! Whether what is mounted may still be changed.

use crate::{Error, ErrorKind, Result};

/// The right to change a file system. A change that fails after it has begun to change something leaves one that must
/// not be written back, so that everything after it is refused.
#[derive(Default)]
pub struct Writing {
    allowed: bool,
    broken: Option<String>,
}

impl Writing {
    /// `allowed`: mounted for writing.
    pub fn new(allowed: bool) -> Self {
        Self { allowed, broken: None }
    }

    /// Whether it was mounted for writing.
    pub fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// Before a change.
    pub fn begin(&self) -> Result<()> {
        if !self.allowed {
            return Err(Error::new(ErrorKind::Denied, "the file system is mounted for reading only"));
        }
        let broken = |why: &String| {
            let message = format!("an earlier change failed half-way, throw the changes away: {why}");
            Err(Error::new(ErrorKind::Failed, message))
        };
        self.broken.as_ref().map_or(Ok(()), broken)
    }

    /// After it; `changed`: it came so far that something is different.
    pub fn end<T>(&mut self, result: &Result<T>, changed: bool) {
        if let Err(error) = result
            && changed
        {
            self.broken = Some(error.message.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_stays_broken() {
        assert_eq!(Writing::default().begin().map_err(|error| error.kind), Err(ErrorKind::Denied));
        let mut writing = Writing::new(true);
        writing.end(&Err::<(), _>(Error::unsupported("not this")), false);
        writing.end(&Ok(()), true);
        assert_eq!(writing.begin(), Ok(()));
        writing.end(&Err::<(), _>(Error::unsupported("half of it")), true);
        let error = writing.begin().map_err(|error| (error.kind, error.message.contains("half of it")));
        assert_eq!(error, Err((ErrorKind::Failed, true)));
    }
}
