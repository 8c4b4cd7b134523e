package rm

import (
	"bytes"
	"slices"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// A recipe makes an object again that the chip has lost: after a reset, a broken connection, or a save that it refused. It is the command
// that made the object, kept where nothing secret is needed to send it again.
type recipe struct {
	command  []byte  // a whole TPM2_Load or TPM2_CreatePrimary, with the client's handles
	slots    int     // that it takes besides a transient parent
	identity []byte  // the first parameter of its response: the Name, or the whole public area
	parent   *recipe // nil: the parent is persistent, or a hierarchy
}

// recipeOf is how the object of a successful command was made, nil when that cannot be done again.
func (s *Space) recipeOf(c *wire.Command, response []byte) *recipe {
	if !repeatable(c) {
		return nil
	}
	cursor := wire.NewCursor(response[responseHandle:])
	cursor.Uint32() // the size of the parameters
	r := &recipe{command: bytes.Clone(c.Bytes), slots: hiddenSlots(c), identity: bytes.Clone(cursor.Sized())}
	if parent := s.objects[c.Handle(0)]; parent != nil {
		if r.parent = parent.recipe; r.parent == nil {
			return nil
		}
	}
	if cursor.Failed() {
		return nil
	}
	return r
}

// name is that of the object.
func (r *recipe) name() []byte {
	if h, _ := wire.ParseHeader(r.command); tpm2.TPMCC(h.Code) == tpm2.TPMCCLoad {
		return r.identity
	}
	return nameOf(r.identity)
}

// persistentParent is the handle of the parent, 0 where that is none that is persistent.
func (r *recipe) persistentParent() uint32 {
	if parent := wire.NewCursor(r.command[wire.HeaderSize:]); r.parent == nil {
		if handle := parent.Uint32(); wire.IsPersistent(handle) {
			return handle
		}
	}
	return 0
}

// repeatable tells whether a command can be sent again without anybody's secret: its only authorization is an empty password.
func repeatable(c *wire.Command) bool {
	if c.Code != tpm2.TPMCCLoad {
		return primaryKey(c) != ""
	}
	return hasEmptyPassword(c)
}

// remake puts a lost object on the chip again.
func (m *Manager) remake(o *object, keep holding) (tpm2.TPMRC, error) {
	if o.recipe == nil {
		return rcReferenceH0, nil
	}
	handle, rc, err := m.follow(o.recipe, keep)
	switch {
	case err != nil || isWarning(rc):
		return rc, err
	case rc != 0:
		m.dropPrimary(o) // the next client gets what the chip makes now
		return rc, nil
	}
	m.put(o, handle)
	return 0, nil
}

// follow makes an object as its recipe says. A chip that has been cleared makes another one or none: then it is gone for good.
func (m *Manager) follow(r *recipe, keep holding) (uint32, tpm2.TPMRC, error) {
	command, below := bytes.Clone(r.command), keep
	var parent *object
	if r.parent != nil {
		var err error
		var rc tpm2.TPMRC
		if parent, rc, err = m.parentFor(r.parent, keep); err != nil || rc != 0 {
			return 0, rc, err
		}
		defer m.letGo(parent)
		below.objects = append(slices.Clone(keep.objects), parent)
		wire.SetHandle(command, 0, parent.phandle)
	}
	below.slots += r.slots
	persistent := r.persistentParent()
	if persistent != 0 {
		if rc, err := m.mayRemake(persistent, below); err != nil || rc != 0 {
			return 0, rc, err
		}
	}
	if err := m.leaveRoom(below); err != nil {
		return 0, 0, err
	}
	m.making = &stray{name: r.name()}
	response, rc, err := m.sendMakingRoom(command, below)
	if err == nil && persistent != 0 {
		m.noteRemade(persistent, rc)
	}
	switch {
	case err != nil || isWarning(rc):
		return 0, rc, err
	case rc == rcReferenceH0 && parent != nil && m.miss(parent):
		return m.follow(r, keep)
	case rc != 0 || len(response) < responseHandle:
		return 0, rcReferenceH0, nil
	}
	return m.recognise(r, response)
}

// recognise makes sure that what the chip made is what was lost.
func (m *Manager) recognise(r *recipe, response []byte) (uint32, tpm2.TPMRC, error) {
	cursor := wire.NewCursor(response[handleOffset:])
	handle := cursor.Uint32()
	cursor.Uint32() // the size of the parameters
	if identity := cursor.Sized(); cursor.Failed() || !bytes.Equal(identity, r.identity) {
		m.flush(stray{handle: handle})
		return 0, rcReferenceH0, nil
	}
	return handle, 0, nil
}

// parentFor puts a parent on the chip: the remembered one of its kind, or one that goes when its only holder, the caller, lets go of it.
func (m *Manager) parentFor(r *recipe, keep holding) (*object, tpm2.TPMRC, error) {
	o := &object{recipe: r}
	if p := m.primaries[string(r.command)]; p != nil {
		o = p.object
	}
	o.holders++
	rc, err := m.bring(o, keep)
	if err != nil || rc != 0 {
		m.letGo(o)
	}
	return o, rc, err
}
