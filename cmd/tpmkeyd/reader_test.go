package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"tpmkey.example/rm/wire"
)

// pieces is a connection on which bytes come in pieces. It notes which of them had to come in time.
type pieces struct {
	net.Conn
	left    [][]byte
	limited bool
	hurried []bool // for each read
}

func (p *pieces) SetReadDeadline(at time.Time) error {
	p.limited = !at.IsZero()
	return nil
}

func (p *pieces) Read(b []byte) (int, error) {
	p.hurried = append(p.hurried, p.limited)
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.left[0])
	if p.left[0] = p.left[0][n:]; len(p.left[0]) == 0 {
		p.left = p.left[1:]
	}
	return n, nil
}

// message is a command of some size.
func message(size int) []byte {
	return wire.NewMessage(0x8001, 0x17b).Raw(bytes.Repeat([]byte{byte(size)}, size-wire.HeaderSize)).Bytes()
}

// cut cuts bytes into pieces of given sizes; the last one is what is left.
func cut(b []byte, sizes ...int) (all [][]byte) {
	for _, n := range sizes {
		all, b = append(all, b[:n]), b[n:]
	}
	return append(all, b)
}

func TestReader(t *testing.T) {
	small, large := message(12), message(wire.MaxCommand)
	both, many := slices.Concat(small, large), slices.Concat(small, small, small)
	for _, row := range []struct {
		name    string
		pieces  [][]byte
		want    [][]byte
		err     string
		hurried []bool // idle reads, also the one that meets the end, have no deadline
	}{
		{"at once", cut(small), [][]byte{small}, "EOF", []bool{false, false}},
		{"one after the other", cut(many, 12, 12), [][]byte{small, small, small}, "EOF", []bool{false, false, false, false}},
		{"together", cut(many), [][]byte{small, small, small}, "EOF", []bool{false, false}},
		{"in the header", cut(small, 1), [][]byte{small}, "EOF", []bool{false, true, false}},
		{"twice in the header", cut(many[:24], 1, 11, 1), [][]byte{small, small}, "EOF", []bool{false, true, false, true, false}},
		{"after the header", cut(small, 10), [][]byte{small}, "EOF", []bool{false, true, false}},
		{"larger than the buffer", cut(large), [][]byte{large}, "EOF", []bool{false, true, false}},
		{"large after small", cut(both), [][]byte{small, large}, "EOF", []bool{false, true, false}},
		{"one and a half", cut(many, 15, 5), [][]byte{small, small, small}, "EOF", []bool{false, true, true, false}},
		{"half", cut(small[:11]), nil, "half a command: unexpected EOF", []bool{false, true}},
		{"half a header", cut(small[:3]), nil, "half a command: unexpected EOF", []bool{false, true}},
		{"none", nil, nil, "EOF", []bool{false}},
		{"too large", cut(message(wire.MaxCommand + 1)), nil, "says it has 4097 bytes", []bool{false}},
	} {
		conn := &pieces{left: row.pieces}
		got, err := readAll(conn)
		if !slices.EqualFunc(got, row.want, bytes.Equal) || !strings.Contains(err.Error(), row.err) {
			t.Errorf("%s: %x, %v; want %x, %s", row.name, got, err, row.want, row.err)
		}
		if idle := errors.Is(err, io.EOF); idle != (row.err == "EOF") {
			t.Errorf("%s: the end of the connection is told as %v", row.name, err)
		}
		if !slices.Equal(conn.hurried, row.hurried) {
			t.Errorf("%s: reads with a deadline: %v, want %v", row.name, conn.hurried, row.hurried)
		}
	}
}

func readAll(conn net.Conn) (commands [][]byte, err error) {
	r := reader{conn: conn}
	for {
		command, err := r.command()
		if err != nil {
			return commands, err
		}
		commands = append(commands, command)
	}
}
