package main

import (
	"strings"
	"testing"
)

// Whoever makes a key with a PIN learns what a wrong one costs, and how to get over it.
func TestCounting(t *testing.T) {
	for is, want := range map[counted][]string{
		{true, true}:   {"whole TPM", "24 hours", "sudo pkill -USR1 -x tpmkeyd"},
		{true, false}:  {"whole TPM"},
		{false, true}:  {"for minutes"},
		{false, false}: {"Nobody counts", "-da"},
	} {
		for _, word := range want {
			if !strings.Contains(counting[is], word) {
				t.Errorf("%+v: %q lacks %q", is, counting[is], word)
			}
		}
	}
}
