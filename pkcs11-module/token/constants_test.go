package token

import (
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	gotoken "go/token"
	"go/types"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The names and values are those of another program's list, which was made from the OASIS headers.
func TestConstants(t *testing.T) {
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/miekg/pkcs11").Output()
	if err != nil {
		t.Fatal(err)
	}
	theirs := constantsOf(t, filepath.Join(strings.TrimSpace(string(dir)), "zconst.go"))
	compared := 0
	for name, value := range constantsOf(t, "constants.go") {
		if !strings.HasPrefix(name, "CK") {
			continue
		}
		want, ok := theirs[name]
		if !ok && !notListed[name] {
			t.Errorf("%s: no such name", name)
		} else if ok && !constant.Compare(value, gotoken.EQL, want) {
			t.Errorf("%s is %s, want %s", name, value.ExactString(), want.ExactString())
		}
		compared++
	}
	if compared < 100 {
		t.Errorf("only %d constants", compared)
	}
}

// notListed are missing in the other list.
var notListed = map[string]bool{"CKA_PUBLIC_KEY_INFO": true, "CKF_FIND_OBJECTS": true, "CKA_UNIQUE_ID": true, "CKO_PROFILE": true, "CKA_PROFILE_ID": true,
	"CKP_BASELINE_PROVIDER": true, "CKP_PUBLIC_CERTIFICATES_TOKEN": true}

// constantsOf evaluates the constants of one file.
func constantsOf(t *testing.T, file string) map[string]constant.Value {
	t.Helper()
	set := gotoken.NewFileSet()
	parsed, err := parser.ParseFile(set, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	config := types.Config{Importer: importer.Default(), Error: func(error) {}}
	checked, _ := config.Check("constants", set, []*ast.File{parsed}, nil) // errors are other things than constants
	values := map[string]constant.Value{}
	for _, name := range checked.Scope().Names() {
		if c, ok := checked.Scope().Lookup(name).(*types.Const); ok {
			values[name] = c.Val()
		}
	}
	return values
}
