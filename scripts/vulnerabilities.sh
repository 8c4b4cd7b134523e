#!/bin/bash
# vulnerabilities.sh GOVULNCHECK DATABASE: what the Go vulnerability database knows of
# code that the project calls. What is in a module that it chose is a failure; what is in
# Go itself is only told, because whoever builds it chose that Go, and a newer one mends it.
# The database comes as the module that it is published from, for which the module proxy
# is enough, and is turned into what govulncheck reads by its own tool.
set -euo pipefail

go=${GO:-go}
govulncheck=$1 database=$2

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
published=$("$go" mod download -json "$database" | jq -r .Dir)
"$go" run "${database%@*}/cmd/indexdb@${database#*@}" -vulns "$published/data/osv" -out "$folder/database"
"$go" run "$govulncheck" -db "file://$folder/database" -tags check,bench,vm -format json ./... >"$folder/found"

# A module is named without a function where nothing of it is called.
jq -r 'select(.finding.trace[0].function) | .finding | "\(.osv) in \(.trace[0].module) \(.trace[0].version), mended in \(.fixed_version // "no version yet")"' \
	"$folder/found" | sort -u >"$folder/called"
entries=$(jq -s 'map(select(.osv)) | length' "$folder/found")
echo "$entries entries of the database are about modules that are used here; called are:"
cat "$folder/called"
# None at all: then the search is broken, not the code good.
[ "$entries" -gt 0 ]
if grep -v ' in stdlib ' "$folder/called" >&2; then
	echo "the project calls code that is known to be vulnerable: take newer modules, go get MODULE@latest" >&2
	exit 1
fi
