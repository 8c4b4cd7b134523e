package version

import (
	"fmt"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

// What make, CK_INFO and packages take apart is well-formed.
func TestNumber(t *testing.T) {
	if !regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9a-z.]+)?$`).MatchString(Number) {
		t.Errorf("%q is no version", Number)
	}
	major, minor := MajorMinor()
	if !strings.HasPrefix(Number, fmt.Sprintf("%d.%d.", major, minor)) {
		t.Errorf("%s is %d.%d?", Number, major, minor)
	}
}

func TestBuild(t *testing.T) {
	settings := []debug.BuildSetting{{Key: "CGO_ENABLED", Value: "0"}, {Key: "GOARCH", Value: "arm64"}, {Key: "GOOS", Value: "linux"}, {Key: "GOARM64", Value: "v8.0"}}
	vcs := append(settings, debug.BuildSetting{Key: "vcs.revision", Value: "abc"}, debug.BuildSetting{Key: "vcs.modified", Value: "true"})
	for _, row := range []struct {
		settings []debug.BuildSetting
		want     Build
	}{
		{settings, Build{"go1.30", "linux/arm64 v8.0", ""}},
		{vcs, Build{"go1.30", "linux/arm64 v8.0", "abc with changes"}},
		{[]debug.BuildSetting{{Key: "CGO_ENABLED", Value: "1"}, {Key: "GOOS", Value: "linux"}, {Key: "GOARCH", Value: "386"}}, Build{"go1.30", "linux/386 cgo", ""}},
	} {
		if got := buildOf(&debug.BuildInfo{GoVersion: "go1.30", Settings: row.settings}); got != row.want {
			t.Errorf("%v: %q, want %q", row.settings, got, row.want)
		}
	}
	if b := ReadBuild(); b.Go != runtime.Version() || !strings.HasPrefix(b.Target, runtime.GOOS+"/"+runtime.GOARCH) {
		t.Errorf("of this program %q", b)
	}
}
