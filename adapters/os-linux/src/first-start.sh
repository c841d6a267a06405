# What Wherry could not change while it copied the disk is changed here, once, before the first program of the system runs.
root=$1
[ -n "$root" ] && [ ! -e "$root/var/lib/wherry/@STAMP@" ] || exit 0
echo "wherry: first start, the system is changed for its new devices"
was=rw source= type=
while read -r device place kind options rest; do
	if [ "$place" = "$root" ]; then
		source=$device type=$kind
		case "$options" in
		ro | ro,*) was=ro ;;
		*) was=rw ;;
		esac
	fi
done < /proc/mounts
if [ "$was" = ro ]; then
	# klibc's mount wants all of its words.
	mount -o remount,rw -t "$type" "$source" "$root" || { echo "wherry: FAILED, $root cannot be written"; exit 0; }
fi
mkdir -p "$root/.wherry" || echo "wherry: FAILED to make $root/.wherry"
for file in /wherry/*; do
	cat "$file" > "$root/.wherry/${file##*/}"
done
if chroot "$root" /bin/sh /.wherry/apply; then
	chroot "$root" /bin/sh -c 'mkdir -p /var/lib/wherry && : > /var/lib/wherry/@STAMP@ && rm -rf /.wherry'
	echo "wherry: done"
else
	echo "wherry: FAILED, see /.wherry/apply; it is tried again at the next start"
fi
if [ "$was" = ro ]; then
	mount -o remount,ro -t "$type" "$source" "$root"
fi
exit 0
