package rm

import (
	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm/wire"
)

// savedContext is what is sealed.
type savedContext struct {
	Info    filter.Object
	Blob    [32]byte
	Key     [32]byte
	Name    []byte
	Recipes []savedRecipe // from the object to its oldest parent
	Chip    []byte        // the chip's own context, where there is no recipe

	Volatile bool // what the chip saved is a sequence

	Alg         tpm2.TPMAlgID // of a sequence
	State, Auth []byte

	Born [8]byte // of a session: the manager's life in which it can be claimed
}

type savedRecipe struct {
	Command, Identity []byte
	Slots             int
}

// bytes are the fields in their order, as a message without a meaning of its own.
func (s *savedContext) bytes() []byte {
	m := wire.NewMessage(0, 0).Uint16(uint16(s.Info.Type)).Uint32(s.Info.Attributes).Uint8(flag(s.Info.Sequence)).Raw(s.Blob[:]).Raw(s.Key[:])
	sized(m, s.Name).Uint8(uint8(len(s.Recipes)))
	for _, r := range s.Recipes {
		sized(sized(m, r.Command), r.Identity).Uint8(uint8(r.Slots))
	}
	sized(m, s.Chip).Uint8(flag(s.Volatile)).Uint16(uint16(s.Alg))
	return sized(sized(m, s.State), s.Auth).Raw(s.Born[:]).Bytes()
}

// savedContextOf reports false for bytes that are not a whole context.
func savedContextOf(b []byte) (s savedContext, ok bool) {
	c := wire.NewCursor(b)
	c.Take(wire.HeaderSize)
	s.Info = filter.Object{Type: c.Alg(), Attributes: c.Uint32(), Sequence: c.Uint8() != 0}
	copy(s.Blob[:], c.Take(len(s.Blob)))
	copy(s.Key[:], c.Take(len(s.Key)))
	s.Name = own(c.Sized())
	for n := c.Uint8(); n > 0 && !c.Failed(); n-- {
		s.Recipes = append(s.Recipes, savedRecipe{own(c.Sized()), own(c.Sized()), int(c.Uint8())})
	}
	s.Chip, s.Volatile, s.Alg = own(c.Sized()), c.Uint8() != 0, c.Alg()
	s.State, s.Auth = own(c.Sized()), own(c.Sized())
	copy(s.Born[:], c.Take(len(s.Born)))
	return s, c.Done()
}

func sized(m *wire.Message, b []byte) *wire.Message { return m.Uint16(uint16(len(b))).Raw(b) }

func flag(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// own is a copy, nil of no bytes: they mean that nothing is known.
func own(b []byte) []byte { return append([]byte(nil), b...) }
