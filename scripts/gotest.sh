#!/bin/bash
# gotest.sh ARGUMENT...: go test with counts at the end. A package that passes gets
# one line, one that fails shows all that it printed. A skipped test is a failure:
# what make test cannot run here, somebody believes to be tested. Only what nobody but
# root can do is left out for others, and said.
set -euo pipefail

# The race detector keeps each program waiting for a second before it ends.
export GORACE=${GORACE:-atexit_sleep_ms=0}

"${GO:-go}" test -v "$@" 2>&1 | awk '
	/^ *--- PASS/ { passed++ }
	/^ *--- FAIL/ { failed++ }
	/^ *--- SKIP/ && before ~ /needs root/ { privileged++; next }
	/^ *--- SKIP/ { skipped++; printf "%s", before }
	/^ *--- SKIP/ { print }
	/^\?|\[no test files\]$|^coverage:/ { next }
	/^ok / || /^ok\t/ { print; fflush(); lines = ""; packages++; next }
	/^FAIL/ { printf "%s", lines; print; fflush(); lines = ""; broken++; next }
	{ lines = lines $0 "\n"; before = $0 "\n" }
	END {
		printf "%s", lines
		printf "%d packages ok, %d tests passed, %d failed, %d skipped\n", packages, passed, failed, skipped
		if (privileged) printf "%d more need root: sudo make test\n", privileged
		exit failed + broken + skipped > 0 || packages == 0
	}'
