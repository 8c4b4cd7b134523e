// Package shell writes for shells.
package shell

import "strings"

const (
	plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./@%+" // to every shell, wherever it stands
	inner = ":,=-"                                                                 // plain too, but not as the first
)

// isPlainWord tells whether every shell takes a word as it stands.
func isPlainWord(text string) bool {
	return text != "" && strings.Trim(text, plain+inner) == "" && strings.ContainsRune(plain, rune(text[0]))
}

// Word writes a name for a command that somebody copies, as root perhaps: whoever named a file must not have written a command of his own.
func Word(text string) string {
	if isPlainWord(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
