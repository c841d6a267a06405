#!/bin/sh
# A mmdebstrap hook, run with the new system's folder: makes it the kind of machine that fails to boot elsewhere.
# Everything here names the hardware of the machine it came from.
set -eu
R=$1

chroot "$R" passwd -d root >/dev/null
echo wherry-demo >"$R/etc/hostname"
echo '/dev/sda1 / ext4 errors=remount-ro 0 1' >"$R/etc/fstab"

cat >"$R/etc/udev/rules.d/70-persistent-net.rules" <<'RULES'
SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="00:1b:21:3a:4c:5d", ATTR{type}=="1", NAME="enp0s25"
RULES
cat >"$R/etc/network/interfaces" <<'NET'
auto lo
iface lo inet loopback

allow-hotplug enp0s25
iface enp0s25 inet dhcp
NET

# What MODULES=dep finds on a machine with an AHCI or IDE disk. The build host's own disk must not leak in, so the list is
# written out while the initramfs is built, and the configuration says "dep" again afterwards.
CONF=$R/etc/initramfs-tools
cp "$CONF/modules" "$CONF/modules.before"
printf 'ahci\nata_piix\nsd_mod\ncrc32c_generic\next4\n' >>"$CONF/modules"
sed -i 's/^MODULES=.*/MODULES=list/' "$CONF/initramfs.conf"
chroot "$R" update-initramfs -u -k all
sed -i 's/^MODULES=.*/MODULES=dep/' "$CONF/initramfs.conf"
mv "$CONF/modules.before" "$CONF/modules"

sed -i 's/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=0/
s|^GRUB_CMDLINE_LINUX=.*|GRUB_CMDLINE_LINUX="root=/dev/sda1 console=ttyS0"|' "$R/etc/default/grub"
echo 'GRUB_TERMINAL=serial' >>"$R/etc/default/grub"

KERNEL=$(cd "$R/boot" && ls vmlinuz-* | sort -V | tail -n 1)
mkdir -p "$R/boot/grub"
cat >"$R/boot/grub/grub.cfg" <<GRUB
serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
set timeout=0
set root='hd0,msdos1'
menuentry 'Debian GNU/Linux' {
	linux /boot/$KERNEL root=/dev/sda1 ro console=ttyS0
	initrd /boot/initrd.img-${KERNEL#vmlinuz-}
}
GRUB
