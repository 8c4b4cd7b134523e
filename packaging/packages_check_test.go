//go:build check

package packaging

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tpmkey.example/internal/version"
	"tpmkey.example/rm/tpmtest"
)

// Debian's own check finds no error.
func TestLintian(t *testing.T) {
	tpmtest.Need(t, "lintian")
	out, err := exec.Command("lintian", "--allow-root", "--fail-on", "error", built(t, deb("amd64")), built(t, deb("arm64"))).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Another directory, and another time, give the same bytes.
func TestReproducible(t *testing.T) {
	tpmtest.Need(t, "make", "go")
	dir := filepath.Join(t.TempDir(), "elsewhere")
	r := root{t, dir}
	r.must(exec.Command("mkdir", dir))
	r.must(exec.Command("bash", "-c", `tar -C .. --exclude=./build --exclude=./.git -cf - . | tar -xf - -C "$0"`, dir))
	again := exec.Command("make", "-s", "packages")
	again.Dir = dir
	r.must(again)
	first, err := os.ReadFile(built(t, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(filepath.Join(dir, "build/packages/SHA256SUMS"))
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("%v: first\n%sthen\n%s", err, first, second)
	}
}

// The checksums are those of all files beside them.
func TestChecksums(t *testing.T) {
	c := exec.Command("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
	c.Dir = filepath.Dir(built(t, "SHA256SUMS"))
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	sums, err := os.ReadFile(built(t, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(c.Dir, "*"))
	if want := len(files) - 1; err != nil || want != 6 || bytes.Count(sums, []byte("\n")) != want {
		t.Errorf("%v, files %q, sums\n%s", err, files, sums)
	}
}

// The bill of materials has every module that a program says it has, and no other.
func TestBillOfMaterials(t *testing.T) {
	text, err := os.ReadFile(built(t, "tpmkey_"+version.Number+"_arm64.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		BOMFormat string
		Metadata  struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(text, &bom); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if own := bom.Metadata.Component; bom.BOMFormat != "CycloneDX" || own.Name != "tpmkey" || own.Version != version.Number {
		t.Errorf("it is of %+v", own)
	}
	var has []string
	for _, c := range bom.Components {
		has = append(has, c.Name+" "+c.Version)
	}
	tree := unpacked(t, "arm64")
	for _, program := range []string{"bin/tpmkey", "sbin/tpmkeyd", "libexec/tpmkey/tpmkey-pkcs11-helper", "lib/aarch64-linux-gnu/pkcs11/tpmkey-pkcs11.so"} {
		out := root{t, tree}.must(exec.Command("go", "version", "-m", filepath.Join(tree, "usr", program)))
		for line := range strings.Lines(out) {
			if f := strings.Fields(line); f[0] == "dep" && !slices.Contains(has, f[1]+" "+f[2]) {
				t.Errorf("%s of %s is missing in %s", f[1], program, text)
			}
		}
	}
	if !slices.ContainsFunc(has, func(s string) bool { return strings.HasPrefix(s, "std 1.") }) || len(has) != len(slices.Compact(slices.Sorted(slices.Values(has)))) {
		t.Errorf("components %q", has)
	}
}

// unpacked is what is in a deb.
func unpacked(t *testing.T, arch string) string {
	t.Helper()
	r := root{t, t.TempDir()}
	r.must(exec.Command("dpkg-deb", "-x", built(t, deb(arch)), r.dir))
	return r.dir
}

// The programs for arm64 run, on an emulated processor: the tool, and a key made and used through the module. The emulator starts no further programs, and so
// not the helper that serves a forked child.
func TestARM64(t *testing.T) {
	tpmtest.Need(t, "qemu-aarch64-static", "aarch64-linux-gnu-gcc")
	usr := filepath.Join(unpacked(t, "arm64"), "usr")
	emulate := func(program string, args ...string) *exec.Cmd {
		c := exec.Command("qemu-aarch64-static", append([]string{"-L", "/usr/aarch64-linux-gnu", filepath.Join(usr, program)}, args...)...)
		c.Env = append(os.Environ(), "TPMKEY_DEVICE="+tpmtest.Simulator(t), "XDG_DATA_HOME="+t.TempDir())
		return c
	}
	module := filepath.Join(usr, "lib/aarch64-linux-gnu/pkcs11/tpmkey-pkcs11.so")
	if out, err := emulate("bin/tpmkey", "version").CombinedOutput(); err != nil || !strings.Contains(string(out), " for linux/arm64 ") || !strings.Contains(string(out), module) {
		t.Errorf("tpmkey: %v, %s", err, out)
	}
	out, err := emulate("libexec/tpmkey/tpmkey-probe", module).CombinedOutput()
	if err != nil && !strings.HasPrefix(string(out), "in a forked child: C_Initialize gives ") {
		t.Errorf("tpmkey-probe: %v, %s", err, out)
	}
}
