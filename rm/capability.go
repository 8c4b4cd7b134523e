package rm

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// capability answers TPM2_GetCapability with the client's own truth (Part 3, 30.2): its handles, the commands that it may send. It
// gives nil where the chip's answer is the truth, or near enough to be mended.
func (s *Space) capability(c *wire.Command) ([]byte, error) {
	request := wire.NewCursor(slices.Concat(c.Param("capability"), c.Param("property"), c.Param("propertyCount")))
	kind, property, count := tpm2.TPMCap(request.Uint32()), request.Uint32(), request.Uint32()
	switch {
	case kind == tpm2.TPMCapHandles && !isOwnKind(property) && s.filter().Shows(wire.HandleType(property)):
		return nil, nil
	case len(c.Auths()) > 0:
		return underSession(kind), nil
	case kind == tpm2.TPMCapHandles:
		return capabilityPage(kind, s.handlesFrom(property), count), nil
	case kind == tpm2.TPMCapCommands:
		commands, err := s.commandsFrom(property)
		return capabilityPage(kind, commands, count), err
	case kind == tpm2.TPMCapTPMProperties && tpm2.TPMRC(property) == rcBrake:
		return s.refusalLeft(), nil
	case kind == tpm2.TPMCapTPMProperties:
		return s.propertiesAsSeen(c)
	}
	return nil, nil
}

// underSession is for a question with a session, which audits what the chip itself says. That is not the client's truth where handles and commands are asked
// for, so those take no session; nil leaves the rest to the chip.
func underSession(kind tpm2.TPMCap) []byte {
	if kind == tpm2.TPMCapHandles || kind == tpm2.TPMCapCommands {
		return wire.ErrorResponse(tpm2.TPMRCAuthContext)
	}
	return nil
}

// capabilityPage is a response with the first count values of a list (TPML_HANDLE, TPML_CCA), and whether there are more.
func capabilityPage(kind tpm2.TPMCap, values []uint32, count uint32) []byte {
	page := values[:min(uint(count), uint(len(values)), maxCapabilities)]
	more := uint8(0)
	if len(page) < len(values) {
		more = 1
	}
	m := wire.NewMessage(tpm2.TPMSTNoSessions, 0).Uint8(more).Uint32(uint32(kind)).Uint32(uint32(len(page)))
	for _, v := range page {
		m.Uint32(v)
	}
	return m.Bytes()
}

const maxCapabilities = 254 // MAX_CAP_HANDLES with a buffer of 1024 bytes (Part 2, Annex)

// isOwnKind tells whether handles of a kind are each client's own.
func isOwnKind(property uint32) bool {
	return wire.IsTransient(property) || wire.IsAuthSession(property)
}

// handlesFrom lists the handles of property's type from property on.
func (s *Space) handlesFrom(property uint32) []uint32 {
	if wire.IsAuthSession(property) {
		return s.sessionsFrom(property)
	}
	var handles []uint32
	switch wire.HandleType(property) {
	case tpm2.TPMHTTransient:
		handles = slices.AppendSeq(handles, maps.Keys(s.objects))
		handles = slices.AppendSeq(handles, maps.Keys(s.sequences))
	default:
		for _, h := range s.filter().Listed() {
			if _, present := s.Object(h); present || !wire.IsPersistent(h) {
				handles = append(handles, h)
			}
		}
		handles = append(handles, wire.RSPassword)
	}
	handles = slices.DeleteFunc(handles, func(h uint32) bool { return h < property || wire.HandleType(h) != wire.HandleType(property) })
	slices.Sort(handles)
	return handles
}

// sessionsFrom lists sessions from a number on, whatever their kind: asked for, the types 0x02 and 0x03 mean loaded and saved ones (Part 2, 7.2). Which of
// its sessions the chip has loaded is nothing that a client can tell, so all of them are; saved are those whose contexts its principal holds.
func (s *Space) sessionsFrom(property uint32) []uint32 {
	var handles []uint32
	if wire.HandleType(property) == tpm2.TPMHTHMACSession {
		handles = slices.Collect(maps.Keys(s.sessions))
	} else {
		for _, parked := range s.manager.parkedOf(s.principal) {
			handles = append(handles, parked.handle)
		}
	}
	number := func(h uint32) uint32 { return h & handleNumbers }
	handles = slices.DeleteFunc(handles, func(h uint32) bool { return number(h) < number(property) })
	slices.SortFunc(handles, func(a, b uint32) int { return cmp.Compare(number(a), number(b)) })
	return handles
}

// commandsFrom lists the TPMA_CC of the commands that the chip has and the filter lets through.
func (s *Space) commandsFrom(property uint32) ([]uint32, error) {
	if err := s.manager.readCommands(); err != nil {
		return nil, err
	}
	var commands []uint32
	for _, attributes := range s.manager.commands {
		code := attributes & wire.CommandIndex
		if code >= property && s.filter().Allows(tpm2.TPMCC(code)) {
			commands = append(commands, attributes)
		}
	}
	return commands, nil
}

// shapeOf asks the chip for the form of a command, nil for one that it does not have.
func (m *Manager) shapeOf(command []byte) (*wire.Shape, error) {
	if err := m.readCommands(); err != nil {
		return nil, err
	}
	h, _ := wire.ParseHeader(command)
	for _, attributes := range m.commands {
		if attributes&wire.CommandIndex == h.Code {
			shape := wire.ShapeFrom(attributes)
			return &shape, nil
		}
	}
	return nil, nil
}

// readCommands reads all TPMA_CC of the chip, once.
func (m *Manager) readCommands() error {
	if m.commands != nil {
		return nil
	}
	var all []uint32
	for next, more := uint32(0), true; more; {
		list, moreData, err := m.getCapability(tpm2.TPMCapCommands, next, maxCapabilities)
		if err != nil {
			return err
		}
		values := wire.NewCursor(list)
		for n := values.Uint32(); n > 0 && !values.Failed(); n-- {
			all = append(all, values.Uint32())
		}
		if !values.Done() {
			return m.fail(errors.New("the TPM's list of commands is cut short"))
		}
		if more = moreData && len(all) > 0; more {
			after := all[len(all)-1]&wire.CommandIndex + 1
			if after <= next {
				return m.fail(fmt.Errorf("the TPM lists its commands in a circle"))
			}
			next = after
		}
	}
	m.commands = all
	return nil
}

// properties reads count neighbouring TPM_PT values.
func (m *Manager) properties(first tpm2.TPMPT, count uint32) (map[tpm2.TPMPT]uint32, error) {
	list, _, err := m.getCapability(tpm2.TPMCapTPMProperties, uint32(first), count)
	if err != nil {
		return nil, err
	}
	found := map[tpm2.TPMPT]uint32{}
	values := wire.NewCursor(list)
	for n := values.Uint32(); n > 0 && !values.Failed(); n-- {
		property := tpm2.TPMPT(values.Uint32())
		found[property] = values.Uint32()
	}
	if !values.Done() {
		return nil, m.fail(errors.New("the TPM's list of properties is cut short"))
	}
	return found, nil
}

// getCapability asks the chip and gives the list that follows the kind of capability, and whether there is more of it.
func (m *Manager) getCapability(kind tpm2.TPMCap, property, count uint32) (list []byte, more bool, err error) {
	command := wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCGetCapability)).
		Uint32(uint32(kind)).Uint32(property).Uint32(count).Bytes()
	response, rc, err := m.exchange(command)
	if err != nil {
		return nil, false, err
	}
	c := wire.NewCursor(response[wire.HeaderSize:])
	more = c.Uint8() != 0
	if rc != 0 || tpm2.TPMCap(c.Uint32()) != kind {
		return nil, false, fmt.Errorf("TPM2_GetCapability: %w", rc)
	}
	return c.Rest(), more, nil
}

// What the chip says of itself and a client must not take for its own, by property.
func (s *Space) ownProperties() map[tpm2.TPMPT]uint32 {
	limits := s.limits
	own := map[tpm2.TPMPT]uint32{
		tpm2.TPMPTContextGapMax:    0xFFFFFFFF, // the gap is the manager's business
		tpm2.TPMPTHRTransientAvail: uint32(limits.Objects - len(s.objects) - len(s.sequences)),
		tpm2.TPMPTHRLoadedAvail:    uint32(limits.Sessions - len(s.sessions)),
		tpm2.TPMPTHRActiveAvail:    uint32(limits.Sessions - len(s.sessions)),
		tpm2.TPMPTHRLoaded:         uint32(len(s.sessions)),
		tpm2.TPMPTHRActive:         uint32(len(s.sessions)),
	}
	if !s.filter().Allows(tpm2.TPMCCEvictControl) {
		own[tpm2.TPMPTHRPersistentAvail] = 0
	}
	return own
}

// propertiesAsSeen passes TPM_CAP_TPM_PROPERTIES on with the client's own values in it.
func (s *Space) propertiesAsSeen(c *wire.Command) ([]byte, error) {
	response, rc, err := s.manager.exchange(c.Bytes)
	if err != nil || rc != 0 {
		return response, err
	}
	const first = wire.HeaderSize + 1 + 4 + 4 // moreData, capability, count
	own := s.ownProperties()
	for at := first; at+8 <= len(response); at += 8 {
		property := tpm2.TPMPT(binary.BigEndian.Uint32(response[at:]))
		if property == tpm2.TPMPTMaxCommandSize {
			s.manager.maxCommand = int(binary.BigEndian.Uint32(response[at+4:]))
		}
		if value, ok := own[property]; ok {
			binary.BigEndian.PutUint32(response[at+4:], value)
		}
	}
	return response, nil
}
