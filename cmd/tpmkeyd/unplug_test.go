package main

import (
	"bytes"
	"log"
	"runtime"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/sys/unix"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// A torn chip is pulled out while it runs one command.
type torn struct {
	rm.Chip
	command []byte
	why     error
	came    chan bool
	pulled  chan bool
}

func (c torn) Send(command []byte) ([]byte, error) {
	if !bytes.Equal(command, c.command) {
		return c.Chip.Send(command)
	}
	c.came <- true
	<-c.pulled
	return nil, c.why
}

// tear has chip 1 of a machine torn out in a command.
func (s *slotted) tear(c torn) {
	inner := s.chip
	s.chip = func(path string) (rm.Config, error) {
		config, err := inner(path)
		open := config.Open
		config.Open = func() (rm.Chip, error) {
			chip, err := open()
			if err != nil || path != s.path(1) {
				return chip, err
			}
			c.Chip = chip
			return c, nil
		}
		return config, err
	}
}

// Who has a command on a chip that is pulled out, and who waits for that chip, are told; nobody else notices. When a chip is there again they go on, with their keys if
// it is the same.
func TestUnplugInACommand(t *testing.T) {
	for _, row := range []struct {
		name  string
		why   error
		other bool // another chip comes
	}{
		{"no device", unix.ENODEV, false},
		{"an error of its bus", unix.EIO, false},
		{"another chip afterwards", unix.ENODEV, true},
		{"the driver has let go", unix.EPIPE, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			machine, j := newSlotted(t), &journal{}
			pulled := torn{command: getRandom(5), why: row.why, came: make(chan bool), pulled: make(chan bool)}
			machine.tear(pulled)
			s := newServer(machine.chips, nil, log.New(j, "", 0))
			first, second := tpmtest.SWTPM(t), tpmtest.SWTPM(t)
			machine.plug(t, 0, first)
			machine.plug(t, 1, second)
			stays, goes, waits := machine.enter(t, s, 1000, 0), machine.enter(t, s, 1001, 1), machine.enter(t, s, 1002, 1)
			key, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}.Execute(tpmtest.Func(goes.send))
			if err != nil {
				t.Fatal(err)
			}
			var both sync.WaitGroup
			both.Go(func() { wantCode(t, "in flight", goes, getRandom(5), uint32(rcIOError)) })
			<-pulled.came
			both.Go(func() { wantCode(t, "in the queue", waits, getRandom(7), uint32(rcIOError)) })
			for s.usage.users()[2].Queue == 0 {
				runtime.Gosched()
			}
			wantAnswer(t, "chip 0 meanwhile", stays, 0)
			machine.unplug(t, 1)
			close(pulled.pulled)
			both.Wait()
			wantAnswer(t, "chip 0 without chip 1", stays, 0)
			wantAnswer(t, "chip 1 without it", goes, uint32(rcIOError))
			j.await(t, row.why.Error())
			if row.other {
				second = tpmtest.SWTPM(t)
			}
			machine.plug(t, 1, second)
			wantAnswer(t, "chip 1 again", waits, 0)
			_, err = tpm2.ReadPublic{ObjectHandle: key.ObjectHandle}.Execute(tpmtest.Func(goes.send))
			if !row.other && err != nil {
				t.Errorf("the key on the same chip: %v", err)
			}
			wantAnswer(t, "chip 1 again", goes, 0)
			if err := machine.close(); err != nil {
				t.Error(err)
			}
			tpmtest.NoLeaks(t, first)
			tpmtest.NoLeaks(t, second)
		})
	}
}
