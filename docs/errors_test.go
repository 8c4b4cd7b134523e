package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// speaking are the folders whose errors the tool prints.
var speaking = []string{"cmd/tpmkey", "provider", "rm/device", "internal/prompt", "signer", "filter", "namespace", "attest"}

// makers of errors, whose first argument is the text. What wraps another error is found by that one, and a command line that means nothing by its own row.
var makers = map[string]bool{"errors.New": true, "fmt.Errorf": true}

// Whoever looks for an error finds it: a row of the page has a part of every text that the tool prints as one.
func TestErrorsAreFound(t *testing.T) {
	parts := quoted(t, "troubleshooting.md")
	n := 0
	for _, folder := range speaking {
		for _, text := range errorsOf(t, "../"+folder) {
			n++
			if !hasPart(text, parts) {
				t.Errorf("%s: docs/troubleshooting.md has nothing of %q; give it a row, or a place in one", folder, text)
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d errors were found", n)
	}
}

// errorsOf are the texts of a folder's errors, but for those that only add to another one.
func errorsOf(t *testing.T, folder string) (texts []string) {
	t.Helper()
	files, err := filepath.Glob(folder + "/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(folder, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if text := errorText(n); text != "" && !strings.Contains(text, "%w") {
				texts = append(texts, text)
			}
			return true
		})
	}
	return texts
}

// errorText is the text that a call makes an error of.
func errorText(n ast.Node) string {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return ""
	}
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	room, ok := selector.X.(*ast.Ident)
	if !ok || !makers[room.Name+"."+selector.Sel.Name] {
		return ""
	}
	literal := call.Args[0]
	if sum, ok := literal.(*ast.BinaryExpr); ok { // what begins with a literal
		literal = sum.X
	}
	basic, ok := literal.(*ast.BasicLit)
	if !ok {
		return ""
	}
	text, _ := strconv.Unquote(basic.Value)
	return text
}

var verb = regexp.MustCompile(`%[-+#0-9.]*[a-zA-Z]`)

// hasPart tells whether one of the parts stands in a text, where … is what differs each time.
func hasPart(text string, parts []string) bool {
	said := verb.ReplaceAllString(text, "…")
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(said, part) })
}

// quoted are the parts of messages in the first column of a page's tables.
func quoted(t *testing.T, page string) (parts []string) {
	t.Helper()
	text := read(t, page)
	for _, row := range regexp.MustCompile(`(?m)^\| (.*?) \| `).FindAllStringSubmatch(text, -1) {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			parts = append(parts, m[1])
		}
	}
	if len(parts) == 0 {
		t.Fatalf("%s has no tables", page)
	}
	return parts
}
