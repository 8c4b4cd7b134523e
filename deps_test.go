// Package tpmkey has no code of its own, only tests of the whole source tree.
package tpmkey

import (
	"bufio"
	"bytes"
	"errors"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// folder is one row of the import table.
type folder struct {
	imports []string // our own packages that it may import
	never   []string // other packages that its job rules out
}

// Imports that several folders must do without.
const (
	pkcs11   = "github.com/miekg/pkcs11"
	commands = "github.com/google/go-tpm/tpm2"
	sockets  = "net"
)

// folders is the import table of the design. A new row or entry is a decision
// about the design: which parts there are and what each must not know of.
//
// Tests may import more (a provider's test needs a device), which Go itself
// keeps from becoming a cycle.
var folders = map[string]folder{
	"rm/wire":   {never: []string{sockets, "os"}},
	"filter":    {imports: []string{"rm/wire"}, never: []string{sockets}},
	"rm":        {imports: []string{"filter", "rm/wire"}, never: []string{sockets}},
	"rm/device": {imports: []string{"rm", "filter", "rm/wire", "internal/privilege"}},
	// tests only, held by TestTestPackages
	"rm/tpmtest": {imports: []string{"rm/wire"}},

	"internal/control": {},

	// read by who grants, and by who tells what is granted
	"namespace": {imports: []string{"filter"}, never: []string{sockets, commands}},

	// also for verifiers on other systems, who have no TPM
	"attest":        {imports: []string{"internal/roca"}, never: []string{sockets, "os"}},
	"internal/roca": {},

	"provider":           {imports: []string{"attest", "rm/wire", "internal/privilege", "internal/roca", "internal/shell"}, never: []string{sockets}},
	"signer":             {imports: []string{"provider", "rm/device"}, never: []string{commands}},
	"internal/prompt":    {imports: []string{"internal/privilege"}, never: []string{commands}},
	"internal/privilege": {},
	"internal/version":   {never: []string{sockets, commands}},
	"internal/shell":     {},
	"internal/ioctl":     {},

	// also for other people's programs
	"tpms": {imports: []string{"internal/ioctl"}, never: []string{sockets, commands}},

	// the core goes by two ways: into the module, and into its helper
	"pkcs11-module":       {imports: []string{"pkcs11-module/core"}, never: []string{commands}},
	"pkcs11-module/core":  {imports: []string{"pkcs11-module/token", "provider", "rm/device", "internal/prompt", "internal/privilege"}, never: []string{commands}},
	"pkcs11-module/token": {imports: []string{"provider", "internal/version"}},

	"cmd/tpmkey":               {imports: []string{"attest", "signer", "provider", "rm/device", "filter", "namespace", "internal/control", "internal/prompt", "internal/shell", "internal/version", "cmd/tpmkey/doctor"}},
	"cmd/tpmkey/doctor":        {imports: []string{"signer", "provider", "rm/device", "internal/prompt", "internal/shell"}, never: []string{sockets}},
	"cmd/tpmkeyd":              {imports: []string{"cmd/tpmkeyd/cuse", "tpms", "internal/ioctl", "rm", "rm/device", "rm/wire", "filter", "namespace", "internal/control", "internal/version"}},
	"cmd/tpmkeyd-metrics":      {imports: []string{"internal/control", "internal/version"}, never: []string{commands}},
	"cmd/tpmkeyd/cuse":         {never: []string{sockets, commands}},
	"cmd/tpmkey-pkcs11-helper": {imports: []string{"pkcs11-module/core"}, never: []string{commands}},
	"cmd/tpmkey-sim":           {},

	"demo":           {},
	"demo/tlsserver": {imports: []string{"signer"}},

	"bench/table": {imports: []string{"bench/chip"}, never: []string{sockets, "os"}},
	"bench/chip":  {imports: []string{"rm/wire"}, never: []string{sockets, "os"}},
}

// holders names, for an import that only some folders may have, these folders.
var holders = map[string][]string{
	"C":                               {"pkcs11-module"},
	"unsafe":                          {"pkcs11-module", "internal/ioctl"},
	"github.com/google/go-tpm-tools":  {"cmd/tpmkey-sim"},
	"github.com/foxboron":             nil, // an oracle of tests
	"github.com/ThalesGroup/crypto11": nil, // an oracle of tests
	"github.com/rogpeppe/go-internal": nil, // scripts of tests
	"github.com/c2sp/wycheproof":      nil, // vectors of tests
	"github.com/go-jose":              nil, // examples
	"github.com/prometheus":           {"cmd/tpmkeyd-metrics"},
	"github.com/pelletier/go-toml/v2": {"namespace"},
	"github.com/smallstep/pkcs7":      nil, // an example
	"github.com/letsencrypt/pebble":   nil, // an ACME server of tests
	"testing":                         {"rm/tpmtest"},
	pkcs11:                            nil, // the client that tests the module
}

func TestImports(t *testing.T) {
	module := modulePath(t)
	for _, file := range goFiles(t) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		dir := filepath.ToSlash(filepath.Dir(file))
		row, ok := folders[dir]
		if !ok {
			t.Errorf("%s: the import table has no row for this folder", file)
			continue
		}
		for _, path := range imports(t, file) {
			if why := row.refuses(dir, path, module); why != "" {
				t.Errorf("%s imports %q: %s", file, path, why)
			}
		}
	}
}

// refuses says why files in dir may not import path, "" if they may.
func (f folder) refuses(dir, path, module string) string {
	if own, ok := strings.CutPrefix(path, module+"/"); ok {
		if slices.Contains(f.imports, own) {
			return ""
		}
		return "not in the folder's row of the import table"
	}
	if slices.Contains(f.never, path) {
		return "ruled out for this folder by the import table"
	}
	for restricted, holders := range holders {
		if below(path, restricted) && !slices.Contains(holders, dir) {
			return "only for " + strings.Join(append(holders, "tests"), ", ")
		}
	}
	return ""
}

// below reports whether path is root or a package under it.
func below(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

func TestRefuses(t *testing.T) {
	for _, row := range []struct {
		dir, path string
		refused   bool
	}{
		{"provider", "crypto/rsa", false},
		{"provider", commands, false},
		{"provider", "net", true},
		{"provider", "net/url", false},
		{"provider", "C", true},
		{"provider", "m.example/rm/device", true},
		{"signer", "m.example/rm/device", false},
		{"signer", "m.example/rm", true},
		{"signer", commands, true},
		{"signer", commands + "/transport", false},
		{"pkcs11-module", "unsafe", false},
		{"pkcs11-module/token", "unsafe", true},
		{"cmd/tpmkeyd", "github.com/google/go-tpm-tools/simulator", true},
		{"cmd/tpmkey-sim", "github.com/google/go-tpm-tools/simulator", false},
		{"cmd/tpmkey", "testing", true},
	} {
		why := folders[row.dir].refuses(row.dir, row.path, "m.example")
		if row.refused != (why != "") {
			t.Errorf("%s imports %q: %q", row.dir, row.path, why)
		}
	}
}

// The test packages are for tests: nobody else may import them.
func TestTestPackages(t *testing.T) {
	for dir, row := range folders {
		if slices.Contains(row.imports, "rm/tpmtest") {
			t.Errorf("the row of %s has rm/tpmtest", dir)
		}
	}
}

// A row without a folder is a typing error or a leftover, unless the folder's own
// issue is still to come.
func TestRowsHaveFolders(t *testing.T) {
	toCome := []string{"internal/prompt"}
	for dir := range folders {
		if _, err := os.Stat(dir); err != nil && !slices.Contains(toCome, dir) {
			t.Errorf("row %q: %v", dir, err)
		}
	}
}

func TestMakeModulePath(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Fatal(err)
	}
	const renamed = "git.example.net/keys/renamed"
	old, tree := modulePath(t), t.TempDir()
	for _, file := range files(t, ".") {
		copyFile(t, file, filepath.Join(tree, file))
	}
	run(t, tree, "make", "module-path", "NEW="+renamed)
	leftover := []byte(old)
	for _, file := range files(t, tree) {
		if text := read(t, filepath.Join(tree, file)); bytes.Contains(text, leftover) {
			t.Errorf("%s still has the old path", file)
		}
	}
	// Every import must still be found; names in other places show when built.
	run(t, tree, "go", "vet", "./rm/wire", "./filter")
	run(t, tree, "go", "list", "-deps", "-test", "./...")
}

// The project's public name is not decided: the path in go.mod must be the only
// one in use. This finds what a change of it left behind, or brought in later.
func TestModulePathLeftovers(t *testing.T) {
	interim := "tpmkey" + ".example" // in two parts, or a change would change it too
	if modulePath(t) == interim {
		return
	}
	for _, file := range files(t, ".") {
		if bytes.Contains(read(t, file), []byte(interim)) {
			t.Errorf("%s has the old module path", file)
		}
	}
}

// Paths of the machine where somebody worked must not get into the project.
func TestMachinePaths(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	homes := regexp.MustCompile(`/(home|Users)/[a-z0-9._-]+|/root/go\b|/work/[a-z]+`)
	for _, file := range files(t, ".") {
		if file == "deps_test.go" {
			continue
		}
		for lines, n := bufio.NewScanner(bytes.NewReader(read(t, file))), 1; lines.Scan(); n++ {
			if path := homes.FindString(lines.Text()); path != "" {
				t.Errorf("%s:%d: path %s of some machine", file, n, path)
			}
			if strings.Count(here, "/") > 1 && strings.Contains(lines.Text(), here+"/") {
				t.Errorf("%s:%d: path of this checkout", file, n)
			}
		}
	}
}

// modulePath reads the module path from go.mod.
func modulePath(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(string(read(t, "go.mod"))) {
		if path, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(path)
		}
	}
	t.Fatal("go.mod names no module")
	return ""
}

// files lists the source tree below root, by paths relative to it: all but git's
// own files and what make builds.
func files(t *testing.T, root string) []string {
	t.Helper()
	var list []string
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && (path == ".git" || path == "build") {
			return fs.SkipDir
		}
		if err == nil && entry.Type().IsRegular() {
			list = append(list, path)
		}
		return err
	})
	if err == nil && len(list) == 0 {
		err = errors.New("no files")
	}
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// goFiles lists the Go files, which must be some.
func goFiles(t *testing.T) []string {
	t.Helper()
	list := slices.DeleteFunc(files(t, "."), func(file string) bool {
		return !strings.HasSuffix(file, ".go") || strings.Contains(file, "testdata/") || strings.HasPrefix(file, otherModule)
	})
	if len(list) < 10 {
		t.Fatalf("only %d Go files found", len(list))
	}
	return list
}

// otherModule has dependencies of its own: the libraries that tpmkey is measured against.
const otherModule = "bench/handshakes/"

// imports lists what a Go file imports, whatever its build constraints.
func imports(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, spec := range parsed.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, path)
	}
	return list
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	info, err := os.Stat(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, read(t, from), info.Mode())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	command := exec.Command(program, args...)
	command.Dir = dir
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, output)
	}
}
