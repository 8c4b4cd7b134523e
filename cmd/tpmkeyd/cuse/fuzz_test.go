package cuse

import (
	"bytes"
	"testing"
)

// FuzzParse: what is taken apart is as long as it says, and put together again says the same.
func FuzzParse(f *testing.F) {
	c := Caller{1000, 100, 4711}
	for _, seed := range [][]byte{
		request(opInit, 2, c, u32s(7, 38, 0, 1)), request(opOpen, 4, c, u32s(2, 0)), request(opRead, 6, c, readIn(1, 4096, 0)),
		request(opWrite, 8, c, writeIn(1, 2048, "data")), request(opIoctl, 10, c, ioctlIn(1, 7, "argument", 8)), request(opPoll, 12, c, pollIn(1, 2, 1)),
		request(opRelease, 14, Caller{}, releaseIn(1)), request(opInterrupt, 17, c, u64s(16)), request(38, 18, c), {}, make([]byte, headerSize),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if err != nil {
			return
		}
		if _, known := fixedSize[m.opcode]; !known {
			return
		}
		again, err := parse(m.bytes())
		if err != nil || !bytes.Equal(again.data, m.data) {
			t.Fatalf("%x: %v", b, err)
		}
		if again.data, m.data = nil, nil; !equal(again, m) {
			t.Fatalf("%x: %+v, then %+v", b, m, again)
		}
	})
}

func equal(a, b message) bool {
	return a.opcode == b.opcode && a.unique == b.unique && a.caller == b.caller && a.handle == b.handle && a.flags == b.flags && a.size == b.size &&
		a.about == b.about && a.number == b.number && a.major == b.major && a.minor == b.minor
}

// bytes is the request that says what a message knows.
func (m *message) bytes() []byte {
	var in []byte
	switch m.opcode {
	case opInit:
		in = u32s(m.major, m.minor, 0, 0)
	case opOpen:
		in = u32s(m.flags, 0)
	case opRead:
		in = readIn(m.handle, m.size, m.flags)
	case opWrite:
		in = writeIn(m.handle, m.flags, string(m.data))
	case opRelease:
		in = releaseIn(m.handle)
	case opInterrupt:
		in = u64s(m.about)
	case opIoctl:
		in = append(append(append(u64s(m.handle), u32s(m.flags, m.number)...), append(u64s(0), u32s(uint32(len(m.data)), m.size)...)...), m.data...)
	case opPoll:
		in = pollIn(m.handle, m.about, m.flags)
	}
	return request(m.opcode, m.unique, m.caller, in)
}
