package provider

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxName = 128 // bytes

// CheckName tells whether a name can be a key's: it becomes a file's name and a shell word.
func CheckName(name string) error {
	why := ""
	switch {
	case name == "":
		why = "it is empty"
	case len(name) > maxName:
		why = fmt.Sprintf("it has %d bytes, more than %d", len(name), maxName)
	case name[0] == '.' || name[0] == '-':
		why = fmt.Sprintf("it begins with %q", name[:1])
	case strings.ContainsFunc(name, func(r rune) bool { return r == '/' || r == utf8.RuneError || !unicode.IsPrint(r) }):
		why = "it has a slash, a control character or broken UTF-8 in it"
	}
	if why != "" {
		return fmt.Errorf("%w: %.40q: %s; use letters, digits, dot, dash and underscore", ErrName, name, why)
	}
	return nil
}

// CheckNewName tells whether a key can be given a name: CheckName, and it is not the name of a key's file, which people take for the key's own.
func CheckNewName(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if short, isFile := strings.CutSuffix(name, suffix); isFile {
		return fmt.Errorf("%w: %q ends as its file will; without %s: %s", ErrName, name, suffix, short)
	}
	return nil
}
