#!/bin/sh
# Installs what the tests need from Debian's packages, one at a time: one that this
# Debian lacks keeps no other away. As anybody but root, or elsewhere than on
# Debian, it only says what is missing: the tests that need it are skipped with
# their reason.
set -eu

packages="busybox-static runc crun qemu-user-static mmdebstrap uidmap libcap2-bin iproute2 procps util-linux python3-minimal gcc libc6-dev libseccomp-dev qemu-system-x86 e2fsprogs"

has() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'install ok installed'; }

missing=""
for p in $packages; do
	has "$p" || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "not installed, tests that need them are skipped:$missing" >&2
	exit 0
fi
export DEBIAN_FRONTEND=noninteractive
# On a new machine the lists of packages are absent or old; without a network all
# goes on.
apt-get update -qq >/dev/null 2>&1 || true
# Together first, which takes a third of the time.
# shellcheck disable=SC2086
apt-get install -qq -y --no-install-recommends $missing >/dev/null 2>&1 || true
left=""
for p in $missing; do
	has "$p" && continue
	apt-get install -qq -y --no-install-recommends "$p" >/dev/null 2>&1 || left="$left $p"
done
[ -z "$left" ] || echo "could not install, tests that need them are skipped:$left" >&2
