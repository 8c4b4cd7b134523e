#!/bin/bash
# package.sh ARCHITECTURE FOLDER: makes a deb and an rpm for a machine (amd64, arm64) and
# a bill of materials in the folder. The same sources give the same bytes, in whatever
# directory and at whatever time. NFPM is the packager, as go run takes it.
set -euo pipefail

arch=$1 folder=$(realpath -m "$2")
go=${GO:-go}
case $arch in
amd64) triplet=x86_64-linux-gnu ;;
arm64) triplet=aarch64-linux-gnu ;;
*)
	echo "package.sh: no compiler is known for $arch; amd64 and arm64 are" >&2
	exit 1
	;;
esac
umask 022
work=$folder/$arch
rm -rf "$work"
mkdir -p "$work"

# Without what whoever builds has set for other builds.
on() { env -u GOFLAGS -u CGO_CFLAGS -u CGO_LDFLAGS -u CFLAGS -u LDFLAGS make -s --no-print-directory PREFIX=/usr BUILD="$work/build" CC=$triplet-gcc "$@"; }
GOARCH=$arch CC=$triplet-gcc on products

VERSION=$(sed -n 's/^const Number = "\(.*\)"$/\1/p' internal/version/version.go)
MODULE=$("$go" list -m)
ARCH=$arch
# The newest version of glibc that the programs in C and the module ask for. Packed relocations are of 2.36 and have a name instead of a number.
GLIBC=$(for file in "$work"/build/tpmkey-{pkcs11.so,probe}; do $triplet-objdump -p "$file"; done | sed 's/GLIBC_ABI_DT_RELR/GLIBC_2.36/' | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1 | cut -d _ -f 2)
# The date of the version is that of all its files.
date=$(sed -n "s/^## ${VERSION//./\\.} (\([0-9-]*\))$/\1/p" CHANGELOG.md)
: "${date:?CHANGELOG.md has no entry "## $VERSION (YEAR-MONTH-DAY)"}"
SOURCE_DATE_EPOCH=$(date -ud "$date" +%s)
awk -v version="$VERSION" -v date="$date" -v packager="The tpmkey authors <authors@$MODULE>" '
	BEGIN { printf "- semver: %s-1\n  date: %sT00:00:00Z\n  packager: %s\n  deb: {urgency: medium, distributions: [unstable]}\n  changes:\n", version, date, packager }
	/^## / { inside = $2 == version }
	inside && /^\* / { sub(/^\* /, ""); gsub(/["\\]/, "\\\\&"); printf "    - {note: \"%s\"}\n", $0 }' CHANGELOG.md >"$work/changelog.yaml"
{ cat packaging/nfpm.yaml && echo "changelog: $work/changelog.yaml"; } >"$work/nfpm.yaml"
export VERSION MODULE ARCH GLIBC SOURCE_DATE_EPOCH

programs=("$work"/build/tpmkey{,d,d-metrics,-pkcs11.so,-pkcs11-helper})
sbom=$folder/tpmkey_${VERSION}_$arch.cdx.json
scripts/sbom.sh tpmkey "$VERSION" "${programs[@]}" >"$sbom"

# licences prints those of the modules that are in the programs. Go's own is that of golang.org/x.
licences() {
	for program in "${programs[@]}"; do "$go" version -m "$program"; done | awk '$1 == "dep" { print $2 }' | LC_ALL=C sort -u |
		xargs "$go" list -m -f '{{.Path}} {{.Dir}}' | while read -r path dir; do
		printf '== %s\n\n' "$path"
		cat "$dir"/LICENSE* "$dir"/NOTICE* 2>/dev/null || [ -f "$dir"/LICENSE ] || [ -f "$dir"/LICENSE.txt ]
		printf '\n'
	done
}

# stage FORMAT VARIABLE=VALUE... lays the files out.
stage() {
	STAGE=$work/$1
	shift
	on install DESTDIR="$STAGE" "$@"
	local doc=$STAGE/usr/share/doc/tpmkey
	mkdir -p "$doc"
	cp README.md SECURITY.md docs/*.md docs/*.svg "$sbom" "$doc"
	mv "$doc/${sbom##*/}" "$doc/sbom.cdx.json"
	# The pages are beside it there.
	sed -i 's|](docs/|](|g' "$doc/README.md"
	gzip -9nc CHANGELOG.md >"$doc/changelog.gz"
	licences | gzip -9n >"$doc/third-party.gz"
	find "$STAGE/usr/share/man" -type f -exec gzip -9n {} + 2>/dev/null || [ ! -e "$STAGE/usr/share/man" ]
	chmod -R u=rwX,go=rX "$STAGE"
	find "$STAGE" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
	export STAGE
}

# This machine runs the packager, whatever the packages are for.
package() { env -u GOOS -u GOARCH -u CC "$go" run "$NFPM" package -f "$work/nfpm.yaml" -p "$1" -t "$folder"; }

# Debian's zsh and libraries are elsewhere than everybody else's.
stage deb libdir="/usr/lib/$triplet" zshcompletiondir=/usr/share/zsh/vendor-completions
package deb
stage rpm libdir=/usr/lib64 zshcompletiondir=/usr/share/zsh/site-functions
package rpm
rm -rf "$work"
