package main

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/sys/unix"

	"tpmkey.example/filter"
	"tpmkey.example/internal/ioctl"
	"tpmkey.example/rm/wire"
)

// Linux's virtual TPMs (include/uapi/linux/vtpm_proxy.h): a descriptor on which the kernel writes commands and reads responses, and a /dev/tpmN and
// /dev/tpmrmN on the other side, with the kernel's own manager above ours.
var newDevice = ioctl.ReadWrite(0xA1, 0, 20) // VTPM_PROXY_IOC_NEW_DEV, struct vtpm_proxy_new_dev

const (
	isTPM2        = 1                      // VTPM_PROXY_FLAG_TPM2
	ccSetLocality = tpm2.TPMCC(0x20001000) // TPM2_CC_SET_LOCALITY: the kernel's own, and its first
)

// A vtpm is a virtual TPM that a namespace has. It carries no caller's identity: whoever can open it is the namespace.
type vtpm struct {
	client *client
	fd     int
	number int   // of /dev/tpmN
	as     grant // by the file that was read last
	stop   int   // an eventfd
	ended  chan struct{}
	saved  map[uint32][]byte // what stands for the contexts of sessions, by their handles
}

// plug makes a virtual TPM of a client, and serves it until it is unplugged.
func plug(c *client) (*vtpm, error) {
	fd, number, err := newProxy()
	if err != nil {
		return nil, err
	}
	return serveProxy(c, fd, number)
}

// serveProxy serves a descriptor, which it closes in the end.
func serveProxy(c *client, fd, number int) (*vtpm, error) {
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	v := &vtpm{client: c, fd: fd, number: number, stop: stop, ended: make(chan struct{}), saved: map[uint32][]byte{}}
	c.server.chips.own.Store(number, true)
	go v.serve()
	return v, nil
}

func newProxy() (fd, number int, err error) {
	control, err := unix.Open("/dev/vtpmx", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		err = fmt.Errorf("%w: the kernel's module is not there; run: modprobe tpm_vtpm_proxy", err)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("open /dev/vtpmx: %w", err)
	}
	defer unix.Close(control)
	b := binary.NativeEndian.AppendUint32(nil, isTPM2)
	b = append(b, make([]byte, 16)...) // tpm_num, fd, major, minor
	if err := ioctl.Do(control, newDevice, b); err != nil {
		return 0, 0, fmt.Errorf("make a virtual TPM: %w", err)
	}
	number, fd = int(binary.NativeEndian.Uint32(b[4:])), int(binary.NativeEndian.Uint32(b[8:]))
	unix.CloseOnExec(fd)
	return fd, number, nil
}

// unplug takes the device away. A command that runs comes to its end first: close the chips before, when all is to end.
func (v *vtpm) unplug() {
	unix.Write(v.stop, binary.NativeEndian.AppendUint64(nil, 1))
	<-v.ended
	unix.Close(v.stop)
}

// serve answers the kernel's commands, one after the other.
func (v *vtpm) serve() {
	defer close(v.ended)
	defer v.client.server.chips.own.Delete(v.number)
	defer v.client.leave()
	defer unix.Close(v.fd)
	buffer := make([]byte, wire.MaxCommand)
	for v.await() {
		n, err := unix.Read(v.fd, buffer)
		if err == unix.EINTR || err == unix.EAGAIN {
			continue
		}
		if err != nil {
			v.client.log("/dev/tpm%d: %v", v.number, err)
			return
		}
		response, err := v.answer(buffer[:n])
		if err != nil {
			return
		}
		unix.Write(v.fd, response) // the kernel may not want it any more
	}
}

// await waits for a command, and reports false when there will be none.
func (v *vtpm) await() bool {
	fds := []unix.PollFd{{Fd: int32(v.fd), Events: unix.POLLIN}, {Fd: int32(v.stop), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		switch {
		case err != nil && err != unix.EINTR, fds[1].Revents != 0, fds[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0:
			return false
		case fds[0].Revents&unix.POLLIN != 0:
			return true
		}
	}
}

// answer gives the kernel what it must have of a TPM, whatever the filter says, and none of which may reach the real one: another machine would start it, test it
// and shut it down. All else is the client's.
func (v *vtpm) answer(command []byte) ([]byte, error) {
	h, ok := wire.ParseHeader(command)
	if !ok {
		return wire.ErrorResponse(tpm2.TPMRCCommandSize), nil
	}
	switch tpm2.TPMCC(h.Code) {
	case ccSetLocality:
		return setLocality(command), nil
	case tpm2.TPMCCStartup, tpm2.TPMCCShutdown, tpm2.TPMCCSelfTest:
		return wire.ErrorResponse(tpm2.TPMRCSuccess), nil
	case tpm2.TPMCCGetCapability:
		return v.capability(command)
	case tpm2.TPMCCContextSave:
		return v.save(command)
	case tpm2.TPMCCContextLoad:
		return v.load(command)
	}
	return v.client.send(command)
}

// save is TPM2_ContextSave (Part 3, 28.2). The kernel's manager saves and loads every session around every command, which most filters refuse. Nothing is saved here
// then: the session stays where it is, and a ticket stands for its context (TPMS_CONTEXT, Part 2, 14.5).
func (v *vtpm) save(command []byte) ([]byte, error) {
	response, err := v.client.send(command)
	handle := wire.NewCursor(command[wire.HeaderSize:])
	named := handle.Uint32()
	if err != nil || !handle.Done() || !wire.IsAuthSession(named) || !bytes.Equal(response, wire.ErrorResponse(filter.RCDenied)) {
		return response, err
	}
	if held, err := v.holds(named); err != nil || !held {
		return wire.ErrorResponse(tpm2.TPMRCReferenceH0), err // it ended with its last command
	}
	ticket := make([]byte, 16)
	rand.Read(ticket)
	v.saved[named] = wire.NewMessage(tpm2.TPMSTNoSessions, 0).Uint32(0).Uint32(0).Uint32(named).Uint32(uint32(tpm2.TPMRHNull)).Uint16(uint16(len(ticket))).Raw(ticket).Bytes()
	return v.saved[named], nil
}

// holds asks whether a session is there: the answer to TPM2_GetCapability is the client's own.
func (v *vtpm) holds(session uint32) (bool, error) {
	response, err := v.client.send(wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCGetCapability)).
		Uint32(uint32(tpm2.TPMCapHandles)).Uint32(uint32(tpm2.TPMHTHMACSession)<<24 | session&0x00FFFFFF).Uint32(1).Bytes())
	if err != nil {
		return false, err
	}
	c := wire.NewCursor(response[min(len(response), wire.HeaderSize):])
	c.Take(1 + 4) // moreData, capability
	return c.Uint32() == 1 && c.Uint32() == session, nil
}

// load is TPM2_ContextLoad (Part 3, 28.3). A ticket is good once.
func (v *vtpm) load(command []byte) ([]byte, error) {
	context := wire.NewCursor(command[wire.HeaderSize:])
	context.Take(8) // the sequence number
	named := context.Uint32()
	if ticket := v.saved[named]; ticket == nil || !bytes.Equal(ticket[wire.HeaderSize:], command[wire.HeaderSize:]) {
		return v.client.send(command)
	}
	delete(v.saved, named)
	return wire.NewMessage(tpm2.TPMSTNoSessions, 0).Uint32(named).Bytes(), nil
}

// setLocality lets the kernel come from where it comes from always. The real locality is the grant's.
func setLocality(command []byte) []byte {
	if len(command) == wire.HeaderSize+1 && command[wire.HeaderSize] == 0 {
		return wire.ErrorResponse(tpm2.TPMRCSuccess)
	}
	return wire.ErrorResponse(tpm2.TPMRCLocality)
}

// capability mends what keeps the kernel from believing in a TPM that has few commands: their number must be that of those it is shown, and it must be told its
// banks of PCRs, of which there are none where the filter shows none (Part 3, 30.2).
func (v *vtpm) capability(command []byte) ([]byte, error) {
	response, err := v.client.send(command)
	if err != nil {
		return nil, err
	}
	asked := wire.NewCursor(command[wire.HeaderSize:])
	kind := tpm2.TPMCap(asked.Uint32())
	h, _ := wire.ParseHeader(response)
	switch {
	case kind == tpm2.TPMCapPCRs && h.Code != 0:
		return wire.NewMessage(tpm2.TPMSTNoSessions, 0).Uint8(0).Uint32(uint32(kind)).Uint32(0).Bytes(), nil
	case kind == tpm2.TPMCapTPMProperties && h.Code == 0:
		return response, v.countCommands(response)
	}
	return response, nil
}

// countCommands puts the number of commands that are shown where the chip's own stands.
func (v *vtpm) countCommands(response []byte) error {
	const first = wire.HeaderSize + 1 + 4 + 4 // moreData, capability, count
	for at := first; at+8 <= len(response); at += 8 {
		if tpm2.TPMPT(binary.BigEndian.Uint32(response[at:])) != tpm2.TPMPTTotalCommands {
			continue
		}
		shown, err := v.shown()
		if err != nil {
			return err
		}
		binary.BigEndian.PutUint32(response[at+4:], shown)
	}
	return nil
}

// shown is how many commands the client is shown.
func (v *vtpm) shown() (uint32, error) {
	response, err := v.client.send(wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCGetCapability)).
		Uint32(uint32(tpm2.TPMCapCommands)).Uint32(0).Uint32(1 << 10).Bytes())
	if err != nil {
		return 0, err
	}
	c := wire.NewCursor(response[min(len(response), wire.HeaderSize):])
	c.Take(1 + 4) // moreData, capability
	return c.Uint32(), nil
}
