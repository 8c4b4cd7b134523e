// Package version says which version of tpmkey this is: here, and nowhere else. The programs, the PKCS #11 module and, by way of the Makefile, the packages have it from here.
package version

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// Number counts as Semantic Versioning 2.0.0 does.
const Number = "0.1.0"

// MajorMinor are its first two numbers, which are all that a CK_VERSION has room for.
func MajorMinor() (major, minor uint64) {
	fmt.Sscanf(Number, "%d.%d.", &major, &minor) // Number is well-formed: a test looks
	return major, minor
}

// A Build is what a program knows of how it was made. It tells neither when nor where: the same sources give the same program.
type Build struct {
	Go       string // the version of Go
	Target   string // system, processor, and whether C is in it
	Revision string // of the sources, "" where the build was not told
}

// ReadBuild asks the program.
func ReadBuild() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Build{}
	}
	return buildOf(info)
}

func buildOf(info *debug.BuildInfo) Build {
	is := map[string]string{}
	for _, s := range info.Settings {
		is[s.Key] = s.Value
	}
	target := []string{is["GOOS"] + "/" + is["GOARCH"]}
	for _, level := range []string{"GOAMD64", "GOARM64"} {
		if is[level] != "" {
			target = append(target, is[level])
		}
	}
	if is["CGO_ENABLED"] == "1" {
		target = append(target, "cgo")
	}
	revision := is["vcs.revision"]
	if revision != "" && is["vcs.modified"] == "true" {
		revision += " with changes"
	}
	return Build{info.GoVersion, strings.Join(target, " "), revision}
}
