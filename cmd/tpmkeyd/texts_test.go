package main

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"tpmkey.example/rm/device"
	"tpmkey.example/rm/wire"
	"tpmkey.example/tpms"
)

// While a text of a user's is read, no other of his is, on whichever connection: but his commands are answered, and those whose texts would change nothing are told so.
func TestTextsOneAtATime(t *testing.T) {
	d := newDescriptor(t)
	other, sealed := d.another(), d.another()
	defer other.Release()
	defer sealed.Release()
	if err := sealed.client.seal(holder{}); err != nil {
		t.Fatal(err)
	}
	turn := d.client.server.texts.of(1000)
	turn.Lock()
	done := make(chan error, 3)
	go func() { _, err := d.ask(someone, tpms.IocNarrow, tpms.Text("use")); done <- err }()
	go func() { _, err := other.client.send(device.FrameNarrow.Bytes("use")); done <- err }()
	third := d.another()
	defer third.Release()
	go func() { _, err := third.ask(someone, tpms.IocGetFilter, nil); done <- err }()
	if err := sealed.client.change(device.FrameNarrow, "use"); !errors.Is(err, errSealed) {
		t.Errorf("who may not narrow: %v", err)
	}
	if _, err := sealed.ask(someone, tpms.IocNarrow, tpms.Text("use")); err != unix.EPERM {
		t.Errorf("who may not narrow: %v", err)
	}
	if response, err := sealed.client.send(getRandom(16)); err != nil || len(response) != wire.HeaderSize+2+16 {
		t.Errorf("a command: %x, %v", response, err)
	}
	if len(done) > 0 {
		t.Errorf("a text was read out of turn: %v", <-done)
	}
	turn.Unlock()
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
