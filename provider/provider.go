// Package provider keeps RSA keys on a TPM 2.0: key files in a directory, and what can be done with them. It knows nothing of PKCS #11 and
// opens no device by itself: a dial function gives it the TPM when the first operation needs one.
package provider

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// A Provider is a set of key directories and the way to a TPM. It is safe for concurrent use.
type Provider struct {
	*way
	store store
}

// A way to a TPM, which the providers that Beside makes share.
type way struct {
	dial func() (transport.TPMCloser, error)

	mu     sync.Mutex
	conn   *connection // nil: not dialled, or given up
	freed  sync.Cond   // signals that a loaded key has a user less
	source PINSource
	pins   map[[sha256.Size]byte][]byte // by Key.identity
	owner  []byte                       // password of the owner hierarchy
}

// Open makes a provider of the keys in dirs, the first of which takes new ones. Nothing is read and nobody is dialled before something needs it.
func Open(dirs []string, dial func() (transport.TPMCloser, error)) *Provider {
	w := &way{dial: dial, pins: map[[sha256.Size]byte][]byte{}}
	w.freed.L = &w.mu
	return &Provider{way: w, store: newStore(dirs)}
}

// Beside makes a provider of the keys in other directories, over the same way to the same TPM, with the same PINs. To close one of them closes that for all.
func (p *Provider) Beside(dirs []string) *Provider {
	return &Provider{way: p.way, store: newStore(dirs)}
}

// Dirs are the key directories. The first takes new keys.
func (p *Provider) Dirs() []string { return slices.Clone(p.store.dirs) }

// Close forgets all PINs and passwords, flushes what is loaded and closes the way to the TPM. It may be called twice; a later operation dials again.
func (p *Provider) Close() error {
	p.ForgetPINs()
	p.GiveOwnerPassword(nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		return nil
	}
	conn := p.conn
	p.conn = nil
	return conn.tpm.Close() // the manager below flushes what its client held
}

// maxLoaded is how many keys stay loaded; a manager allows a client 64 objects.
const maxLoaded = 32

// A connection is one way to a TPM and what is loaded over it.
type connection struct {
	tpm    transport.TPMCloser
	loaded map[[sha256.Size]byte]*loadedKey
	clock  int
	srk    *parent // what is persistent at 0x81000001
	asked  bool    // whether srk is known
	owner  []byte  // the provider's
}

type loadedKey struct {
	handle tpm2.NamedHandle
	users  int  // operations under way
	used   int  // by connection.clock
	gone   bool // flushed when the last user is done

	// Of a key with a PIN.
	session tpm2.Session
	auth    []byte     // the PIN, which the session knows too
	turn    sync.Mutex // held while the session is used: each command changes it
}

// authorized is the key with what authorizes its use.
func (k *loadedKey) authorized() tpm2.AuthHandle {
	if k.session == nil {
		return tpm2.AuthHandle{Handle: k.handle.Handle, Name: k.handle.Name, Auth: tpm2.PasswordAuth(nil)}
	}
	return tpm2.AuthHandle{Handle: k.handle.Handle, Name: k.handle.Name, Auth: k.session}
}

// connect gives the connection, dialling if need be. The caller holds mu.
func (p *Provider) connect() (*connection, error) {
	if p.conn != nil {
		return p.conn, nil
	}
	tpm, err := p.dial()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoTPM, err)
	}
	p.conn = &connection{tpm: Legible(tpm), loaded: map[[sha256.Size]byte]*loadedKey{}, owner: p.owner}
	return p.conn, nil
}

// giveUp closes a connection that failed, unless another caller did so before.
func (p *Provider) giveUp(conn *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == conn {
		p.conn = nil
		conn.wipe()
		conn.tpm.Close()
	}
}

// withTPM runs work on the TPM. When the connection or a handle was lost it runs it once more, on a new connection.
func (p *Provider) withTPM(work func(*connection) error) error {
	for try := 0; ; try++ {
		p.mu.Lock()
		conn, err := p.connect()
		if err == nil {
			err = work(conn)
		}
		p.mu.Unlock()
		if conn == nil || try > 0 || !isLost(err) && !isTransport(err) {
			return explain(conn.locked(err))
		}
		p.giveUp(conn)
	}
}

// withKey runs work with a loaded key and what authorizes it, and loads it again once if it, or the connection, was lost.
func (p *Provider) withKey(k *Key, work func(*connection, tpm2.AuthHandle) error) error {
	return explain(p.withPIN(k, func(pin []byte) error {
		for try := 0; ; try++ {
			conn, err := p.useKey(k, pin, work)
			if conn == nil || try > 0 || !isLost(err) && !isTransport(err) {
				return conn.locked(err)
			}
			p.giveUp(conn)
		}
	}))
}

// useKey runs work with a key, and tells over which connection.
func (p *Provider) useKey(k *Key, pin []byte, work func(*connection, tpm2.AuthHandle) error) (*connection, error) {
	conn, key, err := p.acquire(k, pin)
	if err != nil {
		return conn, err
	}
	defer p.release(conn, key)
	if key.session != nil {
		key.turn.Lock()
		defer key.turn.Unlock()
	}
	return conn, work(conn, key.authorized())
}

// acquire gives a key, loading it if need be. Operations run at the same time; loading does not.
func (p *Provider) acquire(k *Key, pin []byte) (*connection, *loadedKey, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	conn, key, err := p.makeRoomFor(k, pin != nil)
	if err != nil {
		return nil, nil, err
	}
	if key == nil {
		if key, err = conn.load(k, pin); err != nil {
			return conn, nil, err
		}
		conn.loaded[k.identity] = key
	}
	conn.clock++
	key.used = conn.clock
	key.users++
	return conn, key, nil
}

// makeRoomFor gives a connection with room for a key, or with the key on it. The caller holds mu, which others have while this waits for room.
func (p *Provider) makeRoomFor(k *Key, session bool) (*connection, *loadedKey, error) {
	for {
		conn, err := p.connect()
		if err != nil {
			return nil, nil, err
		}
		if key := conn.loaded[k.identity]; key != nil || conn.makeRoom(session) {
			return conn, key, nil
		}
		p.freed.Wait()
	}
}

func (p *Provider) release(conn *connection, key *loadedKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if key.users--; key.users == 0 && key.gone {
		conn.drop(key)
	}
	p.freed.Broadcast()
}

// makeRoom takes the key off that was used longest ago when there are too many, or too many with a session. It reports false when all of these are in use.
func (c *connection) makeRoom(session bool) bool {
	if session && c.sessions() >= maxSessions {
		return c.unloadOldest(func(key *loadedKey) bool { return key.session != nil })
	}
	return len(c.loaded) < maxLoaded || c.unloadOldest(func(*loadedKey) bool { return true })
}

func (c *connection) unloadOldest(which func(*loadedKey) bool) bool {
	var oldest [sha256.Size]byte
	found := false
	for id, key := range c.loaded {
		if key.users == 0 && which(key) && (!found || key.used < c.loaded[oldest].used) {
			oldest, found = id, true
		}
	}
	c.unload(oldest)
	return found
}

// flush gives a handle back. A failure is met again by the next command, or means that the handle is gone.
func (c *connection) flush(handle tpm2.TPMHandle) {
	tpm2.FlushContext{FlushHandle: handle}.Execute(c.tpm)
}
