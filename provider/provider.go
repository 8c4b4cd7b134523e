// Package provider keeps RSA keys on a TPM 2.0: key files in a directory, and what can be done with them. It knows nothing of PKCS #11 and
// opens no device by itself: a dial function gives it the TPM when the first operation needs one.
package provider

import (
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// A Provider is a set of key directories and the way to a TPM. It is safe for concurrent use.
type Provider struct {
	dial  func() (transport.TPMCloser, error)
	store store

	mu   sync.Mutex
	conn *connection // nil: not dialled, or given up
}

// Open makes a provider of the keys in dirs, the first of which takes new ones. Nothing is read and nobody is dialled before something needs it.
func Open(dirs []string, dial func() (transport.TPMCloser, error)) *Provider {
	return &Provider{dial: dial, store: store{dirs: dirs, known: map[string]scanned{}}}
}

// Close flushes what is loaded and closes the way to the TPM. It may be called twice; a later operation dials again.
func (p *Provider) Close() error {
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
}

type loadedKey struct {
	handle tpm2.NamedHandle
	users  int // operations under way
	used   int // by connection.clock
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
	p.conn = &connection{tpm: tpm, loaded: map[[sha256.Size]byte]*loadedKey{}}
	return p.conn, nil
}

// giveUp closes a connection that failed, unless another caller did so before.
func (p *Provider) giveUp(conn *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == conn {
		p.conn = nil
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
			return explain(err)
		}
		p.giveUp(conn)
	}
}

// withKey runs work with a loaded key, and loads it again once if it, or the connection, was lost.
func (p *Provider) withKey(k *Key, work func(*connection, tpm2.NamedHandle) error) error {
	for try := 0; ; try++ {
		conn, key, err := p.acquire(k)
		if err == nil {
			err = work(conn, key.handle)
			p.release(key)
		}
		if conn == nil || try > 0 || !isLost(err) && !isTransport(err) {
			return explain(err)
		}
		p.giveUp(conn)
	}
}

// acquire gives a key's handle, loading it if need be. Operations run at the same time; loading does not.
func (p *Provider) acquire(k *Key) (*connection, *loadedKey, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	conn, err := p.connect()
	if err != nil {
		return nil, nil, err
	}
	key := conn.loaded[k.identity]
	if key == nil {
		handle, err := conn.load(k)
		if err != nil {
			return conn, nil, err
		}
		key = &loadedKey{handle: handle}
		conn.makeRoom()
		conn.loaded[k.identity] = key
	}
	conn.clock++
	key.used = conn.clock
	key.users++
	return conn, key, nil
}

func (p *Provider) release(key *loadedKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key.users--
}

// makeRoom flushes the key that was used longest ago when too many are loaded.
func (c *connection) makeRoom() {
	if len(c.loaded) < maxLoaded {
		return
	}
	var oldest [sha256.Size]byte
	found := false
	for id, key := range c.loaded {
		if key.users == 0 && (!found || key.used < c.loaded[oldest].used) {
			oldest, found = id, true
		}
	}
	if found {
		c.flush(c.loaded[oldest].handle.Handle)
		delete(c.loaded, oldest)
	}
}

// flush gives a handle back. A failure is met again by the next command, or means that the handle is gone.
func (c *connection) flush(handle tpm2.TPMHandle) {
	tpm2.FlushContext{FlushHandle: handle}.Execute(c.tpm)
}
