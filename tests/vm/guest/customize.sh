#!/bin/sh
# What the image of the guest has beside its packages. mmdebstrap calls this with
# the root directory; backports suite, mirror and kernel package are image.go's.
set -eu
root=$1

# The suite's own kernel is there already; a newer one beside it, where the mirror
# has it. The guest boots the newest; cgroup v1 wants the oldest, since later ones are
# built without its memory and cpuset controllers.
list=$root/etc/apt/sources.list.d/backports.list
echo "deb $GUEST_MIRROR $GUEST_BACKPORTS main" >"$list"
if chroot "$root" apt-get update -qq; then
	chroot "$root" apt-get install -qq -y --no-install-recommends -t "$GUEST_BACKPORTS" "$GUEST_KERNEL"
else
	echo "no $GUEST_BACKPORTS at the mirror: the suite's own kernel it is" >&2
	rm "$list"
fi

chroot "$root" useradd --create-home --uid 1000 --shell /bin/bash berth
grep -q '^berth:' "$root/etc/subuid" || echo berth:100000:65536 >>"$root/etc/subuid"
grep -q '^berth:' "$root/etc/subgid" || echo berth:100000:65536 >>"$root/etc/subgid"
# The user's systemd runs from boot on.
mkdir -p "$root/var/lib/systemd/linger"
touch "$root/var/lib/systemd/linger/berth"

# By itself systemd gives a user no cpuset and no io.
mkdir -p "$root/etc/systemd/system/user@.service.d"
printf '[Service]\nDelegate=cpu cpuset io memory pids\n' >"$root/etc/systemd/system/user@.service.d/delegate.conf"

# The user must be able to walk to what the host shares, which may be below its /root.
chmod 0755 "$root/root"

# What empties /tmp at boot: a directory of the host may be shared below it.
ln -s /dev/null "$root/etc/tmpfiles.d/tmp.conf"

echo guest >"$root/etc/hostname"
: >"$root/etc/fstab"
# A journal in memory; a user's own does not go to a file of its own.
mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=volatile\n' >"$root/etc/systemd/journald.conf.d/volatile.conf"

# What costs time at boot and does nothing for tests. AppArmor is on in the kernel all
# the same; which profiles are loaded is a test's business. Devices are the kernel's
# own devtmpfs, without udev.
for unit in getty.target systemd-remount-fs.service systemd-random-seed.service \
	systemd-timesyncd.service systemd-networkd.service systemd-resolved.service systemd-network-generator.service \
	systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-machine-id-commit.service \
	systemd-firstboot.service systemd-pcrphase.service systemd-pcrphase-sysinit.service systemd-journal-flush.service \
	systemd-binfmt.service proc-sys-fs-binfmt_misc.automount tmp.mount systemd-initctl.socket \
	systemd-ask-password-console.path systemd-ask-password-wall.path systemd-tmpfiles-clean.timer \
	apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
	apparmor.service systemd-sysusers.service systemd-modules-load.service modprobe@.service \
	sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount \
	systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service \
	systemd-udev-settle.service; do
	ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
