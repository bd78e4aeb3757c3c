#!/bin/sh
# Unpacks Debian's packages of the engines, with what they need and this machine lacks,
# into a directory of their own. Nothing is installed: no daemon starts, no
# configuration of this machine's changes, and no root is needed. The tests find the
# programs there; those that are installed are taken first. 80 MB to get, 400 MB on disk.
set -eu

dir="${BERTH_ENGINES:-${HOME:-/root}/.cache/berth-engines}"
packages="podman conmon containerd docker.io tini golang-github-containers-image golang-github-containers-common"
[ ! -e "$dir/usr" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-deb >/dev/null 2>&1; then
	echo "engines are unpacked on Debian only; tests with those that are not installed are skipped" >&2
	exit 0
fi
mkdir -p "$(dirname "$dir")"
new=$(mktemp -d "$dir.XXXXXX")
trap 'rm -rf "$new"' EXIT
# What is missing here is what an installation would get.
# shellcheck disable=SC2086
missing=$(apt-get install --no-install-recommends --print-uris -y $packages 2>/dev/null | sed -n "s/^'[^']*' \([^_]*\)_.*/\1/p")
mkdir "$new/debs"
# shellcheck disable=SC2086
if [ -n "$missing" ] && ! (cd "$new/debs" && apt-get download -qq $missing >/dev/null 2>&1); then
	echo "could not get the engines' packages; tests with those that are not installed are skipped" >&2
	exit 0
fi
mkdir -p "$new/root/usr"
for deb in "$new"/debs/*.deb; do
	[ ! -e "$deb" ] || dpkg-deb -x "$deb" "$new/root"
done
# Another one may have been quicker.
mv -T "$new/root" "$dir" 2>/dev/null || true
