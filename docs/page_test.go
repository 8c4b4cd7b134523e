package docs

import (
	"regexp"
	"strings"
	"testing"
)

// A block is what stands between two fences of a page.
type block struct {
	language string // sh: what the reader types; text right after it: what that says, with … for what differs; console: what cannot be run in a test; others are not run
	text     string
	line     int
	reason   string // of console: why not
	follows  bool   // nothing but empty lines is between this and the block before it
}

// languages that a block may have.
var languages = regexp.MustCompile(`^(sh|text|console|go|c|mermaid)$`)

// unrun stands before a block of console, for readers and for the test, which names it.
var unrun = regexp.MustCompile(`^\*Not run by the tests(?: of this page)?: (.+)\.\*$`)

// readBlocks reads a page's blocks. Code that is not in one of them is an error, or nobody would run it.
func readBlocks(t *testing.T, file string) (blocks []block) {
	t.Helper()
	text := read(t, file)
	inside, before, after := false, "", ""
	for i, line := range strings.Split(text, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && inside:
			inside = false
		case isFence:
			inside = true
			before, after = "", before
			blocks = append(blocks, newBlock(t, file, i+1, fence, after))
		case inside:
			blocks[len(blocks)-1].text += line + "\n"
		case strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "\t"):
			t.Errorf("%s:%d: indented code, which no test sees; fence it", file, i+1)
		case line != "":
			before = line
		}
	}
	if inside {
		t.Errorf("%s: the last block has no end", file)
	}
	return blocks
}

func newBlock(t *testing.T, file string, line int, language, before string) block {
	t.Helper()
	b := block{language: language, line: line, follows: before == ""}
	if !languages.MatchString(language) {
		t.Errorf("%s:%d: a block in %q, which the test does not know", file, line, language)
	}
	reason := unrun.FindStringSubmatch(before)
	switch {
	case language == "console" && reason == nil:
		t.Errorf("%s:%d: nothing before it says why it is not run: %s", file, line, unrun)
	case language != "console" && reason != nil:
		t.Errorf("%s:%d: it is said not to be run, but is no console", file, line)
	case reason != nil:
		b.reason = reason[1]
	}
	return b
}

// background is the end of a line that starts a server.
var background = regexp.MustCompile(`(?m)^(.*\S) &( +#.*)?$`)

// script is what the reader types, with a mark before each block, so that what it says can be told from the rest. After the start of a server it waits, as a person does without noticing.
func script(blocks []block) string {
	var b strings.Builder
	b.WriteString("trap 'echo \"failed: $BASH_COMMAND\"' ERR\nexec 2>&1\n")
	for _, each := range blocks {
		if each.language == "sh" {
			b.WriteString("echo; echo " + mark + "\n")
			b.WriteString(background.ReplaceAllStringFunc(each.text, func(line string) string {
				return line + "\nawait '" + strings.ReplaceAll(line, "'", `'\''`) + "'"
			}))
		}
	}
	return b.String() + "echo; echo " + mark + "\n"
}

// mark separates what blocks say.
const mark = "=-=-="

// saysIn reports whether the lines of want are among those of said, in their order. An … stands for anything.
func saysIn(said, want string) bool {
	lines := strings.Split(said, "\n")
	for wanted := range strings.Lines(want) {
		pattern := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(wanted)), "…", ".*") + "$")
		for len(lines) > 0 && !pattern.MatchString(strings.TrimSpace(lines[0])) {
			lines = lines[1:]
		}
		if len(lines) == 0 {
			return false
		}
		lines = lines[1:]
	}
	return true
}

func TestSaysIn(t *testing.T) {
	const said = "one\ntwo 2\nthree\n"
	for want, is := range map[string]bool{"one\nthree\n": true, "two …\n": true, "three\none\n": false, "tw\n": false, "one\none\n": false, "": true} {
		if saysIn(said, want) != is {
			t.Errorf("%q in %q: not %v", want, said, is)
		}
	}
}
