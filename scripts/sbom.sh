#!/bin/bash
# sbom.sh NAME VERSION PROGRAM...: prints a bill of materials in CycloneDX's form, 1.6:
# the modules of Go that are in any of the programs, by what the programs say, and Go.
# Without serial number and time, so that the same programs have the same one.
set -euo pipefail

name=$1 version=$2
shift 2
for program; do
	"${GO:-go}" version -m "$program"
done | LC_ALL=C sort -u | awk -v name="$name" -v version="$version" '
	function component(kind, name, version, purl) {
		printf "%s    {\"type\": \"%s\", \"bom-ref\": \"%s\", \"name\": \"%s\", \"version\": \"%s\", \"purl\": \"%s\"}",
			count++ ? ",\n" : "", kind, purl, name, version, purl
		refs = refs (refs ? ", " : "") "\"" purl "\""
	}
	# Capitals have an escape in paths of the module cache, and none in purls: pkg:golang takes small letters.
	function golang(path, version) { return "pkg:golang/" tolower(path) "@" version }
	BEGIN {
		self = "pkg:generic/" name "@" version
		printf "{\n  \"bomFormat\": \"CycloneDX\",\n  \"specVersion\": \"1.6\",\n  \"version\": 1,\n"
		printf "  \"metadata\": {\"component\": {\"type\": \"application\", \"bom-ref\": \"%s\", \"name\": \"%s\", \"version\": \"%s\", \"purl\": \"%s\"}},\n", self, name, version, self
		printf "  \"components\": [\n"
	}
	/^[^\t].*: go/ && !toolchain++ { sub(/^go/, "", $NF); component("library", "std", $NF, golang("std", $NF)) }
	$1 == "dep" && !seen[$2 "@" $3]++ { component("library", $2, $3, golang($2, $3)) }
	END { printf "\n  ],\n  \"dependencies\": [{\"ref\": \"%s\", \"dependsOn\": [%s]}]\n}\n", self, refs; exit !count }'
