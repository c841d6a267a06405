#!/busybox sh
# The only process of the machine in which tests let Linux mount a volume: /dev/vda, by the driver that the kernel's command
# line names. Everything in it goes to /dev/vdb as tar, what the kernel says to the console, and the last line says how it
# went. Where the volume is mounted for writing, the tar on /dev/vdb is unpacked into it instead, and its script `.fill` is
# run there and removed.
/busybox mount -t devtmpfs dev /dev
/busybox mount -t proc proc /proc
for module in $(/busybox cat /modules/order); do
	/busybox insmod "/modules/$module"
done
word() {
	/busybox sed -n "s/.*wherry\.$1=\([^ ]*\).*/\1/p" /proc/cmdline
}
end=failed
/busybox insmod "/modules/$(word driver).ko"
type=$(word driver)
# The only driver that is not called like its file system.
[ "$type" = isofs ] && type=iso9660
if /busybox mount -t "$type" -o "$(word options)" /dev/vda /volume; then
	case "$(word options)" in
	ro | ro,*) /busybox tar -cf /dev/vdb -C /volume . && end=complete ;;
	*)
		/busybox --install -s /bin
		cd /volume && PATH=/bin tar -xf /dev/vdb && PATH=/bin sh -e ./.fill && /bin/rm .fill && end=complete
		cd /
		;;
	esac
	/busybox umount /volume || end=failed
fi
/busybox sync
/busybox dmesg | /busybox grep -F "$(word driver)"
echo "wherry: $end"
/busybox poweroff -f
