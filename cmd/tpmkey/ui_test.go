package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

// What an error names moves no cursor, and cannot look like another error; errors that are joined stand on lines of their own.
func TestFail(t *testing.T) {
	one, two := errors.New("one"), errors.New("two")
	for _, row := range []struct {
		err  error
		want string
	}{
		{one, "tpmkey: error: one\n"},
		{errors.Join(one, two), "tpmkey: error: one\ntpmkey: error: two\n"},
		{errors.Join(one, errors.Join(two, one)), "tpmkey: error: one\ntpmkey: error: two\ntpmkey: error: one\n"},
		{fmt.Errorf("%w: %w", one, two), "tpmkey: error: one: two\n"},
		{fmt.Errorf("all: %w", errors.Join(one, two)), "tpmkey: error: all: one; two\n"},
		{&fs.PathError{Op: "open", Path: "a\ntpmkey: error: b\x1b[31m\u202e", Err: one}, "tpmkey: error: open a; tpmkey: error: b?[31m?: one\n"},
		{errors.Join(one, &fs.PathError{Op: "open", Path: "a\nb", Err: two}), "tpmkey: error: one\ntpmkey: error: open a; b: two\n"},
	} {
		var said bytes.Buffer
		(&tool{stderr: &said}).fail(row.err)
		if said.String() != row.want {
			t.Errorf("%q, want %q", &said, row.want)
		}
	}
}
