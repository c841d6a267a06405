#!/bin/sh
# A mmdebstrap hook, run with the new system's folder and the kind of disk it is for: makes it the kind of machine that
# fails to boot elsewhere. Everything here names the hardware of the machine it came from.
set -eu
R=$1
KIND=$2

# As sdk/xtask/src/luks.rs makes it.
LUKS=77686572-7279-4000-8000-6c756b730000
ROOT=/dev/sda1
BOOT=/boot
TYPE=ext4 OPTIONS=errors=remount-ro ARGUMENTS=
case $KIND in
uefi | systemd-boot) ROOT=/dev/sda2 ;;
lvm | md | luks) ROOT=/dev/mapper/vg0-root BOOT= ;;
verity) ROOT=/dev/sda2 BOOT= ;;
xfs) TYPE=xfs OPTIONS=defaults ;;
btrfs) TYPE=btrfs OPTIONS=defaults,subvol=@rootfs ARGUMENTS=' rootflags=subvol=@rootfs' BOOT=/@rootfs/boot ;;
esac

chroot "$R" passwd -d root >/dev/null
echo wherry-demo >"$R/etc/hostname"
echo "$ROOT / $TYPE $OPTIONS 0 1" >"$R/etc/fstab"
case $KIND in
btrfs) echo '/dev/sda1 /home btrfs defaults,subvol=@home 0 0' >>"$R/etc/fstab" ;;
verity) echo '/dev/sda1 /boot ext4 defaults 0 2' >>"$R/etc/fstab" ;;
uefi | systemd-boot)
	mkdir -p "$R/boot/efi"
	echo '/dev/sda1 /boot/efi vfat umask=0077 0 1' >>"$R/etc/fstab"
	;;
lvm | md | luks)
	echo '/dev/sda1 /boot ext4 defaults 0 2' >>"$R/etc/fstab"
	echo '/dev/mapper/vg0-swap none swap sw 0 0' >>"$R/etc/fstab"
	;;
esac

cat >"$R/etc/udev/rules.d/70-persistent-net.rules" <<'RULES'
SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="00:1b:21:3a:4c:5d", ATTR{type}=="1", NAME="enp0s25"
RULES
if [ "$KIND" = resolute ]; then
	mkdir -p "$R/etc/netplan"
	rm "$R/etc/udev/rules.d/70-persistent-net.rules"
	cat >"$R/etc/netplan/50-cloud-init.yaml" <<'NET'
network:
  version: 2
  ethernets:
    enp0s25:
      match:
        macaddress: "00:1b:21:3a:4c:5d"
      dhcp4: true
      set-name: "enp0s25"
NET
	chmod 600 "$R/etc/netplan/50-cloud-init.yaml"
	chroot "$R" systemctl enable systemd-networkd >/dev/null 2>&1
else
	cat >"$R/etc/network/interfaces" <<'NET'
auto lo
iface lo inet loopback

allow-hotplug enp0s25
iface enp0s25 inet dhcp
NET
fi

# What each tool finds on a machine with an AHCI or IDE disk. The build host's own disk must not leak in, so the drivers are
# written out while the initramfs is built, and the configuration says what such a machine says.
KERNEL=$(cd "$R/boot" && ls vmlinuz-* | sort -V | tail -n 1)
VERSION=${KERNEL#vmlinuz-}
DRIVERS="ahci ata_piix sd_mod crc32c_generic $TYPE"
case $KIND in
luks)
	# Opened by a key in the initramfs: nobody types a passphrase while a test runs.
	DRIVERS="$DRIVERS dm_crypt dm_mod xts aes_generic ecb sha256_generic"
	mkdir -p "$R/etc/keys"
	printf 'open sesame' >"$R/etc/keys/root.key"
	echo 'KEYFILE_PATTERN=/etc/keys/*.key' >>"$R/etc/cryptsetup-initramfs/conf-hook"
	echo "sda2_crypt UUID=$LUKS /etc/keys/root.key luks,initramfs" >"$R/etc/crypttab"
	;;
md)
	DRIVERS="$DRIVERS raid1 dm_mod"
	echo 'MAILADDR root' >"$R/etc/mdadm/mdadm.conf"
	echo 'ARRAY /dev/md0 metadata=1.2 UUID=77686572:72792773:206d6972:726f722e name=home:0' >>"$R/etc/mdadm/mdadm.conf"
	;;
esac
case $KIND in
dracut | resolute)
	mkdir -p "$R/etc/dracut.conf.d"
	echo 'hostonly="yes"' >"$R/etc/dracut.conf.d/hostonly.conf"
	chroot "$R" dracut --force --quiet --no-hostonly --no-hostonly-cmdline --drivers "$DRIVERS" \
		--omit 'qemu qemu-net virtfs virtiofs nvdimm crypt dm lunmask overlay-root' "/boot/initrd.img-$VERSION" "$VERSION"
	;;
*)
	CONF=$R/etc/initramfs-tools
	cp "$CONF/modules" "$CONF/modules.before"
	printf '%s\n' $DRIVERS >>"$CONF/modules"
	sed -i 's/^MODULES=.*/MODULES=list/' "$CONF/initramfs.conf"
	chroot "$R" update-initramfs -c -k "$VERSION"
	sed -i 's/^MODULES=.*/MODULES=dep/' "$CONF/initramfs.conf"
	mv "$CONF/modules.before" "$CONF/modules"
	;;
esac

sed -i "s/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=0/
s|^GRUB_CMDLINE_LINUX=.*|GRUB_CMDLINE_LINUX=\"root=$ROOT console=ttyS0\"|" "$R/etc/default/grub"
echo 'GRUB_TERMINAL=serial' >>"$R/etc/default/grub"

case $KIND in
extlinux)
	mkdir -p "$R/boot/extlinux"
	cat >"$R/boot/extlinux/extlinux.conf" <<EXTLINUX
SERIAL 0 115200
DEFAULT linux
PROMPT 0
LABEL linux
	LINUX ../$KERNEL
	APPEND root=$ROOT ro console=ttyS0
	INITRD ../initrd.img-$VERSION
EXTLINUX
	exit 0
	;;
grub-legacy)
	rm -rf "$R/boot/grub"
	mkdir -p "$R/boot/grub"
	cp "$R"/usr/lib/grub/x86_64-pc/* "$R/boot/grub/"
	cat >"$R/boot/grub/menu.lst" <<MENU
serial --unit=0 --speed=115200
terminal serial
default 0
timeout 0
title Debian GNU/Linux
root (hd0,0)
kernel /boot/$KERNEL root=$ROOT ro console=ttyS0
initrd /boot/initrd.img-$VERSION
MENU
	exit 0
	;;
systemd-boot)
	# As bootctl and kernel-install leave it, without the fallback loader.
	E=$R/boot/efi
	ID=0123456789abcdef0123456789abcdef
	echo $ID >"$R/etc/machine-id"
	mkdir -p "$E/EFI/systemd" "$E/EFI/BOOT" "$E/loader/entries" "$E/$ID/$VERSION"
	cp "$R/usr/lib/systemd/boot/efi/systemd-bootx64.efi" "$E/EFI/systemd/systemd-bootx64.efi"
	cp "$R/boot/$KERNEL" "$E/$ID/$VERSION/linux"
	cp "$R/boot/initrd.img-$VERSION" "$E/$ID/$VERSION/initrd.img-$VERSION"
	echo 'timeout 0' >"$E/loader/loader.conf"
	cat >"$E/loader/entries/$ID-$VERSION.conf" <<ENTRY
title      Debian GNU/Linux 12 (bookworm)
version    $VERSION
machine-id $ID
options    root=$ROOT ro console=ttyS0
linux      /$ID/$VERSION/linux
initrd     /$ID/$VERSION/initrd.img-$VERSION
ENTRY
	exit 0
	;;
uefi) PLATFORM=x86_64-efi FIND='search --no-floppy --label --set=root root' ;;
*) PLATFORM=i386-pc FIND="set root='hd0,msdos1'" ;;
esac
# What grub-install leaves beside the loader itself, which goes to the disk later.
mkdir -p "$R/boot/grub"
cp -r "$R/usr/lib/grub/$PLATFORM" "$R/boot/grub/"
cat >"$R/boot/grub/grub.cfg" <<GRUB
serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
set timeout=0
$FIND
menuentry 'Debian GNU/Linux' {
	linux $BOOT/$KERNEL root=$ROOT$ARGUMENTS ro console=ttyS0
	initrd $BOOT/initrd.img-$VERSION
}
GRUB
