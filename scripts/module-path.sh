#!/bin/bash
# module-path.sh NEW: gives the Go module another path, in every file that names
# the present one.
set -euo pipefail

new=$1
old=$(sed -n 's/^module //p' go.mod)
case $new in
'' | *[!A-Za-z0-9._~/-]* | /* | */)
	echo "module-path: \"$new\" is no module path: make module-path NEW=example.org/tpmkey" >&2
	exit 1
	;;
esac
grep -rlIF --exclude-dir=.git --exclude-dir=build -e "$old" . | while IFS= read -r file; do
	sed -i "s|${old//./\\.}|$new|g" "$file"
	echo "$file"
done
# Imports are sorted by path.
gofmt -w .
