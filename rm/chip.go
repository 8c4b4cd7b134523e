package rm

import (
	"bytes"
	"fmt"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// Warnings after which the same command works later (Part 2, 6.6.3), and how long it is repeated.
const (
	firstPause = time.Millisecond
	mostPauses = 12 // doubled each time: about four seconds in all
)

func isPassing(rc tpm2.TPMRC) bool {
	return rc == tpm2.TPMRCRetry || rc == tpm2.TPMRCYielded || rc == tpm2.TPMRCTesting
}

// exchange sends one command to the chip, opening it if need be, and checks what comes back. An error means that nothing is
// known of the chip any more: it is closed, and what was loaded counts as lost unless it was saved.
func (m *Manager) exchange(command []byte) ([]byte, tpm2.TPMRC, error) {
	if err := m.open(); err != nil {
		return nil, 0, err
	}
	pause := firstPause
	for i := 0; ; i++ {
		response, err := m.chip.Send(command)
		if err != nil {
			return nil, 0, m.fail(err)
		}
		h, err := wire.CheckResponse(response, tpm2.TPMST(uint16(command[0])<<8|uint16(command[1])))
		if err != nil {
			return nil, 0, m.fail(fmt.Errorf("not a TPM's answer: %w", err))
		}
		if rc := tpm2.TPMRC(h.Code); !isPassing(rc) || i == mostPauses {
			return response, rc, nil
		}
		time.Sleep(pause)
		pause *= 2
	}
}

func (m *Manager) open() error {
	if m.chip != nil {
		return nil
	}
	chip, err := m.config.Open()
	if err != nil {
		return err
	}
	m.setChip(chip)
	orphans := m.orphans
	m.orphans = nil
	for _, handle := range orphans {
		m.flush(handle)
	}
	return nil
}

// fail gives a broken connection up. Objects that were saved before are loaded again when they are named; the others, and the
// sessions, are lost. Only where nobody else uses the chip may their handles be flushed later without a look.
func (m *Manager) fail(cause error) error {
	m.closeChip()
	for _, o := range m.objects {
		m.orphan(o.phandle)
		o.phandle = 0
	}
	for _, s := range m.loadedSessions() {
		m.orphan(s.handle)
		s.loaded = false
	}
	m.objects = nil
	return cause
}

func (m *Manager) orphan(handle uint32) {
	if m.config.Sharing == Alone {
		m.orphans = append(m.orphans, handle)
	}
}

// sendMakingRoom sends a command, and saves something else as long as the chip says that its slots are full. What keep names
// stays where it is.
func (m *Manager) sendMakingRoom(command []byte, keep holding) ([]byte, tpm2.TPMRC, error) {
	pause, waits := firstPause, 0
	for {
		response, rc, err := m.exchange(command)
		if err != nil {
			return nil, 0, err
		}
		made, err := m.makeRoom(rc, keep)
		switch {
		case err != nil:
			return nil, 0, err
		case made:
			continue
		case !isFull(rc) || m.config.Sharing == Alone || waits == mostPauses:
			return response, rc, nil
		}
		time.Sleep(pause) // others hold the slots and give them back
		pause *= 2
		waits++
	}
}

func isFull(rc tpm2.TPMRC) bool {
	return rc == tpm2.TPMRCObjectMemory || rc == tpm2.TPMRCObjectHandles || rc == tpm2.TPMRCSessionMemory || rc == tpm2.TPMRCMemory
}

// makeRoom saves one thing of the kind that rc complains about, and tells whether there was one.
func (m *Manager) makeRoom(rc tpm2.TPMRC, keep holding) (bool, error) {
	switch rc {
	case tpm2.TPMRCObjectMemory:
		m.learnSlots(keep)
		return m.evictOne(keep)
	case tpm2.TPMRCObjectHandles, tpm2.TPMRCMemory:
		return m.evictOne(keep)
	case tpm2.TPMRCSessionMemory:
		return m.saveOneSession(keep)
	case tpm2.TPMRCSessionHandles:
		return m.shedSession(keep), nil
	case tpm2.TPMRCContextGap:
		return m.closeGap()
	}
	return false, nil
}

// flush takes a handle off the chip. Nothing is to be done about a failure: either the chip is broken, which the next command
// finds too, or the handle is gone already.
func (m *Manager) flush(handle uint32) {
	m.exchange(wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCFlushContext)).Uint32(handle).Bytes())
}

// save is TPM2_ContextSave (Part 3, 28.2) of an object or a session: nil, and why, when the chip refuses.
func (m *Manager) save(handle uint32) ([]byte, tpm2.TPMRC, error) {
	response, rc, err := m.exchange(wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCContextSave)).Uint32(handle).Bytes())
	if err != nil || rc != 0 {
		return nil, rc, err
	}
	return bytes.Clone(response[wire.HeaderSize:]), 0, nil
}

// load is TPM2_ContextLoad (Part 3, 28.3). It gives the handle, or the code with which the chip refuses.
func (m *Manager) load(context []byte, keep holding) (uint32, tpm2.TPMRC, error) {
	response, rc, err := m.sendMakingRoom(contextLoad(context), keep)
	if err != nil || rc != 0 {
		return 0, rc, err
	}
	return m.loadedHandle(response)
}

// loadOnce is load without making room.
func (m *Manager) loadOnce(context []byte) (uint32, tpm2.TPMRC, error) {
	response, rc, err := m.exchange(contextLoad(context))
	if err != nil || rc != 0 {
		return 0, rc, err
	}
	return m.loadedHandle(response)
}

func contextLoad(context []byte) []byte {
	return wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCContextLoad)).Raw(context).Bytes()
}

func (m *Manager) loadedHandle(response []byte) (uint32, tpm2.TPMRC, error) {
	c := wire.NewCursor(response[wire.HeaderSize:])
	handle := c.Uint32()
	if !c.Done() {
		return 0, 0, m.fail(fmt.Errorf("a response of %d bytes to TPM2_ContextLoad", len(response)))
	}
	return handle, 0, nil
}
