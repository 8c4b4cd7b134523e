package token

import (
	"maps"
	"slices"

	"tpmkey.example/provider"
)

// A key's file has notes of what its objects say of themselves: rows of class, attribute and value. The label and the id of the private key are the file's, and
// those of the other parts too where they say nothing else.

// hidden is noted of the public part when a host has destroyed it.
const hidden attributeType = 0xFFFFFFFF

func (o *object) isHidden() bool { return o.own[hidden] != nil }

type notes map[uint64]map[attributeType][]byte

// readNotes reads what format wrote; of what is damaged, as much as is whole.
func readNotes(b []byte) notes {
	n := notes{}
	for r := (&request{rest: b}); len(r.rest) > 0; {
		class, kind, value := r.number(), attributeType(r.number()), r.bytes()
		if r.bad {
			break
		}
		if n[class] == nil {
			n[class] = map[attributeType][]byte{}
		}
		n[class][kind] = value
	}
	return n
}

func (n notes) format() []byte {
	var r response
	for _, class := range slices.Sorted(maps.Keys(n)) {
		for _, kind := range slices.Sorted(maps.Keys(n[class])) {
			r.number(class).number(uint64(kind)).bytes(n[class][kind])
		}
	}
	return r.b
}

// note is what the key's file is to say after an object of it has changed.
func (o *object) note() provider.Note {
	all := readNotes(o.key.Notes())
	own := maps.Clone(o.own)
	note := provider.Note{Label: o.key.Label(), ID: o.key.ID()}
	if o.class == CKO_PRIVATE_KEY {
		if label, ok := own[CKA_LABEL]; ok {
			note.Label = string(label)
		}
		if id, ok := own[CKA_ID]; ok {
			note.ID = id
		}
		delete(own, CKA_LABEL)
		delete(own, CKA_ID)
	}
	all[o.class] = own
	note.Notes = all.format()
	return note
}

// hide notes that a key's public part is not to be shown any more.
func (t *token) hide(o *object) error {
	gone := *o
	gone.own = maps.Clone(o.own)
	if gone.own == nil {
		gone.own = map[attributeType][]byte{}
	}
	gone.own[hidden] = []byte{1}
	_, err := t.keys.Note(o.key, gone.note())
	return err
}
