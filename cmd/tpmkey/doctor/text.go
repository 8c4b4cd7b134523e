package doctor

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
)

// oneLine keeps what files and programs say from moving the cursor or looking like another finding.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.TrimSpace(text))
}

// stackLines are the lines of a trace, without blanks before them.
func stackLines(trace []byte) (lines []string) {
	for line := range bytes.Lines(trace) {
		lines = append(lines, strings.TrimSpace(string(line)))
	}
	return lines
}

// list writes words with commas, and an "and" before the last.
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
