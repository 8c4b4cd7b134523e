package rm

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding"
	"encoding/binary"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// A client's saved context (TPM2_ContextSave) is not the chip's: those load in any connection, for anybody, and not after a reset. It is sealed by the
// manager for one principal and holds how the object is made again, so that files of saved contexts work as long as the key that they stand for.

// What the savedHandle and the hierarchy of a TPMS_CONTEXT say (Part 2, 14.4): a transient object, and a sequence.
const (
	savedObject   uint32 = 0x80000000
	savedSequence uint32 = 0x80000001
)

// What is said of a context, parameter 1 of TPM2_ContextLoad: not sealed here for this principal, and that its session is not saved any more.
const (
	rcContextIntegrity = tpm2.TPMRCIntegrity | 0x40 | 1<<8
	rcContextHandle    = tpm2.TPMRCHandle | 0x40 | 1<<8
)

// saveContext is TPM2_ContextSave (Part 3, 28.2) of an object, a hash sequence or a session.
func (s *Space) saveContext(c *wire.Command) ([]byte, error) {
	handle, hierarchy := savedObject, uint32(tpm2.TPMRHOwner)
	var context savedContext
	var rc tpm2.TPMRC
	var err error
	switch named := c.Handle(0); {
	case s.objects[named] != nil:
		context, rc, err = s.manager.describe(s.objects[named])
	case s.sequences[named] != nil:
		handle, hierarchy = savedSequence, uint32(tpm2.TPMRHNull)
		context, err = s.sequences[named].describe()
	case s.sessions[named] != nil:
		handle, hierarchy = named, uint32(tpm2.TPMRHNull)
		context = savedContext{Born: s.manager.born}
	default:
		rc = rcReferenceH0
	}
	if err != nil || rc != 0 {
		return wire.ErrorResponse(rc), err
	}
	s.manager.saved++
	label := wire.NewMessage(0, 0).Uint32(uint32(s.manager.saved >> 32)).Uint32(uint32(s.manager.saved)).Uint32(handle).Uint32(hierarchy).Bytes()[wire.HeaderSize:]
	sealed, err := s.sealContext(label, context)
	if err != nil {
		return nil, err
	}
	if parked := s.sessions[handle]; parked != nil {
		s.park(parked, s.manager.saved)
	}
	return wire.NewMessage(c.Tag, 0).Raw(label).Uint16(uint16(len(sealed))).Raw(sealed).Bytes(), nil
}

// describe is what makes an object again: its recipe, else what the chip has saved of it.
func (m *Manager) describe(o *object) (savedContext, tpm2.TPMRC, error) {
	context := savedContext{Info: o.info, Blob: o.blob, Key: o.key, Name: o.name, Volatile: o.volatile}
	for r := o.recipe; r != nil; r = r.parent {
		context.Recipes = append(context.Recipes, savedRecipe{r.command, r.identity, r.slots})
	}
	if o.recipe != nil {
		return context, 0, nil
	}
	if context.Chip = o.context; context.Chip != nil {
		return context, 0, nil
	}
	rc, err := m.bring(o, holding{objects: []*object{o}})
	if err != nil || rc != 0 {
		return context, rc, err
	}
	context.Chip, rc, err = m.save(o.phandle)
	if !o.volatile {
		o.context = context.Chip
	}
	return context, rc, err
}

func (q *sequence) describe() (savedContext, error) {
	state, err := q.hash.(encoding.BinaryMarshaler).MarshalBinary()
	return savedContext{Alg: q.alg, State: state, Auth: q.auth}, err
}

// loadContext is TPM2_ContextLoad (Part 3, 28.3) of what saveContext gave to the same principal. The chip is not asked before the object is used.
func (s *Space) loadContext(c *wire.Command) ([]byte, error) {
	cursor := wire.NewCursor(c.Param("context"))
	label, sealed := cursor.Take(8+4+4), cursor.Sized()
	context, ok, err := s.openContext(label, sealed)
	if err != nil || !ok {
		return wire.ErrorResponse(rcContextIntegrity), err
	}
	serial, kind := binary.BigEndian.Uint64(label), binary.BigEndian.Uint32(label[8:])
	if wire.IsAuthSession(kind) {
		return s.claim(c, kind, serial, context), nil
	}
	vhandle, ok := s.revive(kind, context)
	if !ok {
		return wire.ErrorResponse(rcContextIntegrity), nil
	}
	return wire.NewMessage(c.Tag, 0).Uint32(vhandle).Bytes(), nil
}

// claim makes a session that the same principal has saved this client's. Each saved context is good for one load.
func (s *Space) claim(c *wire.Command, handle uint32, serial uint64, context savedContext) []byte {
	if len(s.sessions) >= s.limits.Sessions {
		return wire.ErrorResponse(rcSessionQuota)
	}
	for _, parked := range s.manager.sessions {
		if parked.space == nil && parked.principal == s.principal && parked.handle == handle && parked.serial == serial && context.Born == s.manager.born {
			parked.space = s
			s.sessions[handle] = parked
			return wire.NewMessage(c.Tag, 0).Uint32(handle).Bytes()
		}
	}
	return wire.ErrorResponse(rcContextHandle)
}

func (s *Space) revive(kind uint32, context savedContext) (vhandle uint32, ok bool) {
	if kind == savedObject {
		return s.give(&object{info: context.Info, blob: context.Blob, key: context.Key, name: context.Name, recipe: recipeFrom(context.Recipes), context: context.Chip, volatile: context.Volatile}), true
	}
	h, ok := hashes[context.Alg]
	if !ok {
		return 0, false
	}
	q := &sequence{alg: context.Alg, hash: h.New(), auth: context.Auth}
	if q.hash.(encoding.BinaryUnmarshaler).UnmarshalBinary(context.State) != nil {
		return 0, false
	}
	vhandle = s.freeHandle()
	s.sequences[vhandle] = q
	return vhandle, true
}

func recipeFrom(list []savedRecipe) *recipe {
	if len(list) == 0 {
		return nil
	}
	first := list[0]
	return &recipe{command: first.Command, identity: first.Identity, slots: first.Slots, parent: recipeFrom(list[1:])}
}

// sealContext encrypts a context for the space's principal.
func (s *Space) sealContext(label []byte, context savedContext) ([]byte, error) {
	seal, err := s.manager.contextSeal()
	if err != nil {
		return nil, err
	}
	return seal.Seal(nil, nil, context.bytes(), s.owns(label)), nil
}

// openContext reports false for what was not sealed here, for this principal, with this label.
func (s *Space) openContext(label, sealed []byte) (context savedContext, ok bool, err error) {
	seal, err := s.manager.contextSeal()
	if err != nil {
		return context, false, err
	}
	plain, err := seal.Open(nil, nil, sealed, s.owns(label))
	if err != nil {
		return context, false, nil
	}
	context, ok = savedContextOf(plain)
	return context, ok, nil
}

// owns binds a context to its label and to its principal.
func (s *Space) owns(label []byte) []byte {
	return binary.BigEndian.AppendUint32(append([]byte("tpmkey context 2"), label...), s.principal)
}

func (m *Manager) contextSeal() (cipher.AEAD, error) {
	if m.seal != nil {
		return m.seal, nil
	}
	var key [32]byte
	rand.Read(key[:])
	if m.config.ContextKey != nil {
		var err error
		if key, err = m.config.ContextKey(); err != nil {
			return nil, err
		}
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	m.seal, err = cipher.NewGCMWithRandomNonce(block)
	return m.seal, err
}
