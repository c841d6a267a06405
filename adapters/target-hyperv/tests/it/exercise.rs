//! What a host may answer, driven to its end.

use crate::winrm::Winrm;
use target_hyperv::wsman::{Access, run};

/// Bytes that stand for the output of every script.
const PRINTED: &str = "switch=LAN";

/// Replaces each answer of a run by these bytes, once as an answer and once as a fault: it ends, with an error or with what
/// the script really printed.
pub fn exercise(bytes: &[u8]) {
    let access = Access { url: "https://hv1:5986/wsman".into(), secret: "winrm".into(), seed: "s".into() };
    for number in 1..=7 {
        for status in [200, 500] {
            let host = Winrm::printing(&[PRINTED]);
            *host.replaced.borrow_mut() = Some((number, status, bytes.to_vec()));
            let found = run(&host, &access, "script");
            assert!(host.asked.borrow().len() <= 9, "{:?}", host.asked.borrow());
            if let Err(error) = found {
                assert!(
                    error.message.len() < 1000 && !error.message.chars().any(char::is_control),
                    "{error:?}"
                );
            }
        }
    }
}
