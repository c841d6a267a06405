//! Disks against models of them.

#[cfg(test)]
mod codec;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod mapped;
#[cfg(test)]
mod model;
