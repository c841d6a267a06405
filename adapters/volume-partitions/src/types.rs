//! What the types of partitions are called, for people. Sources: UEFI specification 2.10, table 5-7; the Discoverable
//! Partitions Specification; util-linux's lists, against which the tests compare every entry.

/// Types of partitions that Windows divides further, as facts have them.
pub const DYNAMIC: &str = "42";
/// The same with a GPT: the volumes' bytes, and the database.
pub const DYNAMIC_DATA: &str = "af9b60a0-1431-4f62-bc68-3311714a69ad";
/// See above.
pub const DYNAMIC_METADATA: &str = "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3";
/// A disk of a pool.
pub const STORAGE_SPACES: &str = "e75caf8f-f680-4cee-afa3-b001e56efc2d";

/// As a GPT stores the types of the partitions that are made here, mixed-endian: C12A7328-F81F-11D2-BA4B-00A0C93EC93B (UEFI
/// specification 2.10, table 5-7).
pub const ESP: [u8; 16] =
    [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
/// 21686148-6449-6E6F-744E-656564454649 (GRUB manual, "BIOS installation").
pub const BIOS_BOOT: [u8; 16] = *b"Hah!IdontNeedEFI";

const GPT: &[(&str, &str)] = &[
    ("024dee41-33e7-11d3-9d69-0008c781f39f", "MBR partition scheme"),
    ("0fc63daf-8483-4772-8e79-3d69d8477de4", "Linux filesystem"),
    ("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "Linux swap"),
    ("21686148-6449-6e6f-744e-656564454649", "BIOS boot"),
    ("3b8f8425-20e0-4f3b-907f-1a25a76f98e8", "Linux server data"),
    ("4d21b016-b534-45c2-a9fb-5c16e091fd2d", "Linux variable data"),
    ("44479540-f297-41b2-9af7-d131d5f0458a", "Linux root (x86)"),
    ("4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "Linux root (x86-64)"),
    ("5808c8aa-7e8f-42e0-85d2-e1e90434cfb3", "Microsoft LDM metadata"),
    ("6a85cf4d-1dd2-11b2-99a6-080020736631", "Solaris root"),
    ("6a898cc3-1dd2-11b2-99a6-080020736631", "Solaris /usr & Apple ZFS"),
    ("7ec6f557-3bc5-4aca-b293-16ef5df639d1", "Linux temporary data"),
    ("8484680c-9521-48c6-9c11-b0720656f69e", "Linux /usr (x86-64)"),
    ("933ac7e1-2eb4-4f13-b844-0e14e2aef915", "Linux home"),
    ("a19d880f-05fc-4d3b-a006-743f0f84911e", "Linux RAID"),
    ("af9b60a0-1431-4f62-bc68-3311714a69ad", "Microsoft LDM data"),
    ("b921b045-1df0-41c3-af44-4c6f280d3fae", "Linux root (ARM-64)"),
    ("bc13c2ff-59e6-4262-a352-b275fd6f7172", "Linux extended boot"),
    ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "EFI System"),
    ("de94bba4-06d1-4d40-a16a-bfd50179d6ac", "Windows recovery environment"),
    ("e3c9e316-0b5c-4db8-817d-f92df00215ae", "Microsoft reserved"),
    ("e6d6d379-f507-44c2-a23c-238f2a3df928", "Linux LVM"),
    ("e75caf8f-f680-4cee-afa3-b001e56efc2d", "Microsoft Storage Spaces"),
    ("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "Microsoft basic data"),
];

const MBR: &[(u8, &str)] = &[
    (0x01, "FAT12"),
    (0x04, "FAT16 <32M"),
    (0x06, "FAT16"),
    (0x07, "HPFS/NTFS/exFAT"),
    (0x0b, "W95 FAT32"),
    (0x0c, "W95 FAT32 (LBA)"),
    (0x0e, "W95 FAT16 (LBA)"),
    (0x12, "Compaq diagnostics"),
    (0x27, "Hidden NTFS WinRE"),
    (0x42, "Windows dynamic disk"),
    (0x82, "Linux swap / Solaris"),
    (0x83, "Linux"),
    (0x88, "Linux plaintext"),
    (0x8e, "Linux LVM"),
    (0xa5, "FreeBSD"),
    (0xbe, "Solaris boot"),
    (0xbf, "Solaris"),
    (0xea, "Linux extended boot"),
    (0xef, "EFI (FAT-12/16/32)"),
    (0xfb, "VMware VMFS"),
    (0xfd, "Linux raid autodetect"),
];

/// The name of a GPT type, given in lower case.
pub fn gpt(guid: &str) -> Option<&'static str> {
    GPT.iter().find(|(one, _)| *one == guid).map(|(_, name)| *name)
}

/// The name of an MBR type.
pub fn mbr(kind: u8) -> Option<&'static str> {
    MBR.iter().find(|(one, _)| *one == kind).map(|(_, name)| *name)
}
