package main

import (
	"bytes"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/sys/unix"

	"tpmkey.example/cmd/tpmkeyd/cuse"
	"tpmkey.example/rm/wire"
)

const (
	unreadFor   = 2 * time.Minute        // then a response that nobody reads is dropped, as Linux does
	pollRdNorm  = 0x40                   // poll(2): POLLRDNORM
	pollWrNorm  = 0x100                  // POLLWRNORM
	mostReaders = 8                      // that wait for one command; each costs us a goroutine with its buffer
	signalCheck = 100 * time.Millisecond // between looks whether a caller who was interrupted is killed too
)

// An opened is one open descriptor of a node. Callers see what they see of Linux's /dev/tpmrm0: a write is a command, reads give its response, in parts if
// they like. With O_NONBLOCK a write only starts the command; there, a read that comes too early gets EAGAIN, where Linux either waits or gives nothing.
//
//	idle --write--> running --the chip's answer--> answered --all was read--> idle
//	                   ^-------------- write, when some was read ---'
type opened struct {
	client       *client
	openerIsRoot bool
	wake         func()
	unread       *time.Timer // drops the response

	mu       sync.Mutex
	released bool
	running  *running
	response []byte    // what is left of it
	begun    bool      // some of it was read: another command may come
	fault    error     // instead of a response; its read gets it
	came     time.Time // when either did
}

// A running command.
type running struct {
	ended   chan struct{}
	dropped bool // nobody wants its response
	readers int  // that wait for it
}

func newOpened(c *client, openerIsRoot bool, wake func()) *opened {
	o := &opened{client: c, openerIsRoot: openerIsRoot, wake: wake}
	o.unread = time.AfterFunc(unreadFor, o.drop)
	o.unread.Stop()
	return o
}

// Write runs a command.
func (o *opened) Write(r *cuse.Request, b []byte) (int, error) {
	if len(b) > wire.MaxCommand {
		return 0, unix.E2BIG
	}
	command, run, err := o.start(b)
	if err != nil {
		return 0, err
	}
	if r.Flags&unix.O_NONBLOCK != 0 {
		go o.run(command, run, false)
		return len(b), nil
	}
	r.Wait(func() { o.watch(r, run) })
	if err := o.run(command, run, true); err != nil {
		return 0, err
	}
	return len(b), nil
}

// start takes a command, unless the one before it is not over.
func (o *opened) start(b []byte) ([]byte, *running, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.running != nil || o.fault != nil || len(o.response) > 0 && !o.begun {
		return nil, nil, unix.EBUSY
	}
	command, ok := oneCommand(b)
	if !ok {
		return nil, nil, unix.EINVAL
	}
	o.unread.Stop()
	o.response, o.begun = nil, false
	o.running = &running{ended: make(chan struct{})}
	return command, o.running, nil
}

// oneCommand is as long as it says; Linux passes over what comes behind it.
func oneCommand(b []byte) ([]byte, bool) {
	h, ok := wire.ParseHeader(b)
	if !ok || h.Size < wire.HeaderSize || int64(h.Size) > int64(len(b)) {
		return nil, false
	}
	return bytes.Clone(b[:h.Size]), true
}

// run sends a command and keeps its response. Why there is none is for the writer, if he waits, and for who reads else.
func (o *opened) run(command []byte, run *running, waits bool) error {
	response, err := o.client.send(command)
	switch {
	case err != nil:
		response, err = nil, unix.EPIPE
	case isUnknownFlush(command, response):
		response, err = nil, unix.EINVAL
	}
	o.mu.Lock()
	if o.running = nil; !run.dropped && !o.released {
		o.response = response
		if !waits {
			o.fault = err
		}
		o.came = time.Now()
		o.unread.Reset(unreadFor)
	}
	o.mu.Unlock()
	close(run.ended)
	o.wake()
	return err
}

// isUnknownFlush: Linux answers EINVAL itself when an object is to be flushed that is not the caller's.
func isUnknownFlush(command, response []byte) bool {
	h, _ := wire.ParseHeader(command)
	handle := wire.NewCursor(command[wire.HeaderSize:])
	return tpm2.TPMCC(h.Code) == tpm2.TPMCCFlushContext && wire.IsTransient(handle.Uint32()) && bytes.Equal(response, wire.ErrorResponse(rcNotHis))
}

// rcNotHis is TPM_RC_VALUE of the first parameter (Part 2, 6.6.2).
const rcNotHis = tpm2.TPMRCValue | 0x140

// watch lets a caller go who is killed while a command runs. After any other signal he waits on: the command would run a second time when he writes it again.
func (o *opened) watch(r *cuse.Request, run *running) {
	for {
		if isKilled(r.Caller.TID) {
			o.mu.Lock()
			run.dropped = true
			o.mu.Unlock()
			r.Abandon(unix.EINTR)
			return
		}
		select {
		case <-run.ended:
			return
		case <-time.After(signalCheck):
		}
	}
}

// Read gives the response, or what fits of it. Without a command there is none, which reads as the end of a file.
func (o *opened) Read(r *cuse.Request, size int) ([]byte, error) {
	for {
		part, run, err := o.take(size, r.Flags&unix.O_NONBLOCK == 0)
		if run == nil {
			return part, err
		}
		r.Wait(func() { o.watch(r, run) })
		<-run.ended
	}
}

// take gives the command that must end before there is something to read, to who waits for it.
func (o *opened) take(size int, waits bool) (part []byte, run *running, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.running == nil:
	case !waits:
		return nil, nil, unix.EAGAIN
	case o.running.readers == mostReaders:
		return nil, nil, unix.EBUSY
	default:
		o.running.readers++
		return nil, o.running, nil
	}
	err, o.fault = o.fault, nil
	n := min(size, len(o.response))
	part, o.response, o.begun = o.response[:n], o.response[n:], true
	if n > 0 && len(o.response) == 0 || err != nil {
		defer o.wake()
	}
	return part, nil, err
}

// drop forgets a response that came long ago.
func (o *opened) drop() {
	o.mu.Lock()
	if time.Since(o.came) >= unreadFor {
		o.response, o.fault = nil, nil
	}
	o.mu.Unlock()
	o.wake()
}

// Poll says whether there is something to read, or else whether a command may be written.
func (o *opened) Poll() uint32 {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.running != nil:
		return 0
	case len(o.response) > 0 || o.fault != nil:
		return unix.POLLIN | pollRdNorm
	}
	return unix.POLLOUT | pollWrNorm
}

// Release takes everything of this descriptor off the chip.
func (o *opened) Release() {
	o.mu.Lock()
	o.released = true
	o.unread.Stop() // for good, or who opens and closes again and again has us keep all of them
	o.mu.Unlock()
	o.client.leave()
}
