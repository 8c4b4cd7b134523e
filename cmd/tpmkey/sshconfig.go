package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// How ssh reads its configuration (ssh_config(5)): for each keyword the first value counts whose Host or Match block fits the host. So our lines stand at the
// end, in a block for all hosts: whoever has another module for some host keeps it.

// Our lines in the file, and how they are found again.
const (
	blockBegin = "# >>> tpmkey ssh"
	blockEnd   = "# <<< tpmkey ssh"
)

// sshBlock are our lines.
func sshBlock(value string) string {
	return blockBegin + ": keys in the TPM, for all hosts that name no other module\nHost *\n    PKCS11Provider " + value + "\n" + blockEnd + "\n"
}

// configValue writes a path as a value of ssh_config.
func configValue(path string) (string, error) {
	if strings.ContainsAny(path, `"'\`) || path != printable(path) {
		return "", fmt.Errorf("%q cannot stand in ssh's configuration: there is a quote, a backslash or a control character in it", path)
	}
	if strings.ContainsAny(path, " #=") {
		return `"` + path + `"`, nil
	}
	return path, nil
}

// An sshConfig is a configuration's text, cut at our lines.
type sshConfig struct {
	before, block, after string
}

// parseSSHConfig finds our lines. They have a blank line before them, which is ours too, unless they are the first.
func parseSSHConfig(text string) (c sshConfig, err error) {
	begin := lineStart(text, blockBegin)
	if begin < 0 {
		return sshConfig{before: text}, nil
	}
	end := lineStart(text[begin:], blockEnd)
	if next := lineStart(text[begin+1:], blockBegin); end < 0 || next >= 0 && next+1 < end {
		return c, fmt.Errorf("a line %q has no line %q after it; take out by hand what is left of these lines", blockBegin, blockEnd)
	}
	end += begin
	if n := strings.IndexByte(text[end:], '\n'); n >= 0 {
		end += n + 1
	} else {
		end = len(text)
	}
	before := text[:begin]
	if before == "\n" || strings.HasSuffix(before, "\n\n") {
		begin--
	}
	return sshConfig{text[:begin], text[begin:end], text[end:]}, nil
}

// lineStart is where a line begins that begins with a text, -1 if none does.
func lineStart(text, prefix string) int {
	if strings.HasPrefix(text, prefix) {
		return 0
	}
	if i := strings.Index(text, "\n"+prefix); i >= 0 {
		return i + 1
	}
	return -1
}

// without is the text without our lines. What was written below them, into our block for all hosts, stays for all hosts.
func (c sshConfig) without() string {
	after := c.after
	if c.block != "" {
		switch keyword, _ := firstStatement(after); keyword {
		case "", "host", "match":
		default:
			after = "Host *\n" + after
		}
	}
	return c.before + after
}

// masked is the text with the module taken out of our lines, so that the others keep their numbers.
func (c sshConfig) masked() string {
	if c.block == "" {
		return c.before
	}
	return c.before + "Host *" + strings.Repeat("\n", strings.Count(c.block, "\n")) + c.after
}

// with is the text with our lines at its end.
func (c sshConfig) with(block string) string {
	text := c.without()
	switch {
	case text == "":
		return block
	case !strings.HasSuffix(text, "\n"):
		text += "\n"
	}
	return text + "\n" + block
}

// A moduleSetting is a PKCS11Provider that somebody else wrote.
type moduleSetting struct {
	file  string
	line  int
	value string
	scope string // the Host or Match line that it stands below; "": it is for all hosts
}

func (s moduleSetting) String() string { return fmt.Sprintf("line %d of %s", s.line, s.file) }

// A configReader reads what ssh would read.
type configReader struct {
	dir      string // what Include is relative to
	home     string
	settings []moduleSetting
}

const maxInclude = 16 // levels, as in ssh

// read takes in a text, which counts below a scope.
func (r *configReader) read(file, text, scope string, depth int) {
	number, outer := 0, scope
	for line := range strings.Lines(text) {
		number++
		keyword, words := statement(line)
		switch keyword {
		case "host", "match":
			scope = outer
			if !forAll(keyword, words) && outer == "" {
				scope = strings.TrimSpace(line)
			}
		case "pkcs11provider":
			r.settings = append(r.settings, moduleSetting{file, number, strings.Join(words, " "), scope})
		case "include":
			r.include(words, scope, depth+1)
		}
	}
}

// include reads the files of an Include line. Those that cannot be read are ssh's business.
func (r *configReader) include(patterns []string, scope string, depth int) {
	if depth > maxInclude {
		return
	}
	for _, pattern := range patterns {
		if rest, ok := strings.CutPrefix(pattern, "~/"); ok {
			pattern = filepath.Join(r.home, rest)
		} else if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(r.dir, pattern)
		}
		files, _ := filepath.Glob(pattern) // a bad pattern finds nothing, in ssh too
		for _, file := range files {
			if text, err := readConfig(file); err == nil {
				r.read(file, text, scope, depth)
			}
		}
	}
}

// forAll tells whether a block is for every host.
func forAll(keyword string, words []string) bool {
	if keyword == "match" {
		return len(words) == 1 && strings.EqualFold(words[0], "all")
	}
	all := false
	for _, pattern := range words {
		if strings.HasPrefix(pattern, "!") {
			return false
		}
		all = all || strings.Trim(pattern, "*") == "" || pattern == "?*" || pattern == "*?"
	}
	return all
}

// firstStatement is the first line of a text that is not empty or a comment.
func firstStatement(text string) (keyword string, words []string) {
	for line := range strings.Lines(text) {
		if keyword, words = statement(line); keyword != "" {
			return keyword, words
		}
	}
	return "", nil
}

// statement takes a line apart: a keyword in lower case, perhaps an equals sign, and words, perhaps in quotes.
func statement(line string) (keyword string, words []string) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", nil
	}
	end := strings.IndexAny(line, " \t=\"")
	if end < 0 {
		return strings.ToLower(line), nil
	}
	rest := strings.TrimLeft(line[end:], " \t")
	rest = strings.TrimPrefix(rest, "=")
	return strings.ToLower(line[:end]), configWords(rest)
}

func configWords(text string) (words []string) {
	for text = strings.TrimLeft(text, " \t"); text != "" && text[0] != '#'; text = strings.TrimLeft(text, " \t") {
		var word string
		if text[0] == '"' {
			word, text, _ = strings.Cut(text[1:], `"`)
		} else if end := strings.IndexAny(text, " \t"); end >= 0 {
			word, text = text[:end], text[end:]
		} else {
			word, text = text, ""
		}
		words = append(words, word)
	}
	return words
}

const maxConfig = 1 << 20 // bytes

// readConfig reads a regular file, "" for one that is not there.
func readConfig(path string) (string, error) {
	text, err := readInput(path, maxConfig)
	if os.IsNotExist(err) {
		return "", nil
	}
	return string(text), err
}
