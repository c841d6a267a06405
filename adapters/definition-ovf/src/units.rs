//! Amounts with programmatic units (DSP0004, annex C: `byte * 2^20`), and with the words of older writers (`MegaBytes`).

/// Bytes in one unit; none for a unit that is not understood.
pub fn factor(unit: &str) -> Option<u64> {
    let unit: String = unit.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
    let word = match unit.as_str() {
        "byte" | "bytes" => Some(1),
        "kilobytes" | "kilobyte" | "kb" | "kib" => Some(1 << 10),
        "megabytes" | "megabyte" | "mb" | "mib" => Some(1 << 20),
        "gigabytes" | "gigabyte" | "gb" | "gib" => Some(1 << 30),
        "terabytes" | "terabyte" | "tb" | "tib" => Some(1 << 40),
        _ => None,
    };
    word.or_else(|| {
        let (_, factor) = unit.split_once("byte*").filter(|(before, _)| before.is_empty())?;
        match factor.split_once('^') {
            Some((base, power)) => base.parse::<u64>().ok()?.checked_pow(power.parse().ok()?),
            None => factor.parse().ok(),
        }
    })
}

/// An amount in bytes.
pub fn bytes(amount: &str, unit: Option<&str>, usual: u64) -> Option<u64> {
    let factor = match unit {
        Some(unit) => factor(unit)?,
        None => usual,
    };
    amount.trim().parse::<u64>().ok()?.checked_mul(factor)
}
