//! Whether Windows will load the drivers of a package: their processors and their signatures.

use crate::decoration::{Architecture, Target};
use crate::import::Parcel;
use crate::resource;
use wherry_sdk::{Error, ErrorKind, Result};

/// Drivers among the files that a package copies.
fn drivers<'a>(parcel: &'a Parcel<'_>) -> impl Iterator<Item = (&'a str, &'a [u8])> {
    let copies = parcel.install.copies.iter();
    let drivers = copies.filter(|copy| copy.source.to_ascii_lowercase().ends_with(".sys"));
    drivers.filter_map(|copy| Some((copy.source.as_str(), parcel.files.get(&copy.source)?.as_slice())))
}

/// Makes sure that the drivers are programs, and for a system's processors. [`ErrorKind::Unsupported`]: they are for others.
pub fn check(parcel: &Parcel<'_>, target: &Target) -> Result<()> {
    for (name, bytes) in drivers(parcel) {
        let machine = resource::machine(bytes).ok_or_else(|| {
            let message = format!("{name} is damaged: it is no program (PE)");
            Error::new(ErrorKind::Corrupt, message)
        })?;
        if machine != target.architecture.machine() {
            let made = Architecture::of_machine(machine).map_or("other processors", Architecture::name);
            let message =
                format!("{name} is for {made}, and this Windows is for {}", target.architecture.name());
            return Err(Error::unsupported(message));
        }
    }
    Ok(())
}
