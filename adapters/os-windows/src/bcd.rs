//! The boot configuration data store.
use crate::hives::Open;
use wherry_sdk::Result;

/// One line for each entry.
pub fn describe(_store: &mut Open<'_>) -> Result<Vec<String>> {
    Ok(Vec::new())
}
