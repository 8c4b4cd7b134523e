package tpmtest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Marks of a dialogue file's lines. What follows is hexadecimal; other lines
// than these, blank ones and comments are errors.
const (
	markCommand  = "> "
	markResponse = "< "
	markComment  = "#"
)

// player answers commands from a recorded dialogue and accepts no other.
type player struct {
	t    testing.TB
	file string

	mu   sync.Mutex
	rest []Exchange // not asked for yet
}

// Dialogue replays the exchanges in a file: each command must come exactly as
// recorded and in that order, and all of them before the test ends, else the test
// fails. With the flag -update it uses record's Sender instead and writes the file
// anew when the test ends well.
func Dialogue(t testing.TB, file string, record func() Sender) Sender {
	t.Helper()
	if Update() {
		return renew(t, file, record())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: record it with go test -update", err)
	}
	exchanges, err := parseDialogue(text)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	p := &player{t: t, file: file, rest: exchanges}
	t.Cleanup(p.finish)
	return p
}

// Send returns the recorded response.
func (p *player) Send(command []byte) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.rest) == 0 {
		return nil, p.complain("command after the last: %x", command)
	}
	next := p.rest[0]
	if !bytes.Equal(command, next.Command) {
		return nil, p.complain("another command than recorded\n got %x\nwant %x", command, next.Command)
	}
	p.rest = p.rest[1:]
	return bytes.Clone(next.Response), nil
}

// complain fails the test and returns the same as an error.
func (p *player) complain(format string, args ...any) error {
	err := fmt.Errorf("dialogue "+p.file+": "+format, args...)
	p.t.Error(err)
	return err
}

func (p *player) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.rest) > 0 && !p.t.Failed() {
		p.t.Errorf("dialogue %s: %d commands never came, first %x", p.file, len(p.rest), p.rest[0].Command)
	}
}

// renew records to the file what the test sends.
func renew(t testing.TB, file string, below Sender) Sender {
	r := Record(below)
	t.Cleanup(func() {
		if t.Failed() || t.Skipped() {
			return
		}
		if err := writeDialogue(file, r.Log()); err != nil {
			t.Error(err)
		}
	})
	return r
}

func writeDialogue(file string, exchanges []Exchange) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, formatDialogue(exchanges), 0o644)
}

// formatDialogue is the inverse of parseDialogue.
func formatDialogue(exchanges []Exchange) []byte {
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s TPM dialogue, recorded by go test -update\n", markComment)
	for _, e := range exchanges {
		fmt.Fprintf(&text, "%s%x\n%s%x\n", markCommand, e.Command, markResponse, e.Response)
	}
	return text.Bytes()
}

// parseDialogue reads a file of commands, each followed by its response.
func parseDialogue(text []byte) ([]Exchange, error) {
	var exchanges []Exchange
	var command []byte // waits for its response
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, markComment) {
			continue
		}
		mark, message, err := parseLine(line)
		switch {
		case err != nil:
			return nil, err
		case (mark == markCommand) != (command == nil):
			return nil, fmt.Errorf("commands and responses do not alternate at %.40q", line)
		case mark == markCommand:
			command = message
		default:
			exchanges = append(exchanges, Exchange{Command: command, Response: message})
			command = nil
		}
	}
	if command != nil || len(exchanges) == 0 {
		return nil, fmt.Errorf("ends after %d whole exchanges", len(exchanges))
	}
	return exchanges, nil
}

func parseLine(line string) (mark string, message []byte, err error) {
	for _, mark := range []string{markCommand, markResponse} {
		digits, ok := strings.CutPrefix(line, mark)
		if !ok {
			continue
		}
		message, err := hex.DecodeString(digits)
		if err == nil && len(message) == 0 {
			err = fmt.Errorf("no message in line %q", line)
		}
		return mark, message, err
	}
	return "", nil, fmt.Errorf("neither command nor response: %.40q", line)
}
