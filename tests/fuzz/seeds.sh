#!/bin/sh
# Seeds for the fuzz targets, made by the real tools: seeds.sh DIRECTORY makes DIRECTORY/TARGET/*. Small, so that many
# runs fit into a second. `cargo xtask fuzz` runs it once; its packages are those of `cargo xtask test`.
set -eu
out=$1
here=$(cd "$(dirname "$0")/../.." && pwd)
PATH=$PATH:/sbin:/usr/sbin
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

folder() {
    mkdir -p "$out/$1"
    cd "$out/$1"
}

blank() {
    rm -f "$1"
    truncate -s "$2" "$1"
}

# Everything a small guest tree has, for the file systems and archives.
tree=$scratch/tree
mkdir -p "$tree/etc" "$tree/boot/grub" "$tree/many"
printf 'UUID=0b2c4d6e-0000-4000-8000-000000000001 / ext4 errors=remount-ro 0 1\n/dev/sda5 none swap sw 0 0\n' >"$tree/etc/fstab"
printf 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n' >"$tree/etc/os-release"
ln -s ../etc/fstab "$tree/boot/link"
ln -s /a/very/long/target/that/does/not/fit/into/an/inode/of/sixty/bytes/at/all "$tree/boot/long"
ln "$tree/etc/fstab" "$tree/etc/hard"
head -c 70000 /dev/zero | tr '\0' 'x' >"$tree/boot/large"
for n in $(seq 40); do : >"$tree/many/a-name-that-takes-some-room-$n"; done

# Disks of 48 KiB, in which sfdisk's alignment has no room: it is told to do without.
folder partitions
mbr() {
    blank "$1" 48K
    printf "label: dos\ngrain: 512\n$2" | sfdisk --quiet --no-reread "$1" >/dev/null
}
mbr logical 'start=8,size=8,type=83,bootable\nstart=20,size=70,type=5\nstart=24,size=4,type=82\nstart=40,size=8,type=8e\n'
mbr two-extended 'start=1,size=8,type=c\nstart=10,size=20,type=f\nstart=12,size=4,type=7\n'
mbr protective 'start=1,size=95,type=ee\n'
blank gpt 48K
sgdisk -a 1 --new=1:34:40 --typecode=1:ef00 --change-name=1:ESP --new=2:42:60 gpt >/dev/null
cp gpt hybrid
sgdisk --hybrid=1 hybrid >/dev/null
cp gpt backup
printf X | dd of=backup bs=1 seek=520 conv=notrunc status=none

# The text of LVM's metadata; the target puts the physical volume around it.
folder lvm2
cat >linear <<'TEXT'
contents = "Text Format Volume Group"
version = 1
vg {
id = "q2Dx9L-cY8q-Nf0a-5uVJ-mVnS-Q1AR-OzZr8c"
seqno = 3
format = "lvm2"
status = ["RESIZEABLE", "READ", "WRITE"]
flags = []
extent_size = 128
physical_volumes {
pv0 {
id = "A_____-____-____-____-____-____-______"
device = "/dev/sda2"
status = ["ALLOCATABLE"]
flags = []
dev_size = 4096
pe_start = 2048
pe_count = 16
}
}
logical_volumes {
root {
id = "s9yZ7q-aaaa-bbbb-cccc-dddd-eeee-ffffff"
status = ["READ", "WRITE", "VISIBLE"]
segment_count = 2
segment1 {
start_extent = 0
extent_count = 4
type = "striped"
stripe_count = 1
stripes = ["pv0", 0]
}
segment2 {
start_extent = 4
extent_count = 4
type = "striped"
stripe_count = 2
stripe_size = 128
stripes = ["pv0", 8, "pv0", 12]
}
}
}
}
TEXT
sed 's/"striped"/"thin-pool"/' linear >thin
sed 's/"striped"/"mirror"/' linear >mirror
# A physical volume of 128 KiB; the target makes its checksums right. Numbers are put in as little-endian bytes.
put() {
    printf "$2" | dd of=volume bs=1 seek="$1" conv=notrunc status=none
}
blank volume 128K
sed 's/extent_size = 128/extent_size = 8/; s/pe_start = 2048/pe_start = 128/; s/dev_size = 4096/dev_size = 256/; s/stripe_size = 128/stripe_size = 4/' linear >text
length=$(wc -c <text)
put 512 'LABELONE\001'
put 532 '\040\000\000\000LVM2 001A_______________________________'
put 576 '\000\000\002'
put 584 '\000\000\001'
put 616 '\000\020\000\000\000\000\000\000\000\360'
put 4100 ' LVM2 x[5A%%r0N*>\001'
put 4120 '\000\020\000\000\000\000\000\000\000\360'
put 4136 '\000\002'
put 4144 "$(printf '\\%03o\\%03o' $((length % 256)) $((length / 256)))"
dd if=text of=volume bs=512 seek=9 conv=notrunc status=none
rm text

# The database of one simple volume, as the target puts it on disks.
folder ldm
python3 - <<'PYTHON'
from struct import pack
def sized(value):
    return bytes([len(value)]) + value
group = b"03c0c4fc-8b6f-402b-9431-4be2e5823b1c"
records = [
    (0, 0x35, sized(b"\5") + sized(b"Dg0") + sized(group) + bytes(20)),
    (0, 0x34, sized(b"\1") + sized(b"Disk1") + sized(b"d17c2c04-6afc-46c3-84b7-cdc2f3950001") + sized(b"SCSI" * 10) + bytes(12)),
    (2, 0x51, sized(b"\2") + sized(b"V") + sized(b"gen") + b"\0ACTIVE" + bytes(8) + b"\3\1\1\0\0\0\x11" + sized(b"\1")
        + bytes(16) + sized(b"\1\0") + b"\0\0\0\0\7" + group[:16] + sized(b"E:")),
    (0, 0x32, sized(b"\3") + sized(b"V-1") + sized(b"ACTIVE") + b"\2\0\0\0\0" + sized(b"\1") + bytes(16) + sized(b"\2") + b"\0"),
    (0, 0x33, sized(b"\4") + sized(b"D") + bytes(28) + sized(b"\1\0") + sized(b"\3") + sized(b"\1")),
]
blocks = b""
for number, (flags, kind, fields) in enumerate(records, 1):
    record = pack(">HBBI", 0, flags, kind, len(fields)) + fields
    pieces = [record[at : at + 112] for at in range(0, len(record), 112)]
    for index, piece in enumerate(pieces):
        block = b"VBLK" + pack(">IIHH", len(blocks) // 128 + 4, number, index, len(pieces)) + piece
        blocks += block.ljust(128, b"\0")
contents = b"TOCBLOCK" + bytes(28) + b"config\0\0\0\0" + pack(">QQ", 17, 1481)
header = b"VMDB" + pack(">IIIHHH", 10, 128, 512, 1, 4, 10) + b"Dg0".ljust(31, b"\0") + group.ljust(64, b"\0")
header += pack(">QQIIII", 1, 1, 1, 1, 1, 1)
area = (bytes(512) + contents).ljust(17 * 512, b"\0") + header.ljust(512, b"\0") + blocks
open("database", "wb").write(area)
PYTHON

folder qcow2
qemu-img create -q -f raw "$scratch/raw" 256K
printf 'some data' | dd of="$scratch/raw" bs=1 seek=70000 conv=notrunc status=none
for options in compat=0.10 compat=1.1 compat=1.1,cluster_size=512 compat=1.1,cluster_size=4096,lazy_refcounts=on \
    compat=1.1,refcount_bits=1 compat=1.1,extended_l2=on,cluster_size=16384; do
    qemu-img convert -q -f raw -O qcow2 -o "$options" "$scratch/raw" "plain-$options"
done
qemu-img convert -q -c -f raw -O qcow2 -o cluster_size=512 "$scratch/raw" deflate
qemu-img convert -q -c -f raw -O qcow2 -o cluster_size=512,compression_type=zstd "$scratch/raw" zstd
qemu-img create -q -f qcow2 -u -b /etc/shadow -F raw backing 1M
cp plain-compat=1.1,cluster_size=512 snapshot
qemu-img snapshot -q -c one snapshot

folder vmdk
for options in monolithicSparse streamOptimized; do
    qemu-img convert -q -f raw -O vmdk -o "subformat=$options" "$scratch/raw" "$options"
done
printf '# Disk DescriptorFile\nversion=1\nCID=00000001\nparentCID=00000002\nparentFileNameHint="base.vmdk"\ncreateType="twoGbMaxExtentSparse"\nRW 128 SPARSE "a-s001.vmdk"\nRW 128 FLAT "a-f002.vmdk" 0\nRW 64 ZERO\n' >descriptor

# Without the blocks' data, all of which need not be there.
folder vdi
qemu-img convert -q -f raw -O vdi "$scratch/raw" large
head -c 1100K large | head -c 2048 >first
qemu-img create -q -f vdi empty 3M
head -c 2048 empty >none
rm large empty

folder vhd
qemu-img create -q -f vpc -o force_size=on dynamic 6M
qemu-img create -q -f vpc -o subformat=fixed,force_size=on fixed 2K
# Two blocks with their bitmaps, a footer behind them, and the same as a difference.
head -c 2048 dynamic >blocks
printf '\000\000\000\004\000\000\000\005\377\377\377\377' | dd of=blocks bs=1 seek=1536 conv=notrunc status=none
printf '\377\017\252%0509d\377%0511d' 0 0 >>blocks
tail -c 512 dynamic >>blocks
LC_ALL=C sed 's/conectix\(.\{52\}\)\x00\x00\x00\x03/conectix\1\x00\x00\x00\x04/g' blocks >difference

# Pieces as adapters/format-vhdx/tests/it/made.rs puts them together; the block allocation table names a block at 4 MiB.
folder vhdx
qemu-img create -q -f vhdx -o block_size=1M "$scratch/vhdx" 8M
piece() {
    dd if="$scratch/vhdx" bs=1 skip="$1" count="$2" status=none
}
{
    piece 131072 80
    piece 196608 96
    printf '\006\000\100\000\000\000\000\000'
    piece 2097160 520
    piece 3145728 256
    piece 3211264 256
} >dynamic
guid() {
    printf '\007\007\007\007\007\007\007\007\007\007\007\007\007\007\007\007'
}
# A log of one entry, which writes a sector of the table: header, descriptor, data sector.
{
    head -c 48 dynamic
    guid
    tail -c +65 dynamic
    head -c 512 /dev/zero
    printf 'loge\000\000\000\000\000\040\000\000\000\000\000\000\001\000\000\000\000\000\000\000\001\000\000\000\000\000\000\000'
    guid
    head -c 16 /dev/zero
    printf 'desc\000\000\000\000\006\000\100\000\000\000\000\000\000\000\040\000\000\000\000\000\001\000\000\000\000\000\000\000'
    head -c 4000 /dev/zero
    printf 'data'
    head -c 4088 /dev/zero
    printf '\001\000\000\000'
} >log
rm "$scratch/vhdx"

folder ext4
for options in '-t ext2 -b 1024' '-t ext3 -b 1024 -O ^has_journal' '-t ext4 -b 1024 -O ^has_journal' \
    '-t ext4 -b 1024 -O ^has_journal,inline_data,metadata_csum,64bit' '-t ext4 -b 4096 -O ^has_journal' \
    '-t ext4 -b 1024 -O ^has_journal,^extents,^64bit,^metadata_csum,^flex_bg' '-t ext4 -b 1024 -J size=1'; do
    name=$(printf %s "$options" | tr -dc 'a-z0-9,_^')
    size=640K
    case $options in *-J*) size=3M ;; esac
    blank "$name" $size
    # Unquoted on purpose: these are words.
    mke2fs -q -F -N 64 -d "$tree" $options "$name" 2>/dev/null || rm "$name"
done

# A FAT32 this small is against the specification; mtools takes it for a FAT12, so nothing is put into it.
folder fat
for options in '12 1 64' '12 8 256' '16 1 2200' '32 1 600'; do
    set -- $options
    mkfs.vfat -F "$1" -s "$2" -C "fat$1-$2" "$3" >/dev/null 2>&1
    [ "$1" != 32 ] || continue
    mmd -i "fat$1-$2" ::/EFI ::/EFI/debian
    mcopy -i "fat$1-$2" "$tree/etc/fstab" '::/EFI/debian/A name with many letters.conf'
    mcopy -i "fat$1-$2" "$tree/etc/os-release" ::/SHORT.TXT
done

# A file's chunks with their table, which come first in a WIM, and how long the file is in front.
folder ntfs-packed
mkdir "$scratch/wim"
seq 1500 >"$scratch/wim/text"
for options in 'xpress 4096' 'xpress 8192' 'xpress 16384' 'lzx 32768'; do
    set -- $options
    wimcapture "$scratch/wim" "$scratch/image.wim" --compress="$1" --chunk-size="$2" --no-acls >/dev/null 2>&1
    { printf '\000\000\030\371'; dd if="$scratch/image.wim" bs=208 skip=1 status=none; } >"$1-$2"
    rm "$scratch/image.wim"
done

folder ntfs-states
blank log 12K
printf 'RSTR\036\000\011\000' | dd of=log bs=1 conv=notrunc status=none
printf '\000\020\000\000\000\020\000\000\060\000\001\000\001\000\007\000' | dd of=log bs=1 seek=16 conv=notrunc status=none
printf 'HIBR' >asleep

folder bitlocker
blank bitlocker 12K
printf '\353\130\220-FVE-FS-\000\002\010' | dd of=bitlocker bs=1 conv=notrunc status=none
printf '\073\326\147\111\051\056\330\112\203\231\366\243\071\343\320\000\000\020' | dd of=bitlocker bs=1 seek=160 conv=notrunc status=none
printf '%s' '-FVE-FS-' | dd of=bitlocker bs=1 seek=4096 conv=notrunc status=none

folder luks
for options in luks1 'luks2 --pbkdf pbkdf2 --label x'; do
    blank "$scratch/luks" 24M
    # Unquoted on purpose: these are words.
    printf key | cryptsetup luksFormat -q --pbkdf-force-iterations 1000 --key-file - "$scratch/luks" --type $options
    head -c 40000 "$scratch/luks" >"${options%% *}"
done

folder luks-layout
for seed in luks1 luks2; do
    cp "$out/luks/$seed" "$seed"
done

# An area has at least ten pages.
folder swap
for page in 4096 8192; do
    blank swap$page 100K
    mkswap -q -p $page -L x swap$page 2>/dev/null
done

folder initramfs
cd "$tree"
find etc boot/link | cpio --quiet -o -H newc >"$out/initramfs/cpio"
cd "$out/initramfs"
gzip -9 <cpio >gzip
zstd -q <cpio >zstd
xz --check=crc32 <cpio >xz
lz4 -q -l <cpio >lz4
xz --format=lzma <cpio >lzma
bzip2 <cpio >bzip2 2>/dev/null || rm -f bzip2
lzop -9 <cpio >lzop
cat cpio gzip >early
(
    mkdir -p "$scratch/nash" && cd "$scratch/nash"
    printf '#!/bin/nash\nmkblkdevs\ninsmod /lib/jbd.ko\nmkblkdevs\nlvm vgscan\nmkrootdev -t ext3 /dev/sda1\nswitchroot\n' >init
    echo init | cpio --quiet -o -H newc
) >nash

folder os-linux-text
cp "$tree/etc/fstab" fstab
cp "$tree/etc/os-release" os-release
printf 'menuentry "Debian" --class debian {\n\tsearch --no-floppy --fs-uuid --set=root 0b2c\n\tlinux /boot/vmlinuz-6.1.0-1-amd64 root=/dev/sda1 ro quiet resume=/dev/sda5\n\tinitrd /boot/initrd.img-6.1.0-1-amd64\n}\n' >grub.cfg
printf 'title Fedora\nversion 6.5\nlinux /vmlinuz-6.5\ninitrd /initramfs-6.5.img\noptions root=/dev/mapper/fedora-root ro rd.lvm.lv=fedora/root\n' >bls.conf
printf 'SUBSYSTEM=="net", ACTION=="add", ATTR{address}=="00:11:22:33:44:55", NAME="eth0"\n' >70-persistent-net.rules
printf 'auto lo\niface lo inet loopback\nallow-hotplug enp0s25\niface enp0s25 inet static\n  address 10.0.0.2/24\n' >interfaces
printf 'cryptroot /dev/sda3 none luks,discard\n' >crypttab
printf 'default linux\nlabel linux\n kernel /vmlinuz\n append initrd=/initrd.img root=/dev/sda1\n' >extlinux.conf
printf 'boot=/dev/sda\nroot=/dev/sda1\nimage=/boot/vmlinuz\n  label=a\n  initrd=/boot/initrd\n  append="resume=/dev/sda5"\n' >lilo.conf
printf 'alias eth0 pcnet32\nalias scsi_hostadapter mptspi\n' >modprobe.conf
printf 'id:3:initdefault:\nco:2345:respawn:/sbin/agetty xvc0 9600 vt100-nav\n#1:2345:respawn:/sbin/mingetty tty1\n' >inittab

folder os-linux-lent
head -c 131072 /usr/lib/grub/x86_64-efi/monolithic/grubx64.efi >grubx64.efi
for file in boot.img diskboot.img kernel.img lzma_decompress.img moddep.lst ext2.mod; do
    cp "/usr/lib/grub/i386-pc/$file" .
done

folder journal
printf '\011\000\007\000\000\000\000\000\000\000\011\002\000\000\001\000\000\000\000\000' >framed

folder ovf
packages=$here/adapters/definition-ovf/tests/it/packages
cp "$packages"/*.ovf .
printf 'SHA256(mail.ovf)= %064d\nSHA1 (mail-disk001.vmdk) = %040d\n' 1 2 >mail.mf
printf disk >mail-disk001.vmdk
for format in v7 ustar gnu posix; do
    tar -cf "$format" --format "$format" --transform s,virtualbox,mail, virtualbox.ovf mail.mf mail-disk001.vmdk
done
rm mail-disk001.vmdk

# What an NBD server says from its greeting on: states, data, a hole, an error.
folder nbd
python3 - <<'PYTHON'
from struct import pack
def option(number, kind, data=b""):
    return pack(">QIII", 0x3e889045565a9, number, kind, len(data)) + data
def start(flags, block):
    said = b"NBDMAGICIHAVEOPT" + pack(">H", 3) + option(8, 1)
    for number, name in ((1, b"base:allocation"), (2, b"qemu:dirty-bitmap:b")):
        said += option(10, 4, pack(">I", number) + name)
    said += option(10, 1)
    said += option(7, 3, pack(">HQH", 0, 1 << 20, flags)) + option(7, 3, pack(">HIII", 3, block, 4096, 1 << 20))
    return said + option(7, 1)
def chunk(cookie, kind, data, done=1):
    return pack(">IHHQI", 0x668e33ef, done, kind, cookie, len(data)) + data
half = pack(">IIII", 1 << 19, 0, 1 << 19, 3)
for name, flags, block in (("one", 0x5, 1), ("many", 0x105, 512)):
    said = start(flags, block) + chunk(1, 5, pack(">I", 1) + half) + chunk(2, 5, pack(">I", 2) + half)
    at = (1 << 20) - 5000
    read = chunk(3, 1, pack(">Q", at) + b"x" * 1000, 0) + chunk(3, 2, pack(">QI", at + 1000, 4000))
    open(name, "wb").write(said + read + chunk(4, 0, b""))
    open(name + "-error", "wb").write(said + chunk(3, 0x8001, pack(">IH", 5, 4) + b"oops") + chunk(4, 0, b""))
open("refused", "wb").write(start(0x5, 1)[:-20] + option(7, 0x80000006, b"no such export"))
PYTHON

# Small hives: keys and values of every kind by hivex, and boot configurations, in a hive of a root alone.
folder registry
python3 - <<'PYTHON'
from struct import pack, unpack
for minor in (3, 5):
    base = b"regf" + pack("<II8xIIIIIII", 7, 7, 1, minor, 0, 1, 32, 4096, 1)
    base = base.ljust(508, b"\0")
    total = 0
    for word in unpack("<127I", base):
        total ^= word
    base = (base + pack("<I", total)).ljust(4096, b"\0")
    none = 0xffffffff
    root = pack("<i2sHQIIIIIIIIIIIIIIIHH", -96, b"nk", 0x2c, 0, 0, 0, 0, 0, none, none, 0, none, 128, none, 0, 0, 0, 0, 0, 4, 0)
    root = (root + b"ROOT").ljust(96, b"\0")
    security = bytes.fromhex("010004800000000000000000000000001400000002000800000000 00".replace(" ", ""))
    item = pack("<i2sHIIII", -64, b"sk", 0, 128, 128, 1, len(security)) + security
    item = item.ljust(64, b"\0")
    start = pack("<4sIIQQI", b"hbin", 0, 4096, 0, 0, 0) + root + item
    start += pack("<i", 4096 - len(start))
    open("hive-%d" % minor, "wb").write(base + start.ljust(4096, b"\0"))
PYTHON
printf 'Windows Registry Editor Version 5.00\n\n[X\\A]\n"n"=dword:00000001\n"s"="text"\n"b"=hex:01,02,03,04,05,06\n\n[X\\A\\B]\n@="x"\n\n[X\\C]\n\n[X\\Objects]\n\n[X\\Objects\\{9dea862c-5cdd-4e70-acc1-f32b344d4795}]\n\n[X\\Objects\\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\\Elements]\n\n[X\\Objects\\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\\Elements\\25000004]\n"Element"=hex:1e,00,00,00,00,00,00,00\n\n[X\\Objects\\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\\Elements\\11000001]\n"Element"=hex:%s\n' \
    "$(printf '00,%.0s' $(seq 16))06,00,00,00,00,00,00,00,48$(printf ',00%.0s' $(seq 63))" >"$scratch/reg"
for minor in 3 5; do
    cp "hive-$minor" "keys-$minor"
    hivexregedit --merge --prefix X "keys-$minor" "$scratch/reg"
done

# Two superblocks of an array one after the other, as tests/it/fixtures of volume-md has them.
folder md
for name in raid0-alternate raid1-stale raid5-la raid10-f2-odd raid10-o2 raid5-reshape; do
    mkdir "$scratch/md"
    tar --zstd -xf "$here/adapters/volume-md/tests/it/fixtures/$name.tar.zst" -C "$scratch/md"
    for member in 0 1; do
        python3 - "$scratch/md/$member" >>"$name" <<'PYTHON'
import sys
member = open(sys.argv[1], "rb").read()
places = [4096, 0, (len(member) - 8192) & ~4095, (len(member) & ~65535) - 65536]
at = next(at for at in places if member[at:at + 4] == b"\xfc\x4e\x2b\xa9")
sys.stdout.buffer.write(member[at:at + 4096])
PYTHON
    done
    rm -r "$scratch/md"
done

folder vtoc
blank disk 64M
printf 'label: sun\nstart=0,size=32130,type=2\nstart=32130,size=16065,type=3\nstart=0,size=128520,type=5\n' |
    sfdisk --quiet --no-reread disk >/dev/null
head -c 512 disk >sparc
rm disk
python3 - <<'PYTHON'
from struct import pack
label = bytes(12) + pack("<II8sHH40x", 0x600ddeee, 1, b"disk", 512, 16)
for tag, flag, start, size in ((2, 0, 16, 100), (3, 1, 116, 50), (5, 1, 0, 200), (1, 1, 0, 16)):
    label += pack("<HHII", tag, flag, start, size)
open("x86", "wb").write(label.ljust(508, b"\0") + pack("<HH", 0xdabe, 0))
PYTHON

# What a vSphere server answers; the first byte is the call's place in the list of tests/it/replay.rs.
folder vsphere
python3 - <<'PYTHON'
def answer(name, place, method, content):
    xsi = "http://www.w3.org/2001/XMLSchema-instance"
    body = f'<E xmlns:xsi="{xsi}"><Body><{method}Response>{content}</{method}Response></Body></E>'
    open(name, "wb").write(bytes([place]) + body.encode())
def objects(*all):
    text = ""
    for kind, number, properties in all:
        sets = "".join(f"<propSet><name>{key}</name>{value}</propSet>" for key, value in properties)
        text += f'<objects><obj type="{kind}">{number}</obj>{sets}</objects>'
    return f"<returnval>{text}</returnval>"
get = "RetrievePropertiesEx"
folder = '<val xsi:type="ManagedObjectReference" type="Folder">group-v1</val>'
answer("datacenter", 4, get, objects(("Datacenter", "d-1", [("name", "<val>DC0</val>"), ("vmFolder", folder)])))
answer("task", 14, get, objects(("Task", "t-1", [("info", "<val><state>success</state><result/></val>")])))
url = "<deviceUrl><importKey>/m/ParaVirtualSCSIController0:1</importKey><url>https://*/nfc/1</url><disk>true</disk></deviceUrl>"
info = "<val>" + url * 3 + "</val>"
answer("lease", 10, get, objects(("HttpNfcLease", "l-1", [("state", "<val>ready</val>"), ("info", info)])))
answer("found", 8, "FindByUuid", '<returnval type="VirtualMachine">vm-1</returnval>')
answer("update", 12, "WaitForUpdatesEx", "<returnval><version>7</version></returnval>")
fault = '<Fault><faultstring>No</faultstring><detail><a xsi:type="NoPermission"/></detail></Fault>'
open("fault", "wb").write(b"\x09" + f'<E xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><Body>{fault}</Body></E>'.encode())
PYTHON

# Driver packages, and disks that they come on.
folder inf
cp "$here"/adapters/os-windows/tests/it/fixtures/*.inf .
folder cabinet
head -c 30000 "$tree/etc/fstab" >atapi.sys
gcab --create stored.cab atapi.sys && gcab --create --zip zip.cab atapi.sys
cp stored.cab lzx.cab && printf "\003\017" | dd of=lzx.cab bs=1 seek=42 conv=notrunc status=none
mscompress atapi.sys && rm atapi.sys
folder iso9660
for options in "-R" "-J --norock" "--norock" "-iso-level 4 -J --norock"; do
    # shellcheck disable=SC2086
    xorrisofs -quiet -no-pad -o "iso$(echo "$options" | tr -d ' ')" $options "$tree" 2>/dev/null
done
# Nobody makes High Sierra any more: the descriptor's fields move, the records' flags come a byte earlier.
genisoimage -quiet -iso-level 2 -no-pad -o plain "$tree" 2>/dev/null
python3 - <<'PYTHON'
import struct
disk = bytearray(open('plain', 'rb').read())
def record(at):
    disk[at + 24:at + 26] = disk[at + 25:at + 26] + b'\0'
def directory(place, size):
    at, first = place * 2048, 2
    while at < place * 2048 + size:
        if not disk[at]:
            at = (at // 2048 + 1) * 2048
            continue
        if disk[at + 25] & 2 and not first:
            directory(*struct.unpack_from('<I4xI', disk, at + 2))
        record(at)
        first -= bool(first)
        at += disk[at]
directory(*struct.unpack_from('<I4xI', disk, 16 * 2048 + 158))
iso = bytes(disk[16 * 2048:17 * 2048])
for number, kind in ((16, 1), (17, 255)):
    disk[number * 2048:(number + 1) * 2048] = struct.pack('<I', number) + struct.pack('>IB', number, kind) + b'CDROM\x01' + bytes(2033)
for to, at, end in ((48, 40, 72), (88, 80, 88), (128, 120, 140), (148, 140, 144), (180, 156, 190)):
    disk[32768 + to:32768 + to + end - at] = iso[at:end]
record(32768 + 180)
open('high-sierra', 'wb').write(disk)
PYTHON
rm plain

folder squashfs
for options in "-noI -noD -noF -noX" "-comp gzip" "-comp xz" "-comp zstd" "-comp lzo" "-comp lz4"; do
    # shellcheck disable=SC2086
    mksquashfs "$tree" "squashfs$(echo "$options" | tr -d ' ')" $options -quiet -no-progress >/dev/null 2>&1
done

folder windows
cp "$out"/registry/* .
printf '[boot loader]\r\ndefault=multi(0)disk(0)rdisk(0)partition(1)\\WINDOWS\r\n[operating systems]\r\nmulti(0)disk(0)rdisk(0)partition(1)\\WINDOWS="x" /fastdetect\r\n' >boot.ini

folder solaris
printf '/dev/dsk/c1t0d0s0\t/dev/rdsk/c1t0d0s0\t/\tufs\t1\tno\t-\n/dev/md/dsk/d5\t/dev/md/rdsk/d5\t/data\tufs\t2\tyes\t-\n' >vfstab
printf 'title Solaris\nroot (hd0,0,a)\nkernel /platform/i86pc/multiboot -B console=ttya\nmodule /platform/i86pc/boot_archive\n' >menu.lst
printf '"/pci@0,0" 0 "pci"\n"/pci@0,0/pci1af4,1100@8" 0 "e1000g"\n' >path_to_inst
printf 'pci-ide "pciclass,0101"\ne1000g "pci8086,100e"\ne1000g "pci8086,100f"\n' >driver_aliases
printf 'd0 -m d10 d20 1\nd10 1 1 c1t0d0s0\nrootdev:/pseudo/md@0:0,0,blk\n' >md.tab
printf '_ifname=e1000g0;_family=2;\nnet0\tclass=int,1;devname=string,e1000g0;\nweb:installed:/zones/web:1\n' >ipadm.conf
folder hsfs
mkdir -p archive/etc && printf '"/pci@0,0" 0 "pci"\n' >archive/etc/path_to_inst
for options in "-R" "-J --norock" "--norock"; do
    # shellcheck disable=SC2086
    xorrisofs -quiet -no-pad -o whole $options archive 2>/dev/null
    tail -c +32769 whole >"iso$(echo "$options" | tr -d ' ')"
done
rm -r archive whole

# Runs of sectors, as the target takes them apart: pack VOLUME SEED.
pack() {
    python3 - "$1" "$2" <<'PYTHON'
import itertools, struct, sys
volume = open(sys.argv[1], 'rb').read()
sectors = [volume[at:at + 512] for at in range(0, len(volume), 512)]
fill = lambda sector: sector[0] if sector.count(sector[0]) == 512 else None
with open(sys.argv[2], 'wb') as out:
    for byte, run in itertools.groupby(range(len(sectors)), lambda at: fill(sectors[at])):
        run = list(run)
        if byte is None:
            out.write(struct.pack('<HH', run[0], len(run)) + b''.join(sectors[at] for at in run))
        elif byte:
            out.write(struct.pack('<HHB', run[0], len(run) | 0x8000, byte))
PYTHON
}

# mkntfs makes no volume of less than 1 MiB.
folder ntfs
for cluster in 512 4096; do
    blank "$scratch/ntfs" 1100K
    mkntfs -F -Q -q -c "$cluster" -p 2048 -H 255 -S 63 "$scratch/ntfs" >/dev/null 2>&1
    ntfscp -f -q "$scratch/ntfs" "$tree/etc/fstab" fstab
    pack "$scratch/ntfs" "ntfs$cluster"
done

# mkfs.xfs makes none of less than 16 MiB.
folder xfs
{
    printf 'boot\n0 0\nd--755 0 0\netc d--755 0 0\nfstab ---644 0 0 %s\n$\nmany d--755 0 0\n' "$tree/etc/fstab"
    for n in $(seq 40); do printf 'a-name-that-takes-some-room-%s l--777 0 0 x\n' "$n"; done
    printf '$\nlarge ---600 1 2 %s\nlink l--777 0 0 etc/fstab\n$\n' "$tree/boot/large"
} >"$scratch/proto"
for options in '-m crc=1' '-m crc=1,rmapbt=1 -b size=1024' '-m crc=0' '-m crc=0 -b size=512 -i size=256'; do
    blank "$scratch/xfs" 16M
    # Unquoted on purpose: these are words.
    mkfs.xfs --unsupported -q -f -p "$scratch/proto" $options "$scratch/xfs" >/dev/null 2>&1
    pack "$scratch/xfs" "$(printf %s "xfs$options" | tr -dc 'a-z0-9')"
done

# Mixed block groups fit into the smallest volumes.
folder btrfs
for options in '' '--csum xxhash' '-O ^no-holes'; do
    blank "$scratch/btrfs" 24M
    # Unquoted on purpose: these are words.
    mkfs.btrfs -q -M $options --rootdir "$tree" "$scratch/btrfs" >/dev/null 2>&1
    pack "$scratch/btrfs" "$(printf %s "btrfs$options" | tr -dc 'a-z0-9')"
done
# A log, where Linux may be asked to leave one.
blank "$scratch/btrfs" 24M
mkfs.btrfs -q -M --rootdir "$tree" "$scratch/btrfs" >/dev/null 2>&1
mkdir "$scratch/top"
if mount -t btrfs -o loop,commit=300 "$scratch/btrfs" "$scratch/top" 2>/dev/null; then
    (
        cd "$scratch/top"
        for number in 1 2 3; do
            mkdir "d$number"
            echo "$number" >"d$number/new"
            sync "d$number/new"
            mv "d$number/new" "d$number/moved"
            ln "d$number/moved" "second$number"
            sync "d$number" "d$number/moved" .
            rm "second$number"
            head -c 9000 /dev/zero >"d$number/moved"
            sync . "d$number/moved"
        done
    )
    pack "$scratch/btrfs" log
    umount "$scratch/top"
fi

# Two superblocks of one file system.
folder btrfs-devices
blank "$scratch/one" 128M && blank "$scratch/two" 128M
mkfs.btrfs -q -f "$scratch/one" "$scratch/two" >/dev/null 2>&1
for device in one two; do dd if="$scratch/$device" bs=4096 skip=16 count=1 status=none; done >both
rm "$scratch/one" "$scratch/two"

# Which blocks of a pool become which, for the first blocks that are read: the target has the pools themselves.
folder zfs
for pool in 0 1; do
    printf "\\00$pool\\003\\000\\020\\000\\377\\012\\000\\100\\000\\001" >"blocks$pool"
    printf "\\20$pool\\100\\000\\377\\110\\001\\001" >"label$pool"
done

# UFS of the BSDs, and Solaris' as far as a state of its own makes it: the length of names is where theirs is.
folder ufs
for options in 'le version=1,bsize=8192,fsize=1024' 'be version=1,bsize=8192,fsize=1024' 'le version=2,bsize=8192,fsize=1024'; do
    makefs -t ffs -B "${options% *}" -o "${options#* }" -s 8m "$scratch/ufs" "$tree" >/dev/null 2>&1
    pack "$scratch/ufs" "$(printf %s "ufs$options" | tr -dc 'a-z0-9')"
done
