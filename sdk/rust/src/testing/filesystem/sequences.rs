//! How long the tests look at single changes.

/// The environment's WHERRY_SEQUENCES: so many sequences of random changes in every flavour of a file system, after each
/// single change of which its own checker looks. None where it is not set: a test then takes few sequences in few flavours.
///
/// # Panics
/// If it is no number.
pub fn sequences() -> Option<u64> {
    let count = std::env::var("WHERRY_SEQUENCES").ok()?;
    Some(count.parse().unwrap_or_else(|_| panic!("WHERRY_SEQUENCES is a number, not {count}")))
}
