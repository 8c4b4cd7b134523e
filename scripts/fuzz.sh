#!/bin/bash
# fuzz.sh TIME: runs every fuzz target of the module for TIME, one after another.
# No target at all is a failure, and a target without seeds: then the search is
# broken, not the code good.
set -euo pipefail

go=${GO:-go}
count=0
for package in $("$go" list ./...); do
	for target in $("$go" test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		seeds=$("$go" test -run "^$target\$" -v "$package" | grep -c "^=== RUN *$target/" || true)
		echo "fuzz $package $target for $1, from $seeds seeds"
		[ "$seeds" -gt 0 ]
		# Two seconds for making an input smaller that only chance has made interesting.
		"$go" test -run '^$' -fuzz "^$target\$" -fuzztime "$1" -fuzzminimizetime 2s "$package"
		count=$((count + 1))
	done
done
echo "$count fuzz targets ran"
[ "$count" -gt 0 ]
