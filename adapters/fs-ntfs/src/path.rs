//! From paths to files.

use crate::attribute::{Attribute, DATA};
use crate::file::File;
use crate::name::LENGTH_MOST;
use crate::volume::{ROOT, Volume};
use std::rc::Rc;
use wherry_sdk::Result;
use wherry_sdk::path::{not_a_directory, not_found, split_last};

/// What a directory says of a name: the file's reference, and the name as it is stored.
pub type Found = (u64, Vec<u16>);

/// What a path means: a file, or one of its streams.
pub struct Target {
    pub file: Rc<File>,
    /// empty is the file's own content
    pub stream: Vec<u16>,
}

impl Target {
    /// The content, if there is some.
    pub fn data(&self) -> Option<&Attribute> {
        self.file.get(DATA, &self.stream)
    }
}

/// Where a path would be: the directory, the last name, and the file if there is one.
pub struct Place<'p> {
    pub directory: Rc<File>,
    pub name: &'p str,
    /// the file, and the name as it is stored
    pub found: Option<(Rc<File>, Vec<u16>)>,
    /// the stream that the path means, where it is not the file itself
    pub stream: Vec<u16>,
}

/// The names in an absolute path. A stream may be named behind a colon.
fn components(path: &str) -> Result<Vec<&str>> {
    wherry_sdk::path::components(path, |name| name.encode_utf16().count() <= 2 * LENGTH_MOST + 1)
}

fn utf16(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

impl Volume<'_> {
    fn step(&mut self, path: &str, directory: u64, name: &str) -> Result<Option<Found>> {
        if let Some(known) = self.names.get(directory, name) {
            return Ok(known);
        }
        let file = self.file(directory)?;
        if !file.is_directory() {
            return Err(not_a_directory(path, name));
        }
        let found = self.find(&file, &utf16(name)).map_err(|error| error.within(path))?;
        self.names.add(directory, name, found.clone());
        Ok(found)
    }

    fn walk_down(&mut self, path: &str, names: &[&str]) -> Result<Option<Rc<File>>> {
        let mut file = self.file(ROOT)?;
        for name in names {
            let Some((reference, _)) = self.step(path, file.number, name)? else { return Ok(None) };
            file = self.referred(reference).map_err(|error| error.within(path))?;
        }
        Ok(Some(file))
    }

    /// What is at `path`, which must exist.
    pub fn resolve(&mut self, path: &str) -> Result<Target> {
        let names = components(path)?;
        if let Some(file) = self.walk_down(path, &names)? {
            return Ok(Target { file, stream: Vec::new() });
        }
        let (last, upper) = names.split_last().ok_or_else(|| not_found(path))?;
        let (name, stream) = last.split_once(':').ok_or_else(|| not_found(path))?;
        let names: Vec<&str> =
            upper.iter().copied().chain(Some(name).filter(|name| !name.is_empty())).collect();
        let file = self.walk_down(path, &names)?.ok_or_else(|| not_found(path))?;
        let stream = self.stream_name(&file, stream).ok_or_else(|| not_found(path))?;
        Ok(Target { file, stream })
    }

    /// A stream's name as it is stored.
    fn stream_name(&self, file: &File, name: &str) -> Option<Vec<u16>> {
        let upper = self.upcase.name(&utf16(name));
        let streams = file.attributes.iter().filter(|one| one.kind == DATA && !one.name.is_empty());
        let mut streams = streams.map(|one| &one.name);
        streams.find(|stored| self.upcase.name(stored) == upper).cloned()
    }

    /// Where `path` is or would be. A name with a colon is a stream's where no file has it.
    pub fn locate<'p>(&mut self, path: &'p str) -> Result<Place<'p>> {
        let names = components(path)?;
        let (name, upper) = split_last(&names)?;
        let directory = self.walk_down(path, upper)?.ok_or_else(|| not_found(path))?;
        let found = self.step(path, directory.number, name)?;
        let mut place = Place { directory, name, found: None, stream: Vec::new() };
        place.found = found.map(|found| self.opened(path, found)).transpose()?;
        if let (None, Some((base, stream))) = (&place.found, name.split_once(':'))
            && !stream.is_empty()
            && let Some(found) = self.step(path, place.directory.number, base)?
        {
            let (file, stored) = self.opened(path, found)?;
            place.stream = self.stream_name(&file, stream).unwrap_or_else(|| utf16(stream));
            place.found = Some((file, stored));
        }
        Ok(place)
    }

    fn opened(&mut self, path: &str, (reference, name): Found) -> Result<(Rc<File>, Vec<u16>)> {
        let file = self.referred(reference).map_err(|error| error.within(path))?;
        Ok((file, name))
    }
}
