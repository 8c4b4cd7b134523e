package main

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"tpmkey.example/cmd/tpmkeyd/cuse"
)

// Who opens, starts a command and closes, again and again, has us keep nothing: a response that comes after all starts no timer.
func TestReleasedWhileItRuns(t *testing.T) {
	d := newDescriptor(t)
	f := d.another()
	d.gate.Lock()
	r := d.request()
	r.Flags = unix.O_NONBLOCK
	if _, err := f.Write(r, getRandom(32)); err != nil {
		t.Fatal(err)
	}
	<-d.came
	f.mu.Lock()
	run := f.running
	f.mu.Unlock()
	f.Release()
	d.gate.Unlock()
	<-run.ended
	if f.unread.Stop() {
		t.Error("the response is kept for a reader")
	}
}

// A user has as many threads as he likes, which could all wait in a read of one descriptor.
func TestCrowdOfReaders(t *testing.T) {
	d := newDescriptor(t)
	d.gate.Lock()
	var threads sync.WaitGroup
	threads.Go(func() { d.mustWrite(getRandom(32)) })
	<-d.came
	refused := make(chan error, 1)
	for range mostReaders + 1 {
		threads.Go(func() {
			if _, err := d.read(100); err != nil {
				refused <- err
			}
		})
	}
	if err := <-refused; err != unix.EBUSY {
		t.Errorf("one reader too many: %v", err)
	}
	d.gate.Unlock()
	threads.Wait()
}

// another is one more descriptor of the same node.
func (d *descriptor) another() *opened {
	d.t.Helper()
	n := &node{server: d.client.server, name: defaultNode}
	f, err := n.Open(&cuse.Request{Caller: d.request().Caller}, unix.O_RDWR, func() {})
	if err != nil {
		d.t.Fatal(err)
	}
	return f.(*opened)
}
