package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// denied is the answer to a command that the filter does not let through:
// TPM_RC_COMMAND_CODE of the resource manager's layer.
const denied = 0x000B0143

// readClock is TPM2_ReadClock, Part 3, 29.1: denied as well, but harmless where it
// is not.
var readClock = []byte{0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x81}

// clearTPM is TPM2_Clear, Part 3, 24.6, by the lockout authorisation, which is
// empty on a machine where nobody set it.
var clearTPM = []byte{
	0x80, 0x02, 0, 0, 0, 27, 0, 0, 0x01, 0x26, // TPM_ST_SESSIONS, size, TPM_CC_Clear
	0x40, 0, 0, 0x0a, // TPM_RH_LOCKOUT
	0, 0, 0, 9, 0x40, 0, 0, 0x09, 0, 0, 0, 0, 0, // one empty password: TPM_RS_PW
}

// clearMain is what the demo's user runs: "demo clear SOCKET".
func clearMain(socket string) int {
	if err := tryClear(socket); err != nil {
		fmt.Fprintln(os.Stderr, "demo: error:", err)
		return exitFailed
	}
	return 0
}

// tryClear sends TPM2_Clear and reports that it was denied; everything else is an
// error. It sends no such thing to a device that is seen not to be filtered.
func tryClear(socket string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	rc, err := exchange(conn, readClock)
	if err != nil {
		return fmt.Errorf("TPM2_ReadClock: %w", err)
	}
	if rc != denied {
		return fmt.Errorf("TPM2_ReadClock: response code %#08x: this device is not filtered, so it gets no TPM2_Clear", rc)
	}
	rc, err = exchange(conn, clearTPM)
	if err != nil {
		return fmt.Errorf("TPM2_Clear: %w", err)
	}
	if rc != denied {
		return fmt.Errorf("TPM2_Clear: response code %#08x, want %#08x", rc, denied)
	}
	fmt.Printf("TPM2_Clear: response code 0x%08X: denied by the resource manager\n", rc)
	return nil
}

// exchange sends a command and returns the response code.
func exchange(conn io.ReadWriter, command []byte) (uint32, error) {
	if _, err := conn.Write(command); err != nil {
		return 0, err
	}
	header := make([]byte, 10)
	if _, err := io.ReadFull(conn, header); err != nil {
		return 0, err
	}
	rest := int64(binary.BigEndian.Uint32(header[2:])) - int64(len(header))
	if _, err := io.CopyN(io.Discard, conn, rest); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(header[6:]), nil
}
