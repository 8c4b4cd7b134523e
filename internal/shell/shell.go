// Package shell writes for shells.
package shell

import (
	"regexp"
	"strings"
)

// plainWord is what every shell takes as it stands.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./@%+][A-Za-z0-9_./@%+:,=-]*$`)

// Word writes a name for a command that somebody copies, as root perhaps: whoever named a file must not have written a command of his own.
func Word(text string) string {
	if plainWord.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
