package rm

import (
	"reflect"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm/wire"
)

// savedContexts are what the manager seals for clients.
func savedContexts(f *testing.F) [][]byte {
	f.Helper()
	var all [][]byte
	q := &sequence{alg: tpm2.TPMAlgSHA256, hash: hashes[tpm2.TPMAlgSHA256].New(), auth: []byte("pin")}
	ofSequence, err := q.describe()
	if err != nil {
		f.Fatal(err)
	}
	ofKey := savedContext{Info: filter.Object{Type: tpm2.TPMAlgRSA}, Recipes: []savedRecipe{{Command: startSession, Identity: []byte("a name"), Slots: 1}, {}}}
	for _, context := range []savedContext{ofSequence, ofKey, {Chip: []byte("the chip's own"), Volatile: true}, {Born: [8]byte{1}}, {}} {
		all = append(all, context.bytes())
	}
	return all
}

// Every field comes back.
func TestSavedContext(t *testing.T) {
	for _, context := range []savedContext{{}, {
		Info: filter.Object{Type: tpm2.TPMAlgRSA, Attributes: 0x12345678, Sequence: true}, Blob: [32]byte{1}, Key: [32]byte{31: 2}, Name: []byte("name"),
		Recipes: []savedRecipe{{Command: make([]byte, 4096), Identity: []byte("identity"), Slots: 1}, {Command: []byte("of the parent")}},
		Chip:    []byte("chip"), Volatile: true, Alg: tpm2.TPMAlgSHA256, State: []byte("state"), Auth: []byte("auth"), Born: [8]byte{7: 9},
	}} {
		plain := context.bytes()
		if got, ok := savedContextOf(plain); !ok || !reflect.DeepEqual(got, context) {
			t.Errorf("%+v\n%+v", got, context)
		}
		for n := range plain {
			if _, ok := savedContextOf(plain[:n]); ok {
				t.Errorf("%d bytes of %d are a context too", n, len(plain))
			}
		}
	}
}

// FuzzContextLoad: a client may send any bytes as a saved context, and even what is inside of the seal, which only this manager can have made, makes nothing
// worse than an answer.
func FuzzContextLoad(f *testing.F) {
	for _, plain := range savedContexts(f) {
		for _, kind := range []uint32{savedObject, savedSequence, 0x02000000, 0x03000001} {
			f.Add(kind, plain, true)
			f.Add(kind, plain, false)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint32, context []byte, sealed bool) {
		m := New(Config{Sharing: Alone, Open: func() (Chip, error) { return &gapChip{saved: map[uint32]uint64{}}, nil }})
		defer m.Close()
		s := mustOpen(t, m, 1)
		label := wire.NewMessage(0, 0).Uint32(0).Uint32(1).Uint32(kind).Uint32(uint32(tpm2.TPMRHOwner)).Bytes()[wire.HeaderSize:]
		if sealed {
			seal, err := m.contextSeal()
			if err != nil {
				t.Fatal(err)
			}
			context = seal.Seal(nil, nil, context, s.owns(label))
		}
		if len(context) > 3000 {
			return
		}
		command := wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCContextLoad)).Raw(label).Uint16(uint16(len(context))).Raw(context).Bytes()
		response, err := s.Send(command)
		if err != nil {
			t.Fatalf("%v", err)
		}
		h, err := wire.CheckResponse(response, tpm2.TPMSTNoSessions)
		if err != nil || h.Code == 0 && !sealed {
			t.Errorf("%x, %v", response, err)
		}
	})
}
