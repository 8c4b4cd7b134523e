#!/bin/bash
# unpack.sh PACKAGE FOLDER: a Debian package's files in FOLDER, without installing it:
# nobody wants another kernel in the boot menu for a test. Of a package that only
# stands for the newest of a line, it is the package that it depends on.
set -euo pipefail

package=$1 folder=$2
[ ! -e "$folder" ] || exit 0

known() { apt-cache show --no-all-versions "$1" >/dev/null 2>&1; }
known "$package" || apt-get update -q
newest=$(apt-cache depends --no-recommends --no-suggests "$package" | sed -n "s/^  Depends: \(${package%-*}-.*\)/\1/p")

rm -rf "$folder.new"
mkdir -p "$folder.new"
(cd "$folder.new" && apt-get download -q "${newest:-$package}")
dpkg-deb -x "$folder.new"/*.deb "$folder.new"
rm "$folder.new"/*.deb
mv "$folder.new" "$folder"
