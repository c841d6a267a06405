//! Every public call of the reader on any bytes.

use format_vhdx::Vhdx;
use wherry_sdk::testing::image;

/// Probes, opens and reads the map of `bytes`, without and with a parent; whether it could be opened.
pub fn exercise(bytes: &[u8]) -> bool {
    image::exercise::<Vhdx>(bytes)
}
