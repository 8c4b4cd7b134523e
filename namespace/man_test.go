package namespace

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The manual page has each key of a namespace, and no other.
func TestManPage(t *testing.T) {
	text, err := os.ReadFile("../docs/man/tpmkey-namespaces.5")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, m := range regexp.MustCompile(`(?m)^\.It Cm (.*)$`).FindAllStringSubmatch(string(text), -1) {
		told = append(told, strings.Split(m[1], " , ")...)
	}
	keys := strings.Split(known, ", ")
	slices.Sort(told)
	if slices.Sort(keys); !slices.Equal(told, keys) {
		t.Errorf("the page tells of %v, not of %v", told, keys)
	}
}
