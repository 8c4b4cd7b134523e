package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tpmkey.example/rm"
)

// The chips of a machine come and go. What is no chip has a name like one.
func TestChipNumbers(t *testing.T) {
	c := &chips{dir: t.TempDir()}
	defer c.close()
	if _, err := c.find(anyChip); err == nil || !strings.Contains(err.Error(), "there is no TPM, and no "+c.dir+"/tpm0") {
		t.Errorf("no chip: %v", err)
	}
	for _, name := range []string{"tpm10", "tpm2", "tpmrm2", "tpm", "tpms", "tpm02", "tpm-1", "tpm2x"} {
		if err := os.WriteFile(filepath.Join(c.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.numbers(); !slices.Equal(got, []int{2, 10}) {
		t.Errorf("chips %v", got)
	}
	for number, want := range map[int]int{anyChip: 2, 2: 2, 10: 10} {
		if got, err := c.find(number); got != want || err != nil {
			t.Errorf("chip %d is %d, %v", number, got, err)
		}
	}
	if _, err := c.find(1); err == nil || err.Error() != "there is no chip 1; there are: 2 10" {
		t.Errorf("chip 1: %v", err)
	}
	os.Rename(c.path(10), c.path(0))
	if got, err := c.find(anyChip); got != 0 || err != nil {
		t.Errorf("the first is %d, %v", got, err)
	}
}

// Each chip has one manager, and what was kept for it.
func TestManagerOfAChip(t *testing.T) {
	var asked []int
	broken := errors.New("what was kept is damaged")
	c := &chips{named: make([]rm.Config, 3), complete: func(n int, config rm.Config) (rm.Config, error) {
		if asked = append(asked, n); n == 2 {
			return config, broken
		}
		return config, nil
	}}
	first, err1 := c.manager(anyChip)
	again, err2 := c.manager(0)
	other, err3 := c.manager(1)
	if err := errors.Join(err1, err2, err3); err != nil || first != again || first == other || !slices.Equal(asked, []int{0, 1}) {
		t.Errorf("%v, asked for %v", err, asked)
	}
	if err := c.prepare(); err != broken {
		t.Errorf("prepared: %v", err)
	}
	if err := c.close(); err != nil {
		t.Error(err)
	}
	if _, err := c.manager(0); err != rm.ErrClosed {
		t.Errorf("after the end: %v", err)
	}
}
