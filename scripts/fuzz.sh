#!/bin/bash
# fuzz.sh TIME: runs every fuzz target of the module for TIME, one after another.
# No target at all is a failure, and a target without seeds: then the search is
# broken, not the code good.
set -euo pipefail

go=${GO:-go}

# fuzz PACKAGE TARGET TIME: fails when an input failed, and also when the search did.
# Before Go 1.27 the end of TIME itself is reported as a failure once in a while
# (golang/go#75804); no input is written then, and nothing but those words is.
fuzz() {
	local log status=0
	log=$(mktemp)
	# Two seconds for making an input smaller that only chance has made interesting.
	"$go" test -run '^$' -fuzz "^$2\$" -fuzztime "$3" -fuzzminimizetime 2s "$1" 2>&1 | tee "$log" || status=$?
	if [ "$status" -ne 0 ] && [ "$(sed -n '/^--- FAIL/,/^FAIL$/p' "$log" | sed '1d;$d')" = '    context deadline exceeded' ]; then
		echo "the end of the time was reported as a failure (golang/go#75804); no input failed"
		status=0
	fi
	rm -f "$log"
	return "$status"
}

count=0
for package in $("$go" list ./...); do
	for target in $("$go" test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		seeds=$("$go" test -run "^$target\$" -v "$package" | grep -c "^=== RUN *$target/" || true)
		echo "fuzz $package $target for $1, from $seeds seeds"
		[ "$seeds" -gt 0 ]
		fuzz "$package" "$target" "$1"
		count=$((count + 1))
	done
done
echo "$count fuzz targets ran"
[ "$count" -gt 0 ]
