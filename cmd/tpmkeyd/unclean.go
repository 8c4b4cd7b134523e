package main

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"os"
	"slices"
	"sync"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm"
	"tpmkey.example/rm/wire"
)

// A service that was killed leaves on the chips what its clients had there, and each time there is less room. So the state says as long as a chip is in use, and
// the next service sweeps a chip that is still said to be. What lies there then is of somebody who had the chip to himself, as only one at a time can, and is gone:
// the kernel's own manager leaves nothing between two commands. Sessions that were saved are not swept: the kernel's clients have some of those too.

// bootID changes when the machine, and with it the chip, starts anew. Then nothing is left.
func bootID() []byte {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return bytes.TrimSpace(id)
}

func (s state) inUsePath(chip int) string { return s.pathOf("in-use", "", chip) }

// sweepFirst has the first who opens a chip sweep it, if the last service did not, and say from then on that it is in use.
func (s state) sweepFirst(chip int, config rm.Config, l *log.Logger) rm.Config {
	open := config.Open
	var once sync.Once
	config.Open = func() (rm.Chip, error) {
		c, err := open()
		if err != nil {
			return nil, err
		}
		once.Do(func() {
			if err := s.sweep(chip, config.Sharing, c, l); err != nil {
				l.Printf("chip %d: %v; what a service that was killed has left on it stays there", chip, err)
			}
		})
		return c, nil
	}
	return config
}

func (s state) sweep(chip int, sharing rm.Sharing, c rm.Chip, l *log.Logger) error {
	id := bootID()
	before, err := os.ReadFile(s.inUsePath(chip))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err == nil && bytes.Equal(before, id) && sharing != rm.Stacked {
		n, err := sweep(c)
		if err != nil {
			return err
		}
		if n > 0 {
			l.Printf("chip %d: %d keys and sessions of a service that was killed are off it", chip, n)
		}
	}
	// Not forced to the disk, which takes longer than all the rest of a start: it need not outlive the machine.
	return errors.Join(os.MkdirAll(s.dir, 0o700), os.WriteFile(s.inUsePath(chip), id, 0o600))
}

// leftClean says of all chips that they are not in use any more.
func (s state) leftClean(chips []int) {
	for _, chip := range chips {
		os.Remove(s.inUsePath(chip))
	}
}

// sweep flushes what is loaded.
func sweep(c rm.Chip) (n int, err error) {
	for _, kind := range []tpm2.TPMHT{tpm2.TPMHTTransient, tpm2.TPMHTHMACSession} { // of sessions, that means the loaded ones (Part 2, 7.2)
		handles, err := loaded(c, kind)
		if err != nil {
			return n, err
		}
		for _, handle := range handles {
			if err := flush(c, handle); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

func loaded(c rm.Chip, kind tpm2.TPMHT) (handles []uint32, err error) {
	response, err := c.Send(wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCGetCapability)).
		Uint32(uint32(tpm2.TPMCapHandles)).Uint32(uint32(kind) << 24).Uint32(64).Bytes())
	if err != nil {
		return nil, err
	}
	list := wire.NewCursor(response[min(len(response), wire.HeaderSize):])
	list.Take(1 + 4) // moreData, capability
	for n := list.Uint32(); n > 0 && !list.Failed(); n-- {
		handles = append(handles, list.Uint32())
	}
	if !list.Done() {
		return nil, fmt.Errorf("its list of handles cannot be read: %x", response)
	}
	return slices.Clip(handles), nil
}

func flush(c rm.Chip, handle uint32) error {
	response, err := c.Send(wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCFlushContext)).Uint32(handle).Bytes())
	if err == nil && !bytes.Equal(response, wire.ErrorResponse(0)) {
		err = fmt.Errorf("flush 0x%x: %x", handle, response)
	}
	return err
}
