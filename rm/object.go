package rm

import (
	"math"
	"slices"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm/wire"
)

// An object is a key that the manager has loaded for its clients. It is on the chip (phandle), or saved (context), or both: a saved
// context stays good, so evicting again what was saved before is a single flush. With neither it is made again by its recipe, and lost if
// it has none.
//
//	loaded ──evict──► saved ──bring──► loaded and saved ──evict──► saved
//	   ▲                └──the chip refuses──► neither ──remake──► loaded
type object struct {
	info    filter.Object
	blob    [32]byte // what its auth value belongs to: whose was right before (U6)
	key     [32]byte // SHA-256 of its public area, if it was loaded from a blob: whose failed authorizations count (U11)
	phandle uint32   // 0 while not on the chip
	context []byte   // nil while never saved
	used    uint64   // by Manager.clock
	name    []byte   // nil: not known
	recipe  *recipe  // how it was made; nil: unknown
	missed  uint64   // by Manager.commandsRun: in which command the chip did not have it
	holders int      // virtual handles that stand for it, and the cache of primaries

	volatile bool // a hash sequence on the chip: it changes with each use, and what was saved of it before is not it any more
}

// holding is what a command names, and what therefore must stay on the chip until it was sent.
type holding struct {
	objects  []*object
	sessions []*session
	slots    int // that the command takes besides
}

// bring puts an object on the chip. The code is TPM_RC_REFERENCE_H0 for one that is lost, or what the chip says that is full.
func (m *Manager) bring(o *object, keep holding) (tpm2.TPMRC, error) {
	m.clock++
	o.used = m.clock
	keep.slots = 0
	switch {
	case o.phandle != 0:
		return 0, nil
	case o.context == nil:
		return m.remake(o, keep)
	}
	saved := keep
	saved.slots = 1
	if err := m.leaveRoom(saved); err != nil {
		return 0, err
	}
	m.making = &stray{name: o.name, info: o.info}
	handle, rc, err := m.load(o.context, saved)
	switch {
	case err != nil || isWarning(rc):
		return rc, err
	case rc != 0: // the TPM was reset since
		o.context = nil
		if m.suspectReset(); m.certain() != nil {
			return 0, m.broken
		}
		return m.remake(o, keep)
	}
	m.put(o, handle)
	if o.volatile {
		o.context = nil
	}
	return 0, nil
}

// put notes that an object is on the chip. Whatever was believed to be there under this handle is not.
func (m *Manager) put(o *object, phandle uint32) {
	m.objects = slices.DeleteFunc(m.objects, func(other *object) bool {
		stale := other.phandle == phandle
		if stale {
			other.phandle = 0
		}
		return stale
	})
	o.phandle, m.making = phandle, nil
	m.others = slices.DeleteFunc(m.others, func(handle uint32) bool { return handle == phandle })
	m.clock++
	o.used = m.clock
	m.objects = append(m.objects, o)
}

// miss notes that an object is not on the chip, although it was put there: the TPM was reset or cleared, and so nothing is. The handles of all that was
// loaded may be given out again, to us or to others, and are not touched any more. It reports false when the command that runs has missed the object before.
func (m *Manager) miss(o *object) bool {
	if o.missed == m.commandsRun {
		return false
	}
	o.missed = m.commandsRun
	if m.config.Sharing == Shared {
		m.suspectReset()
		return true
	}
	for _, o := range m.objects {
		o.phandle = 0
	}
	m.objects = nil
	return true
}

// takeOff flushes an object from the chip, if it is there.
func (m *Manager) takeOff(o *object) {
	if i := slices.Index(m.objects, o); i >= 0 {
		m.objects = slices.Delete(m.objects, i, i+1)
		what := o.stray()
		o.phandle = 0
		m.flush(what)
	}
}

// forget drops an object that is not on the chip any more.
func (m *Manager) forget(o *object) {
	m.objects = slices.DeleteFunc(m.objects, func(other *object) bool { return other == o })
	o.phandle, o.context = 0, nil
}

// evictOne saves and flushes the object that was used longest ago. It reports false when all that are loaded must stay.
func (m *Manager) evictOne(keep holding) (bool, error) {
	var oldest *object
	for _, o := range m.objects {
		if !slices.Contains(keep.objects, o) && (oldest == nil || o.used < oldest.used) {
			oldest = o
		}
	}
	if oldest == nil {
		return false, nil
	}
	return m.evict(oldest)
}

// evict saves an object, unless it was saved before, and flushes it. One that the chip refuses to save has only its recipe left; one that it refuses to save
// now stays, and the report is false.
func (m *Manager) evict(o *object) (bool, error) {
	if o.context == nil {
		context, rc, err := m.save(o.phandle)
		if err != nil || isWarning(rc) {
			return false, err
		}
		o.context = context
	}
	m.takeOff(o)
	return true, nil
}

// Slots of a chip that is shared with others. Every PC Client TPM has at least three (PTP 1.05, 4.4); one is left to the others.
const sharedSlots = 3 - 1

// limit is how many of the chip's slots may be ours. On a chip that is ours alone it is not known before the chip was full once, and
// above the kernel's manager the chip itself tells.
func (m *Manager) limit() int {
	switch {
	case m.config.Sharing == Shared:
		return sharedSlots
	case m.slots > 0:
		return m.slots
	}
	return math.MaxInt
}

// leaveRoom evicts until what a command takes fits beside what is there.
func (m *Manager) leaveRoom(keep holding) error {
	for len(m.objects)+keep.slots > m.limit() {
		if evicted, err := m.evictOne(keep); err != nil || !evicted {
			return err
		}
	}
	return nil
}

// leaveShare gives back what a single command needed beyond our share of a chip that others use too.
func (m *Manager) leaveShare() error {
	if m.config.Sharing != Shared {
		return nil
	}
	for len(m.loadedSessions()) > sharedSessions {
		if saved, err := m.saveOneSession(holding{}); err != nil || !saved {
			return err
		}
	}
	return m.leaveRoom(holding{})
}

// learnSlots remembers how many slots the chip has, now that it refused a command for want of one.
func (m *Manager) learnSlots(keep holding) {
	m.slots = len(m.objects) + keep.slots - 1
}

// hiddenSlots counts the slots that a command takes besides those of its transient handles: one for each persistent object that
// it names, one for what it makes, and TPM2_Create needs one to work in.
func hiddenSlots(c *wire.Command) int {
	n := 0
	for i := range c.Shape.Handles {
		if wire.IsPersistent(c.Handle(i)) {
			n++
		}
	}
	if c.Code == tpm2.TPMCCCreate || c.Shape.HandleOut() && c.Code != tpm2.TPMCCStartAuthSession {
		n++
	}
	return n
}

// giveBack leaves a shared chip to the others after a pause: everything is saved and flushed, the device closed.
func (m *Manager) giveBack() {
	if !m.turns.take(0, m.closed, nil) {
		return
	}
	defer m.turns.give()
	if time.Since(m.quiet) < idleBeforeReturn {
		return // a command came first
	}
	m.begin()
	if m.broken != nil {
		return // and is looked at again with the next command
	}
	for len(m.objects) > 0 {
		if evicted, err := m.evict(m.objects[0]); err != nil || !evicted {
			m.returnLater()
			return
		}
	}
	for _, s := range m.loadedSessions() {
		if _, err := m.saveSession(s); err != nil {
			return
		}
	}
	m.closeChip()
}
