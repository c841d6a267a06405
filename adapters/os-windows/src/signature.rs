//! Signatures in drivers, as far as they tell whether Windows will load them (Microsoft, "Kernel-Mode Code Signing Requirements",
//! "Cross-Certificates for Kernel Mode Code Signing", "PE Format", "Windows Authenticode Portable Executable Signature Format").
//! Nothing is verified here: Windows does that.

/// `IMAGE_DIRECTORY_ENTRY_SECURITY`.
const SECURITY: usize = 4;
/// `WIN_CERT_TYPE_PKCS_SIGNED_DATA`.
const PKCS: u16 = 2;
/// Entries of a certificate table; usual is one.
const ENTRIES_MOST: usize = 16;
/// Begins the names of Microsoft's signers of drivers: `Microsoft Windows Hardware Compatibility Publisher` and others.
const MICROSOFT: &[u8] = b"Microsoft Windows";
/// Issuer of cross-certificates, one of which is in each signature for the kernel that is not Microsoft's.
const CROSS: &[u8] = b"Microsoft Code Verification Root";
/// pkcs7-signedData, szOID_NESTED_SIGNATURE, and the algorithms id-sha1, id-sha256 and sha256WithRSAEncryption, as DER has them.
const SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
const NESTED: &[u8] = b"\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x02\x04\x01";
const SHA1: &[u8] = b"\x06\x05\x2b\x0e\x03\x02\x1a";
const SHA256: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01";
const RSA_SHA256: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b";

/// Who stands behind a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// Microsoft: every Windows of its time loads it.
    Microsoft,
    /// A vendor with a cross-certificate of Microsoft's: refused with Secure Boot since Windows 10 1607.
    Cross,
    /// Neither: a test signature. Refused unless the Windows is in test mode.
    Other,
}

/// The PKCS #7 signature in a program; none where it has none.
pub fn embedded(program: &[u8]) -> Option<&[u8]> {
    let number = |at: usize| Some(u32::from_le_bytes(program.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let header = usize::try_from(number(0x3c)?).ok()?;
    let optional = header.checked_add(24)?;
    let directories = match number(optional)? as u16 {
        0x10b => 92,
        0x20b => 108,
        _ => return None,
    };
    let count = optional.checked_add(directories)?;
    if number(count)? as usize <= SECURITY {
        return None;
    }
    let entry = count.checked_add(4 + SECURITY * 8)?;
    let (start, size) = (number(entry)? as usize, number(entry.checked_add(4)?)? as usize);
    let mut table = program.get(start..start.checked_add(size)?)?;
    for _ in 0..ENTRIES_MOST {
        let length = u32::from_le_bytes(table.get(..4)?.try_into().ok()?) as usize;
        let kind = u16::from_le_bytes(table.get(6..8)?.try_into().ok()?);
        let bytes = table.get(8..length)?;
        if kind == PKCS && !bytes.is_empty() {
            return Some(bytes);
        }
        table = table.get(length.checked_next_multiple_of(8)?..)?;
    }
    None
}

fn place(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Whose a signature is: that of a program, or a catalog.
pub fn signer(signature: &[u8]) -> Signer {
    if place(signature, MICROSOFT).is_some() {
        Signer::Microsoft
    } else if place(signature, CROSS).is_some() {
        Signer::Cross
    } else {
        Signer::Other
    }
}

/// Whether SHA-2 is needed to check it. A Windows that does not know SHA-2 looks at the first signature alone, whose algorithm
/// stands at its beginning; further ones are nested in it, at its end.
pub fn needs_sha2(signature: &[u8]) -> bool {
    let start = place(signature, SIGNED_DATA).map_or(0, |at| at + SIGNED_DATA.len());
    let rest = signature.get(start..).unwrap_or_default();
    let first = rest.get(..place(rest, NESTED).unwrap_or(rest.len())).unwrap_or_default();
    let digest = match (place(first, SHA1), place(first, SHA256)) {
        (Some(old), Some(new)) => new < old,
        (old, new) => old.is_none() && new.is_some(),
    };
    digest || place(first, RSA_SHA256).is_some()
}
