package device

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// An echo is a TPM that answers each command with its own bytes.
type echo struct{ tpmtest.Func }

func (echo) Close() error { return nil }

// Each whole command gets its response, however the stream comes; what follows the last one is said.
func TestRelay(t *testing.T) {
	random := []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 8}
	long := append([]byte{0x80, 1, 0, 0, 0x10, 0, 0, 0, 1, 0x7b}, make([]byte, wire.MaxCommand-wire.HeaderSize)...)
	for _, row := range []struct {
		name     string
		commands []byte
		rest     []byte // what is no command
		fails    string
	}{
		{"nothing", nil, nil, ""},
		{"one command", random, nil, ""},
		{"commands", append(append(append([]byte{}, random...), long...), random...), nil, ""},
		{"half a header", random, random[:3], "read a command: unexpected EOF"},
		{"a header", random, random[:wire.HeaderSize], "read a command: unexpected EOF"},
		{"half a command", random, random[:11], "read a command: unexpected EOF"},
		{"too short a command", random, []byte{0x80, 1, 0, 0, 0, 9, 0, 0, 1, 0x7b}, "it says that it has 9 bytes"},
		{"too long a command", random, []byte{0x80, 1, 0, 0, 0x10, 1, 0, 0, 1, 0x7b}, "it says that it has 4097 bytes"},
	} {
		d := &Device{sender: echo{func(command []byte) ([]byte, error) { return command, nil }}}
		stream := append(append([]byte{}, row.commands...), row.rest...)
		for _, from := range []io.Reader{bytes.NewReader(stream), iotest.OneByteReader(bytes.NewReader(stream))} {
			var responses bytes.Buffer
			err := d.Relay(from, &responses)
			if (err == nil) != (row.fails == "") || err != nil && !strings.Contains(err.Error(), row.fails) || !bytes.Equal(responses.Bytes(), row.commands) {
				t.Errorf("%s: %v, answered with %d bytes of %d", row.name, err, responses.Len(), len(row.commands))
			}
		}
	}
}

// A TPM that is gone, and a client that is, end it.
func TestRelayEnds(t *testing.T) {
	random := []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 8}
	gone := errors.New("gone")
	dead := &Device{sender: echo{func([]byte) ([]byte, error) { return nil, gone }}}
	if err := dead.Relay(bytes.NewReader(random), io.Discard); !errors.Is(err, gone) {
		t.Errorf("a TPM that is gone: %v", err)
	}
	d := &Device{sender: echo{func(command []byte) ([]byte, error) { return command, nil }}}
	ear, deaf := io.Pipe()
	ear.CloseWithError(gone)
	if err := d.Relay(bytes.NewReader(random), deaf); !errors.Is(err, gone) {
		t.Errorf("a client that is gone: %v", err)
	}
}
