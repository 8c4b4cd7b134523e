package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/sys/unix"

	"tpmkey.example/filter"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// A proxied is a virtual TPM as the kernel's driver has it.
type proxied struct {
	t  *testing.T
	fd int
}

// Send asks the virtual TPM.
func (p *proxied) Send(command []byte) ([]byte, error) {
	if _, err := unix.Write(p.fd, command); err != nil {
		return nil, err
	}
	response := make([]byte, wire.MaxCommand)
	n, err := unix.Read(p.fd, response)
	if err == nil && n == 0 {
		err = errors.New("it is unplugged")
	}
	return response[:max(n, 0)], err
}

// plugIn stands for the kernel's driver. It gives the kernel's end of each virtual TPM, by its number.
func plugIn(t *testing.T, s *server) map[int]*proxied {
	t.Helper()
	kernel := map[int]*proxied{}
	s.vtpms.plug = func(c *client) (*vtpm, error) {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		number := len(kernel) + 1
		kernel[number] = &proxied{t, pair[0]}
		t.Cleanup(func() { unix.Close(pair[0]) })
		return serveProxy(c, pair[1], number)
	}
	return kernel
}

const withVTPM = "[[namespace]]\nname = \"box\"\nvtpm = true\n"

// What Linux does with a new chip before it shows it (tpm2_auto_startup), and what it must not do to the real one.
func TestVTPM(t *testing.T) {
	s := serveWith(t, "")
	kernel := plugIn(t, s.server)
	s.write(t, withVTPM)
	if err := s.rules.reload(s.server); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.vtpms.closeAll)
	box := kernel[1]
	if box == nil {
		t.Fatal("there is no virtual TPM")
	}
	s.log.await(t, "namespace box has /dev/tpm1 and /dev/tpmrm1")
	success, locality := wire.ErrorResponse(0), wire.NewMessage(tpm2.TPMSTNoSessions, uint32(ccSetLocality))
	for _, row := range []struct {
		name    string
		command []byte
		want    []byte
	}{
		{"locality", locality.Uint8(0).Bytes(), success},
		{"another locality", wire.NewMessage(tpm2.TPMSTNoSessions, uint32(ccSetLocality)).Uint8(2).Bytes(), wire.ErrorResponse(tpm2.TPMRCLocality)},
		{"self test", wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCSelfTest)).Uint8(1).Bytes(), success},
		{"start", wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCStartup)).Uint16(0).Bytes(), success},
		{"shut down", wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCShutdown)).Uint16(0).Bytes(), success},
		{"too short", []byte{0x80, 1}, wire.ErrorResponse(tpm2.TPMRCCommandSize)},
		{"PCRs", getCapability(tpm2.TPMCapPCRs, 0), wire.NewMessage(tpm2.TPMSTNoSessions, 0).Uint8(0).Uint32(uint32(tpm2.TPMCapPCRs)).Uint32(0).Bytes()},
	} {
		if got, err := box.Send(row.command); err != nil || !bytes.Equal(got, row.want) {
			t.Errorf("%s: %x, %v, want %x", row.name, got, err, row.want)
		}
	}
	properties, err1 := box.Send(getCapability(tpm2.TPMCapTPMProperties, uint32(tpm2.TPMPTTotalCommands)))
	commands, err2 := box.Send(getCapability(tpm2.TPMCapCommands, 0x11F))
	if err := errors.Join(err1, err2); err != nil || len(properties) < 27 || len(commands) < 19 {
		t.Fatalf("%x, %x, %v", properties, commands, err)
	}
	if said, shown := binary.BigEndian.Uint32(properties[23:]), binary.BigEndian.Uint32(commands[15:]); said != shown || shown < 10 {
		t.Errorf("it says that it has %d commands, and shows %d", said, shown)
	}
	random, err := box.Send(getRandom(32))
	if err != nil {
		t.Fatal(err)
	}
	wantRandom(t, random, 32)
	if _, err := (tpm2.Clear{AuthHandle: tpm2.TPMRHLockout}).Execute(box); err == nil {
		t.Error("the TPM was cleared from a virtual one")
	}
	s.log.await(t, fmt.Sprintf("denied uid=%d pid=0", vtpmUID("box")))
}

// The kernel's manager saves each session after each command, and loads it before the next. Under a filter that refuses that it works all the same.
func TestSessionOfVTPM(t *testing.T) {
	s := serveWith(t, "")
	kernel := plugIn(t, s.server)
	t.Cleanup(s.vtpms.closeAll)
	s.write(t, withVTPM)
	if err := s.rules.reload(s.server); err != nil {
		t.Fatal(err)
	}
	box := kernel[1]
	save := func(session tpm2.TPMHandle) []byte {
		response, err := box.Send(wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCContextSave)).Uint32(uint32(session)).Bytes())
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	load := func(context []byte) []byte {
		response, err := box.Send(wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCContextLoad)).Raw(context).Bytes())
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	session, end, err := tpm2.HMACSession(box, tpm2.TPMAlgSHA256, 16, tpm2.AESEncryption(128, tpm2.EncryptOut))
	if err != nil {
		t.Fatal(err)
	}
	want := wire.NewMessage(tpm2.TPMSTNoSessions, 0).Uint32(uint32(session.Handle())).Bytes()
	context := save(session.Handle())[wire.HeaderSize:]
	if got := load(context); !bytes.Equal(got, want) {
		t.Errorf("loaded: %x, want %x", got, want)
	}
	if got := load(context); bytes.Equal(got, want) {
		t.Error("a context was loaded twice")
	}
	if _, err := (tpm2.GetRandom{BytesRequested: 8}).Execute(box, session); err != nil {
		t.Errorf("in the session: %v", err)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	if got := save(session.Handle()); !bytes.Equal(got, wire.ErrorResponse(tpm2.TPMRCReferenceH0)) {
		t.Errorf("a session that has ended: %x", got)
	}
}

func getCapability(kind tpm2.TPMCap, property uint32) []byte {
	return wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCGetCapability)).Uint32(uint32(kind)).Uint32(property).Uint32(200).Bytes()
}

// Virtual TPMs come and go with the file, all that a file adds or none; those that stay keep what they hold.
func TestReloadVTPMs(t *testing.T) {
	s := serveWith(t, "")
	kernel := plugIn(t, s.server)
	t.Cleanup(s.vtpms.closeAll)
	reload := func(text, want string) {
		t.Helper()
		s.write(t, text)
		err := s.rules.reload(s.server)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("reload: %v, want %q", err, want)
		}
	}
	reload(withVTPM, "")
	primary, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}.Execute(kernel[1])
	if err != nil {
		t.Fatal(err)
	}
	good := s.vtpms.plug
	s.vtpms.plug = func(*client) (*vtpm, error) { return nil, errors.New("no module") }
	another := strings.ReplaceAll(withVTPM, "box", "other")
	reload(withVTPM+another, `namespace "other", line 4: no module`)
	s.vtpms.plug = good
	reload(withVTPM+another, "")
	if _, err := (tpm2.ReadPublic{ObjectHandle: primary.ObjectHandle}).Execute(kernel[1]); err != nil {
		t.Errorf("the first has lost its key: %v", err)
	}
	reload(strings.ReplaceAll(withVTPM, "true", "true\nlocality = 3")+another, `namespace "box", line 1: locality 3: nothing but 0`)
	if _, err := (tpm2.ReadPublic{ObjectHandle: primary.ObjectHandle}).Execute(kernel[1]); err != nil {
		t.Errorf("who stays has lost its key to a mistake: %v", err)
	}
	create := tpm2.Create{ParentHandle: tpm2.NamedHandle{Handle: primary.ObjectHandle, Name: primary.Name}, InPublic: tpm2.New2B(tpmtest.RSATemplate())}
	if _, err := create.Execute(kernel[1]); err != nil {
		t.Errorf("who stays has not kept what it was granted: %v", err)
	}
	reload(strings.ReplaceAll(withVTPM, "true", "true\nfilter = \"use\"")+another, "")
	s.log.await(t, "namespace box: /dev/tpm1 has the filter use now; what was loaded there is gone")
	if strings.Contains(s.log.String(), "namespace other: ") {
		t.Error("who is not changed has lost what it had")
	}
	if _, err := create.Execute(kernel[1]); !errors.Is(err, tpm2.TPMRC(filter.RCDenied)) {
		t.Errorf("who stays has another filter than the file says now: %v", err)
	}
	reload(strings.ReplaceAll(withVTPM, "true", "false")+another, "")
	if r, err := kernel[1].Send(getRandom(16)); err == nil {
		t.Errorf("who is not wanted any more answers %x", r)
	}
	if _, err := kernel[2].Send(getRandom(16)); err != nil {
		t.Errorf("who stays: %v", err)
	}
	reload(strings.ReplaceAll(withVTPM, "true", "true\nfilter = \"use\"")+another, "")
	primary, err = tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}.Execute(kernel[3])
	if err != nil {
		t.Fatal(err)
	}
	create.ParentHandle = tpm2.NamedHandle{Handle: primary.ObjectHandle, Name: primary.Name}
	if _, err := create.Execute(kernel[3]); err == nil {
		t.Error("who comes again has another filter than the file says now")
	}
	s.vtpms.closeAll()
	reload(withVTPM, errStopping.Error())
}

// Our own virtual TPMs are no chips of the machine.
func TestOwnVTPMsAreNoChips(t *testing.T) {
	c := &chips{dir: t.TempDir()}
	for _, name := range []string{"tpm0", "tpm1", "tpm2"} {
		if err := os.WriteFile(c.dir+"/"+name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.own.Store(0, true)
	c.own.Store(2, true)
	if got := fmt.Sprint(c.numbers()); got != "[1]" {
		t.Errorf("the chips are %s", got)
	}
	if n, err := c.find(anyChip); err != nil || n != 1 {
		t.Errorf("the first chip is %d, %v", n, err)
	}
	if _, err := c.find(2); err == nil {
		t.Error("our own is a chip")
	}
}
