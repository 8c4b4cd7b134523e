package tpmtest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Commands of swtpm's control channel: TPM/CUSE ioctl interface, tpm_ioctl.h.
const (
	cmdGetCapability = 1 // no input; capability bits (8)
	cmdInit          = 2 // init flags (4): power off and on
)

// SWTPM starts a swtpm of the test's own, started up (TPM2_Startup CLEAR), and
// returns its spec. It has 3 transient slots and 3 loaded sessions and serves one
// connection at a time.
func SWTPM(t testing.TB) string {
	t.Helper()
	Need(t, "swtpm")
	dir := shortDir(t)
	data := filepath.Join(dir, "data.sock")
	program := exec.Command("swtpm", "socket", "--tpm2",
		"--tpmstate", "dir="+dir,
		"--server", "type=unixio,path="+data,
		"--ctrl", "type=unixio,path="+control(data),
		"--flags", "not-need-init,startup-clear")
	// The control channel answers once everything else is in place; a trial
	// connection to the data socket would be a client.
	Start(t, program, func() error { return command(control(data), cmdGetCapability) })
	return "unix:" + data
}

// PowerCycle switches the swtpm with this spec off and on, under whoever is
// connected. All that is not persistent is gone, and every command answers
// TPM_RC_INITIALIZE until a TPM2_Startup (see Startup).
func PowerCycle(t testing.TB, spec string) {
	t.Helper()
	err := command(control(strings.TrimPrefix(spec, "unix:")), cmdInit, 0, 0, 0, 0)
	if err != nil {
		t.Fatal("power cycle: ", err)
	}
}

// Startup sends TPM2_Startup CLEAR (Part 3, 9.3) to a raw chip.
func Startup(t testing.TB, tpm Sender) {
	t.Helper()
	response, err := tpm.Send([]byte{0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0})
	if err != nil || code(response) != 0 {
		t.Fatalf("startup: response code %#x, error %v", code(response), err)
	}
}

// control is the control socket that belongs to a data socket, named as tpm2-tss's
// swtpm TCTI expects it.
func control(data string) string { return data + ".ctrl" }

// command runs one command of the control channel. Results are a code (4), 0 if
// all went well, and what follows, which nobody here needs.
func command(path string, number uint32, input ...byte) error {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, number), input...)); err != nil {
		return err
	}
	result := make([]byte, 4)
	if _, err := io.ReadFull(conn, result); err != nil {
		return err
	}
	// GET_CAPABILITY begins with the capabilities' upper half, which is 0 too.
	if n := binary.BigEndian.Uint32(result); n != 0 {
		return fmt.Errorf("swtpm control command %d: result %#x", number, n)
	}
	return nil
}

// shortDir is a directory for sockets: t.TempDir's path can exceed the 107 bytes
// of a Unix socket's name.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tpm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
