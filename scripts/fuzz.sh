#!/bin/bash
# fuzz.sh TIME: runs every fuzz target of the module for TIME, one after another.
# No target at all is a failure: then the search is broken, not the code good.
set -euo pipefail

go=${GO:-go}
count=0
for package in $("$go" list ./...); do
	for target in $("$go" test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		echo "fuzz $package $target for $1"
		"$go" test -run '^$' -fuzz "^$target\$" -fuzztime "$1" "$package"
		count=$((count + 1))
	done
done
echo "$count fuzz targets ran"
[ "$count" -gt 0 ]
