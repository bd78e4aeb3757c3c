#!/bin/sh
# Installs what the tests need from Debian's packages. As anybody but root, or
# elsewhere than on Debian, it only says what is missing: the tests that need it
# are skipped with their reason.
set -eu

packages="busybox-static runc crun qemu-user-static mmdebstrap uidmap libcap2-bin iproute2 procps util-linux python3-minimal gcc libc6-dev"

missing=""
for p in $packages; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "not installed, tests that need them are skipped:$missing" >&2
	exit 0
fi
export DEBIAN_FRONTEND=noninteractive
# A package list that is too old is made anew; without a network all goes on.
for try in 1 2; do
	# shellcheck disable=SC2086
	if apt-get install -qq -y --no-install-recommends $missing >/dev/null 2>&1; then
		exit 0
	fi
	apt-get update -qq || break
done
echo "could not install, tests that need them are skipped:$missing" >&2
