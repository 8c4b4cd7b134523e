package filter

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

const (
	referenceFile = "../docs/filter.md"

	referenceHead = `# What the filter lets through

Made from the table that decides, by ` + "`go test ./filter -run TestReference -update`" + `, and compared with it by each ` + "`make test`" + `. [Profiles](profiles.md) tells how to choose and write one; ` + "`tpmkey filter explain COMMAND`" + ` says the same of one command, also of its bytes.

A command without a row is denied. *allow* sends a command to the chip when all of its conditions hold, *answer* lets tpmkeyd answer in software. What is denied gets the response 0x000B0143, TPM_RC_COMMAND_CODE of the resource manager's layer.
`
)

// The page says what the table says.
func TestReference(t *testing.T) {
	want := reference(t)
	if tpmtest.Update() {
		if err := os.WriteFile(referenceFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(referenceFile); err != nil || string(got) != want {
		t.Errorf("%s is not what the table says (%v); make it anew: go test ./filter -run TestReference -update", referenceFile, err)
	}
}

func reference(t *testing.T) string {
	var b strings.Builder
	b.WriteString(referenceHead)
	writeUniversal(&b)
	writeProfiles(t, &b)
	for _, name := range names {
		f, err := Named(name)
		if err != nil {
			t.Fatal(err)
		}
		writeRows(&b, f.profiles[0])
	}
	return b.String()
}

// writeUniversal tells what no profile takes back.
func writeUniversal(b *strings.Builder) {
	b.WriteString("\n## In every profile\n\n| | |\n|---|---|\n")
	for _, rule := range slices.Sorted(maps.Keys(universal)) {
		fmt.Fprintf(b, "| %s | %s |\n", rule, universal[rule])
	}
}

func writeProfiles(t *testing.T, b *strings.Builder) {
	b.WriteString("\n## Profiles\n\n| profile | for | commands to the chip | answered |\n|---|---|---|---|\n")
	for _, name := range names {
		f, err := Named(name)
		if err != nil {
			t.Fatal(err)
		}
		chip, answered := f.Count()
		fmt.Fprintf(b, "| [%[1]s](#%[2]s) | %[3]s | %[4]d | %[5]d |\n", name, strings.ReplaceAll(name, "+", ""), f.Purpose(), chip, answered)
	}
}

// writeRows tells all that a profile says itself: what it starts from is another one's.
func writeRows(b *strings.Builder, p *profile) {
	fmt.Fprintf(b, "\n### %s\n\n", p.name)
	if p.base != nil {
		fmt.Fprintf(b, "As [%[1]s](#%[2]s), but for:\n\n", p.base.name, strings.ReplaceAll(p.base.name, "+", ""))
	}
	for _, s := range settings {
		if *s.of(p) && (p.base == nil || !*s.of(p.base)) {
			fmt.Fprintf(b, "%s.\n\n", s.text)
		}
	}
	b.WriteString("| command | | why | if |\n|---|---|---|---|\n")
	for _, r := range p.rows {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", strings.ReplaceAll(r.commands(), "TPM2_", ""), r.verdict, r.reason, conditions(r))
	}
}

func conditions(r *row) string {
	var texts []string
	for _, l := range r.clauses {
		texts = append(texts, fmt.Sprintf("*%s* is %s", l.subject, l.text()))
	}
	return strings.Join(texts, "; ")
}
