package token

import (
	"bytes"
	"slices"
	"testing"
)

// What a file says of objects is read whole or, where it is damaged, up to there; what was read is written back the same.
func FuzzNotes(f *testing.F) {
	f.Add([]byte{})
	f.Add(notes{CKO_DATA: {CKA_VALUE: data, CKA_LABEL: nil}, CKO_PUBLIC_KEY: {hidden: []byte{1}}}.format())
	f.Add(slices.Concat(number(CKO_DATA), number(CKA_LABEL), number(uint64(1)<<40)))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := readNotes(b)
		again := n.format()
		if len(again) > len(b) || !bytes.Equal(readNotes(again).format(), again) {
			t.Errorf("%x became %x", b, again)
		}
	})
}
