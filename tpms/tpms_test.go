package tpms

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tpmkey.example/rm/tpmtest"
)

// The header says the same as the package.
func TestHeader(t *testing.T) {
	tpmtest.Need(t, "gcc")
	type row struct {
		name string
		want uint64
	}
	rows := []row{
		{"TPMS_IOC_QUERY", uint64(IocQuery)}, {"TPMS_IOC_GET_FILTER", uint64(IocGetFilter)}, {"TPMS_IOC_SET_FILTER", uint64(IocSetFilter)},
		{"TPMS_IOC_GET_CHIP", uint64(IocGetChip)}, {"TPMS_IOC_SET_CHIP", uint64(IocSetChip)}, {"TPMS_IOC_GET_LOCALITY", uint64(IocGetLocality)},
		{"TPMS_IOC_SET_LOCALITY", uint64(IocSetLocality)}, {"TPMS_IOC_NARROW", uint64(IocNarrow)}, {"TPMS_IOC_SEAL", uint64(IocSeal)},
		{"sizeof(struct tpms_query)", QuerySize}, {"sizeof(struct tpms_filter)", FilterSize}, {"sizeof(((struct tpms_query *)0)->filter)", NameSize},
		{"__builtin_offsetof(struct tpms_query, filter)", QuerySize - NameSize}, {"TPMS_SEALED", sealed}, {"-TPMS_ANY_CHIP", -AnyChip},
	}
	header, err := os.ReadFile("tpms.h")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Count(string(header), "#define TPMS_IOC_"), 9; got != want {
		t.Errorf("the header has %d calls, this test %d", got, want)
	}
	source := "#include <stdio.h>\n#include \"tpms.h\"\nint main(void) {\n"
	for _, r := range rows {
		source += fmt.Sprintf("printf(\"%%llu\\n\", (unsigned long long)(%s));\n", r.name)
	}
	printed := strings.Fields(runC(t, source+"return 0; }\n"))
	if len(printed) != len(rows) {
		t.Fatalf("printed: %q", printed)
	}
	for i, r := range rows {
		if printed[i] != fmt.Sprint(r.want) {
			t.Errorf("%s is %s in C, %d in Go", r.name, printed[i], r.want)
		}
	}
}

func runC(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	file, program := filepath.Join(dir, "main.c"), filepath.Join(dir, "main")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-Wall", "-Wextra", "-Werror", "-std=c99", "-I.", "-o", program, file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command(program).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestState(t *testing.T) {
	for _, s := range []State{
		{"rsa", 0, 0, false}, {"rsa narrowed by use", AnyChip, 4, true}, {strings.Repeat("x", NameSize-1), 65535, 255, false},
	} {
		if got, err := ParseState(s.Bytes()); err != nil || got != s {
			t.Errorf("%+v, %v, want %+v", got, err, s)
		}
	}
	long := State{Filter: strings.Repeat("x", NameSize)}
	if got, err := ParseState(long.Bytes()); err != nil || got.Filter != long.Filter[:NameSize-1] {
		t.Errorf("a long name: %+v, %v", got, err)
	}
	if _, err := ParseState(make([]byte, QuerySize-1)); err == nil {
		t.Error("half a state was read")
	}
}

// What is no /dev/tpms says so.
func TestOtherFiles(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	fd := int(null.Fd())
	for name, call := range map[string]func() error{
		"query":        func() error { _, err := Query(fd); return err },
		"filter":       func() error { _, err := Filter(fd); return err },
		"set filter":   func() error { return SetFilter(fd, "rsa") },
		"chip":         func() error { _, err := Chip(fd); return err },
		"set chip":     func() error { return SetChip(fd, 1) },
		"locality":     func() error { _, err := Locality(fd); return err },
		"set locality": func() error { return SetLocality(fd, 1) },
		"narrow":       func() error { return Narrow(fd, "use") },
		"seal":         func() error { return Seal(fd) },
	} {
		if err := call(); !errors.Is(err, unix.ENOTTY) || !strings.Contains(err.Error(), "it is no /dev/tpms") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Narrow(fd, strings.Repeat("x", FilterSize)); err == nil || !strings.Contains(err.Error(), "more than 15999 bytes") {
		t.Errorf("a long text: %v", err)
	}
}
