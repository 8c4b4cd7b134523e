//go:build vm

package vm

import (
	"encoding/hex"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/sys/unix"

	"tpmkey.example/filter"
	"tpmkey.example/rm/wire"
)

// A chardev is an open TPM device, as a program without a library has it.
type chardev int

func openNode(path string) (chardev, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	return chardev(fd), err
}

// Send writes a command and reads the response.
func (c chardev) Send(command []byte) ([]byte, error) {
	if _, err := unix.Write(int(c), command); err != nil {
		return nil, fmt.Errorf("write: %w", err)
	}
	response := make([]byte, wire.MaxCommand)
	n, err := unix.Read(int(c), response)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return response[:n], nil
}

func (c chardev) Close() error { return unix.Close(int(c)) }

func mustOpen(t *testing.T, path string) chardev {
	t.Helper()
	c, err := openNode(path)
	if err != nil {
		t.Fatalf("open %s: %v", path, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// message is a command with handles and, if it is asked for, an empty password.
func message(code tpm2.TPMCC, handles []uint32, auth bool, parameters []byte) []byte {
	tag := tpm2.TPMSTNoSessions
	if auth {
		tag = tpm2.TPMSTSessions
	}
	m := wire.NewMessage(tag, uint32(code))
	for _, h := range handles {
		m = m.Uint32(h)
	}
	if auth {
		m = m.Uint32(9).Uint32(uint32(tpm2.TPMRSPW)).Raw([]byte{0, 0, 1, 0, 0})
	}
	return m.Raw(parameters).Bytes()
}

func getRandom() []byte { return message(tpm2.TPMCCGetRandom, nil, false, []byte{0, 16}) }

// send is an act: each argument is a command in hexadecimal, for a node that was named first. It prints the responses.
func send(args []string) {
	c, err := openNode(args[0])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, a := range args[1:] {
		command, err := hex.DecodeString(a)
		if err != nil {
			panic(err)
		}
		response, err := c.Send(command)
		fmt.Printf("%x %v\n", response, err)
	}
}

func init() { acts["send"] = send }

// What nobody may do to a machine's TPM, on the chip that would let him: its owner has no password.
func TestDenied(t *testing.T) {
	const owner, lockout = uint32(tpm2.TPMRHOwner), uint32(tpm2.TPMRHLockout)
	zeros := make([]byte, 64)
	denied := fmt.Sprintf("%x <nil>\n", wire.ErrorResponse(filter.RCDenied))
	p := as(t, user)
	for _, row := range []struct {
		name    string
		command []byte
	}{
		{"Clear", message(tpm2.TPMCCClear, []uint32{lockout}, true, nil)},
		{"EvictControl", message(tpm2.TPMCCEvictControl, []uint32{owner, 0x81000001}, true, []byte{0x81, 0, 0, 1})},
		{"PCR_Extend", message(tpm2.TPMCCPCRExtend, []uint32{16}, true, append([]byte{0, 0, 0, 1, 0, 0x0B}, zeros[:32]...))},
		{"PCR_Reset", message(tpm2.TPMCCPCRReset, []uint32{16}, true, nil)},
		{"NV_DefineSpace", message(tpm2.TPMCCNVDefineSpace, []uint32{owner}, true, []byte{0, 0, 0, 14, 1, 0, 0, 1, 0, 0x0B, 0, 2, 0, 2, 0, 0, 0, 8})},
		{"NV_Read", message(tpm2.TPMCCNVRead, []uint32{owner, 0x01C00002}, true, zeros[:4])},
		{"NV_ReadPublic", message(tpm2.TPMCCNVReadPublic, []uint32{0x01C00002}, false, nil)},
		{"Duplicate", message(tpm2.TPMCCDuplicate, []uint32{0x80000000, uint32(tpm2.TPMRHNull)}, true, []byte{0, 0, 0, 0x10})},
		{"HierarchyChangeAuth", message(tpm2.TPMCCHierarchyChanegAuth, []uint32{owner}, true, []byte{0, 1, 'x'})},
		{"DictionaryAttackLockReset", message(tpm2.TPMCCDictionaryAttackLockReset, []uint32{lockout}, true, nil)},
	} {
		out, err := p.again("send", node, hex.EncodeToString(row.command)).CombinedOutput()
		if err != nil || string(out) != denied {
			t.Errorf("%s: %s, %v, want %s", row.name, out, err, denied)
		}
	}
	if out := p.fail("tpm2_getrandom", "-T", "device:/dev/tpmrm0", "8"); out == "" {
		t.Error("the kernel's own device is open to everybody in this machine, so this test shows nothing")
	}
}
