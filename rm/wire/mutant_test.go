package wire_test

import (
	"bytes"
	"encoding/binary"
	"slices"

	"tpmkey.example/rm/wire"
)

// Mutants of a good command: each differs in one place. Handles stay as they are, since a chip that does not know a handle looks no further.

// mutants gives them one after another.
func mutants(command []byte, yield func(mutant []byte)) {
	c, err := wire.Parse(command)
	if err != nil {
		panic(err) // a good command that does not parse has been reported before
	}
	places := places(&c)
	changeHeader(command, yield)
	for _, i := range places {
		changeByte(command, i, yield)
		changeSelector(command, i, yield)
		yield(resized(command[:i], command[i+1:]))
		yield(resized(command[:i], []byte{0}, command[i:]))
		yield(resized(command[:i]))
	}
	for i := wire.HeaderSize; i < wire.HeaderSize+4*c.Shape.Handles; i++ {
		yield(resized(command[:i]))
	}
	for _, n := range []int{1, 2, 4, 16} {
		yield(resized(command, make([]byte, n)))
	}
	changeLengths(&c, yield)
}

// resized joins parts of a command and fills in the true size.
func resized(parts ...[]byte) []byte {
	b := bytes.Join(parts, nil)
	binary.BigEndian.PutUint32(b[2:], uint32(len(b)))
	return b
}

func changeByte(command []byte, i int, yield func([]byte)) {
	for _, change := range []byte{1, 0xFF, 0x80} {
		b := bytes.Clone(command)
		b[i] += change
		yield(b)
	}
}

func changeHeader(command []byte, yield func([]byte)) {
	for i, to := range map[int][]byte{
		0: {0x80, 0x00, 0x80, 0x03, 0x00, 0xC1, 0xFF, 0xFF}, // tags
		6: {0x20, 0x00, 0x00, 0x01, 0x40, 0x00, 0xFF, 0xFF}, // upper halves of command codes
		8: {0x00, 0x00, 0x01, 0x1E, 0x01, 0xFE, 0xFF, 0xFF}, // lower halves
	} {
		for ; len(to) > 0; to = to[2:] {
			yield(slices.Concat(command[:i], to[:2], command[i+2:]))
		}
	}
	for _, change := range []int{-1, 1, 16} {
		b := bytes.Clone(command)
		binary.BigEndian.PutUint32(b[2:], uint32(len(b)+change))
		yield(b)
	}
}

// Values of TPM_ALG_ID (Part 2, 6.3): what has a meaning somewhere, and what has none.
var selectors = []uint16{0, 1, 4, 5, 6, 8, 0xA, 0xB, 0xC, 0xD, 0x10, 0x12, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x1B, 0x1C, 0x1D,
	0x20, 0x22, 0x23, 0x25, 0x26, 0x27, 0x40, 0x43, 0x44, 0x99}

// changeSelector puts every selector where one may stand.
func changeSelector(command []byte, i int, yield func([]byte)) {
	if i+2 > len(command) || !slices.Contains(selectors[1:], binary.BigEndian.Uint16(command[i:])) {
		return
	}
	for _, selector := range selectors {
		b := bytes.Clone(command)
		binary.BigEndian.PutUint16(b[i:], selector)
		yield(b)
	}
}

// places are the bytes after the handles, but not those deep in a long parameter, which are data.
func places(c *wire.Command) (places []int) {
	const head, tail = 90, 6
	end := len(c.Bytes)
	for _, name := range slices.Backward(c.Shape.ParamNames()) {
		start := end - len(c.Param(name))
		for i := end - 1; i >= start; i-- {
			if i < start+head || i >= end-tail {
				places = append(places, i)
			}
		}
		end = start
	}
	for i := end - 1; i >= wire.HeaderSize+4*c.Shape.Handles; i-- {
		places = append(places, i)
	}
	return places
}

// Lengths around the limits of sized parameters.
var lengths = []int{0, 1, 16, 20, 32, 33, 48, 64, 65, 66, 67, 68, 69, 128, 129, 256, 257, 384, 385, 512, 513, 1024, 1025, 1300}

// changeLengths gives each sized parameter other lengths.
func changeLengths(c *wire.Command, yield func([]byte)) {
	end := len(c.Bytes)
	for _, name := range slices.Backward(c.Shape.ParamNames()) {
		p := c.Param(name)
		start := end - len(p)
		if len(p) >= 2 && int(binary.BigEndian.Uint16(p)) == len(p)-2 {
			for _, n := range lengths {
				yield(resized(c.Bytes[:start], sized(make([]byte, n)), c.Bytes[end:]))
			}
		}
		end = start
	}
}
