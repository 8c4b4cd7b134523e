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

	mostWaiting = 8 * time.Second // in one turn
)

func isPassing(rc tpm2.TPMRC) bool {
	return rc == tpm2.TPMRCRetry || rc == tpm2.TPMRCYielded || rc == tpm2.TPMRCTesting
}

// exchange sends one command to the chip, opening it if need be, and checks what comes back. An error means that nothing is
// known of the chip any more: it is closed, and nothing more is sent in this turn.
func (m *Manager) exchange(command []byte) ([]byte, tpm2.TPMRC, error) {
	if err := m.ready(); err != nil {
		return nil, 0, err
	}
	pause := firstPause
	for i := 0; ; i++ {
		response, err := m.send(command)
		if err != nil {
			return nil, 0, m.fail(err)
		}
		h, err := wire.CheckResponse(response, tpm2.TPMST(uint16(command[0])<<8|uint16(command[1])))
		if err != nil {
			return nil, 0, m.fail(fmt.Errorf("not a TPM's answer: %w", err))
		}
		if rc := tpm2.TPMRC(h.Code); !isPassing(rc) || i == mostPauses || !m.wait(pause) {
			return response, rc, nil
		}
		pause *= 2
	}
}

// send is the chip's own, for which somebody waits. A chip that does not answer at all is closed in the end, which makes an error of it.
func (m *Manager) send(command []byte) ([]byte, error) {
	chip := m.chip
	cut := time.AfterFunc(m.patience, func() { chip.Close() })
	defer cut.Stop()
	return chip.Send(command)
}

// wait pauses, and reports false when enough of this turn was spent with that.
func (m *Manager) wait(d time.Duration) bool {
	m.waited += d
	return m.waited <= mostWaiting && m.pause(d)
}

// sleep reports false when the manager is closed: then nobody waits any longer.
func (m *Manager) sleep(d time.Duration) bool {
	select {
	case <-m.closed:
		return false
	case <-time.After(d):
		return true
	}
}

// ready opens the chip.
func (m *Manager) ready() error {
	if m.broken != nil {
		return m.broken
	}
	if m.chip == nil {
		chip, err := m.config.Open()
		if err != nil {
			m.broken = err
			return err
		}
		m.setChip(chip)
	}
	return nil
}

// sendMakingRoom sends a command, and saves something else as long as the chip says that its slots are full. What keep names
// stays where it is.
func (m *Manager) sendMakingRoom(command []byte, keep holding) ([]byte, tpm2.TPMRC, error) {
	pause, waits, reclaimed := firstPause, 0, false
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
		case (isFull(rc) || rc == tpm2.TPMRCSessionHandles) && m.config.Sharing == Alone && !reclaimed:
			reclaimed = true
			if err := m.reclaim(keep); err != nil {
				return nil, 0, err
			}
			continue
		case !isFull(rc) || m.config.Sharing == Alone || waits == mostPauses || !m.wait(pause): // others hold the slots and give them back
			return response, rc, nil
		}
		pause *= 2
		waits++
	}
}

func isFull(rc tpm2.TPMRC) bool {
	return rc == tpm2.TPMRCObjectMemory || rc == tpm2.TPMRCObjectHandles || rc == tpm2.TPMRCSessionMemory || rc == tpm2.TPMRCMemory
}

// isWarning tells whether a code says that the command may work later: nothing is wrong with what it names.
func isWarning(rc tpm2.TPMRC) bool { return isPassing(rc) || isFull(rc) }

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
		if m.shed {
			return false, nil // it was not for want of ours
		}
		m.shed = m.shedSession(keep)
		return m.shed, nil
	case tpm2.TPMRCContextGap:
		return m.closeGap()
	}
	return false, nil
}

// flush takes a handle off the chip. A code of the chip says that it is gone already, unless it is a warning; then, and after a failure, it is looked for
// later.
func (m *Manager) flush(what stray) {
	_, rc, err := m.exchange(wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCFlushContext)).Uint32(what.handle).Bytes())
	if err != nil || isWarning(rc) {
		m.remember(what)
	}
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
	return m.loadedHandle(context, response)
}

// loadOnce is load without making room.
func (m *Manager) loadOnce(context []byte) (uint32, tpm2.TPMRC, error) {
	response, rc, err := m.exchange(contextLoad(context))
	if err != nil || rc != 0 {
		return 0, rc, err
	}
	return m.loadedHandle(context, response)
}

func contextLoad(context []byte) []byte {
	return wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCContextLoad)).Raw(context).Bytes()
}

// loadedHandle makes sure that an object has a transient handle, and a session the one that it had (TPMS_CONTEXT, Part 2, 14.5).
func (m *Manager) loadedHandle(context, response []byte) (uint32, tpm2.TPMRC, error) {
	of := wire.NewCursor(context)
	of.Take(8) // the sequence number
	savedHandle := of.Uint32()
	c := wire.NewCursor(response[wire.HeaderSize:])
	handle := c.Uint32()
	if !c.Done() || handle != savedHandle && !(wire.IsTransient(handle) && wire.IsTransient(savedHandle)) {
		return 0, 0, m.fail(fmt.Errorf("handle 0x%x in a response of %d bytes to TPM2_ContextLoad of 0x%x", handle, len(response), savedHandle))
	}
	return handle, 0, nil
}
