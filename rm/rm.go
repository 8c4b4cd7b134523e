// Package rm shares one TPM among any number of clients. Each gets a Space with handles of its own and a filter in front of it; the
// Manager loads what a command names, and saves something else only when the chip's few slots run short.
//
// One caller at a time has the turn, and owns all that a Manager and its Spaces know while it lasts. A command is prepared
// (what it names is loaded, virtual handles become the chip's), sent, and committed (back again, counted).
package rm

import (
	"cmp"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
)

// A Chip is a TPM below the manager: one whole command in, one whole response out. Close unblocks a Send and may be
// called twice.
type Chip interface {
	Send(command []byte) ([]byte, error)
	Close() error
}

// Sharing says who else uses the chip at the same time.
type Sharing uint8

// How a chip is shared. The zero value is the careful one.
const (
	Shared  Sharing = iota // with the kernel and others: leave them a slot, give everything back when idle
	Alone                  // with nobody: an emulator, or an administrator's word
	Stacked                // above the kernel's own manager, which pays for every object that is held
)

// ErrClosed is what a Space says after it, or its Manager, was closed.
var ErrClosed = errors.New("the connection to the TPM is closed")

var errNoAnswer = errors.New("the TPM does not answer; what is on it was left there")

// What a manager answers with by itself: TSS2_RESMGR_TPM_RC_LAYER and the code of Part 2 that fits.
const (
	rcLayer        tpm2.TPMRC = 0x000B0000
	rcObjectQuota             = rcLayer | tpm2.TPMRCObjectMemory
	rcSessionQuota            = rcLayer | tpm2.TPMRCSessionMemory
	rcNoSessions              = rcLayer | tpm2.TPMRCSessionHandles // all users together have what they may
	rcBrake                   = rcLayer | tpm2.TPMRCLockout        // also that of the lockout budget
	rcReferenceH0             = tpm2.TPMRCReferenceH0              // a handle names what is not loaded: not the caller's, or lost
	rcReferenceS0             = tpm2.TPMRCReferenceS0
)

const (
	idleBeforeReturn = 50 * time.Millisecond // then a chip that others use is given back
	closeAfter       = 5 * time.Second       // then a command without an answer is cut off by Close
	giveUpAfter      = 6 * time.Second       // then Close leaves the chip to itself: a device cannot be woken
	longestCommand   = 6 * time.Minute       // then one without an answer fails; the kernel's own limits are shorter (300 s at most)
)

// A Config is what a Manager needs to know of its chip.
type Config struct {
	Open    func() (Chip, error) // called at the first command, and again after the chip was given back or failed
	Sharing Sharing
	Limits  Limits // zero: the default of each

	Localities bool // the chip that Open gives has a method SetLocality(uint8) error

	// PrincipalOf gives the uid of whoever answers for a uid that is not root's: one user has 65,536 uids where /etc/subuid lends them out. What is counted
	// and shared out is each principal's. nil: everybody is his own.
	PrincipalOf func(uid uint32) uint32

	// ContextKey gives the secret under which saved contexts are handed to clients, when the first client saves or loads one. The same key makes them
	// good after a restart. nil: they are good for as long as the manager lives.
	ContextKey func() ([32]byte, error)

	// Memory is what an earlier manager's Remember was last told. Remember is called when it has changed, by whoever has the turn, and must not keep it.
	Memory   Memory
	Remember func(Memory)
}

// Limits are what clients may hold. Objects cost our memory only; sessions are few on the chip.
type Limits struct {
	Objects, PrincipalObjects   int // keys and hash sequences, of one connection and of one principal
	Sessions, PrincipalSessions int // authorization sessions, likewise
}

var defaultLimits = Limits{Objects: 64, PrincipalObjects: 256, Sessions: 4, PrincipalSessions: 8}

func (l Limits) orDefault() Limits { return l.or(defaultLimits) }

// or fills in what is zero from d.
func (l Limits) or(d Limits) Limits {
	return Limits{cmp.Or(l.Objects, d.Objects), cmp.Or(l.PrincipalObjects, d.PrincipalObjects),
		cmp.Or(l.Sessions, d.Sessions), cmp.Or(l.PrincipalSessions, d.PrincipalSessions)}
}

// root is the principal that others' limits do not bind.
const root = 0

// A Manager owns one chip.
type Manager struct {
	config Config
	limits Limits
	turns  turns
	now    func() time.Time
	after  func(time.Duration) <-chan time.Time
	closed chan struct{}
	once   sync.Once

	chipMu sync.Mutex // for cutOff, which does not have the turn

	// Owned by whoever has the turn.
	chip     Chip // nil while it is given back
	objects  []*object
	sessions []*session
	slots    int    // of the chip, once it was full; 0: not known
	clock    uint64 // counts uses, for "least recently"

	broken   error    // why nothing more is sent in this turn
	doubtful bool     // a failure left open what is on the chip
	settled  uint64   // how often that was found out
	making   *stray   // what the command that runs makes
	strays   []stray  // what failures may have left on a chip that others use too
	others   []uint32 // objects that were there, not ours, when that was last looked at
	life     []byte   // of a chip that others use too: how often it was reset and resumed; nil: not read yet
	reborn   bool     // that has changed, and what we believe to be on it has not been settled since

	commandsRun  uint64            // of clients, counted from 1
	sessionSaves uint64            // ours, counted from 1
	neighbours   map[uint32]uint64 // foreign saved sessions: sessionSaves when each was first seen
	looked       uint64            // for them, by sessionSaves
	gapTries     int               // in this turn
	waited       time.Duration     // in this turn
	shed         bool              // a session, in this turn
	held         map[uint32]int    // objects and hash sequences of each principal
	primaries    map[string]*primary
	persistents  map[uint32]*persistent

	locality      uint8 // from which the chip takes commands
	localityKnown bool

	commands   []uint32 // TPMA_CC of what the chip has; nil: not read yet
	maxCommand int      // TPM_PT_MAX_COMMAND_SIZE, once somebody has read it
	trusted    authMemory
	memory     Memory
	allowances map[uint32]allowance
	usual      usual
	done       bool                     // by the chip, what the turn is for
	seal       cipher.AEAD              // of saved contexts; nil until one is wanted
	saved      uint64                   // contexts, counted
	born       [8]byte                  // tells this manager's life from others under the same key
	patience   time.Duration            // with the chip; then it is closed
	pause      func(time.Duration) bool // false: the manager was closed
	idle       *time.Timer
	quiet      time.Time // since when
}

// New makes the manager of one chip. It touches nothing before the first command.
func New(config Config) *Manager {
	m := &Manager{config: config, limits: config.Limits.orDefault(), closed: make(chan struct{}), primaries: map[string]*primary{}, persistents: map[uint32]*persistent{},
		held: map[uint32]int{}, trusted: newAuthMemory(), allowances: map[uint32]allowance{}, usual: newUsual(), memory: config.Memory.restored(time.Now()), now: time.Now, after: time.After}
	rand.Read(m.born[:])
	m.patience, m.pause = longestCommand, m.sleep
	m.idle = time.AfterFunc(time.Hour, m.giveBack)
	m.idle.Stop()
	return m
}

// Options are what a Space is opened with.
type Options struct {
	UID      uint32                            // who calls. Root is not bound by what protects the chip from the others
	Filter   *filter.Filter                    // nil: filter.Default()
	Locality uint8                             // from which commands come
	Limits   Limits                            // zero: the manager's
	Denied   func(filter.Decision, tpm2.TPMCC) // told of every command that was refused; nil: nobody is

	// Ran is told of every command that had a turn: how long it waited for that, and how long it took. nil: nobody is.
	Ran func(code tpm2.TPMCC, waited, took time.Duration)
}

// Open gives a client its space.
func (m *Manager) Open(o Options) (*Space, error) {
	if m.isClosed() {
		return nil, ErrClosed
	}
	if err := m.config.mayComeFrom(o.Locality); err != nil {
		return nil, err
	}
	if o.Filter == nil {
		o.Filter = filter.Default()
	}
	s := &Space{manager: m, options: o, limits: o.Limits.or(m.limits), principal: m.principalOf(o.UID), closed: make(chan struct{}), objects: map[uint32]*object{}, sequences: map[uint32]*sequence{},
		sessions: map[uint32]*session{}, next: firstHandle}
	s.narrowed.Store(o.Filter)
	return s, nil
}

// principalOf gives the principal of a uid. It never makes root of somebody else.
func (m *Manager) principalOf(uid uint32) uint32 {
	if m.config.PrincipalOf == nil || uid == root {
		return uid
	}
	if principal := m.config.PrincipalOf(uid); principal != root {
		return principal
	}
	return uid
}

// isRoot tells whether a client is bound by nothing but its filter.
func (s *Space) isRoot() bool { return s.principal == root }

// Close gives the chip back with nothing of ours on it. Clients that wait for their turn return at once; a command that
// the chip does not answer is cut off after five seconds, and one that cannot be cut off is left alone, which is an error.
func (m *Manager) Close() error {
	var err error
	m.once.Do(func() {
		close(m.closed)
		m.idle.Stop()
		cut := time.AfterFunc(closeAfter, m.cutOff)
		defer cut.Stop()
		late := make(chan struct{})
		giveUp := time.AfterFunc(giveUpAfter, func() { close(late) })
		defer giveUp.Stop()
		if !m.turns.take(0, late, nil) {
			err = errNoAnswer
			return
		}
		defer m.turns.give()
		m.begin()
		err = m.release()
	})
	return err
}

func (m *Manager) isClosed() bool {
	select {
	case <-m.closed:
		return true
	default:
		return false
	}
}

// cutOff unblocks a Send that has no end.
func (m *Manager) cutOff() {
	m.chipMu.Lock()
	defer m.chipMu.Unlock()
	if m.chip != nil {
		m.chip.Close()
	}
}

func (m *Manager) setChip(chip Chip) {
	m.chipMu.Lock()
	defer m.chipMu.Unlock()
	m.chip = chip
}

// release flushes what is left on the chip and closes it.
func (m *Manager) release() error {
	for len(m.objects) > 0 {
		m.takeOff(m.objects[0])
	}
	for _, s := range slices.Clone(m.sessions) {
		m.endSession(s)
	}
	err := m.lastLook()
	return errors.Join(err, m.goHome(), m.closeChip())
}

// lastLook tries a little longer to find what a failure may have left.
func (m *Manager) lastLook() error {
	for pause := firstPause; m.doubtful && pause < idleBeforeReturn; pause *= 2 {
		m.broken = nil
		m.certain()
		if m.doubtful {
			time.Sleep(pause)
		}
	}
	return m.broken
}

func (m *Manager) closeChip() error {
	chip := m.chip
	if chip == nil {
		return nil
	}
	m.setChip(nil)
	m.localityKnown = false
	return chip.Close()
}
