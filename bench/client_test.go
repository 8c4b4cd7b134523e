//go:build bench

package bench

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// client is a running testdata/client.c: it has no library that would cost time, except where tpm2-abrmd is reached by its own.
type client struct {
	t       *testing.T
	orders  io.WriteCloser
	results *bufio.Reader
}

// compileClient returns the program.
func (s *setting) compileClient() string {
	s.t.Helper()
	program := filepath.Join(s.home, "client")
	compile(s.t, program, "testdata/client.c", "-ltss2-tctildr")
	return program
}

// startClient runs the program with a connection to where. It ends with the test.
func (s *setting) startClient(program, where string) *client {
	s.t.Helper()
	orders, results := s.talkTo(s.command(program, where))
	return &client{t: s.t, orders: orders, results: results}
}

// talkTo starts a program that takes orders and gives results. It ends with the test.
func (s *setting) talkTo(command *exec.Cmd) (orders io.WriteCloser, results *bufio.Reader) {
	s.t.Helper()
	command.Stderr = os.Stderr
	orders, err := command.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.end(command, orders) })
	return orders, bufio.NewReader(output)
}

// end has a program leave at the end of its orders.
func (s *setting) end(command *exec.Cmd, orders io.Closer) {
	orders.Close()
	if err := command.Wait(); err != nil {
		s.t.Errorf("%s: %v", command, err)
	}
}

// order has the command sent n times; result waits for that.
func (c *client) order(n int, command []byte) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.orders, "%d %x\n", n, command); err != nil {
		c.t.Fatal("client: ", err)
	}
}

// result is the median time and the last response.
func (c *client) result() (time.Duration, []byte) {
	c.t.Helper()
	var nanoseconds int64
	var text string
	if _, err := fmt.Fscanln(c.results, &nanoseconds, &text); err != nil {
		c.t.Fatal("client: ", err)
	}
	response, err := hex.DecodeString(text)
	if err != nil {
		c.t.Fatal("client: ", err)
	}
	return time.Duration(nanoseconds), response
}

// load loads a key and returns the command that signs with it.
func (c *client) load(load []byte) []byte {
	c.t.Helper()
	c.order(1, load)
	_, response := c.result()
	return signWith(response)
}

// signWith is a whole TPM2_Sign (Part 3, 20.2) for the key that a response to TPM2_Load has.
func signWith(loaded []byte) []byte {
	cursor := wire.NewCursor(loaded[wire.HeaderSize:])
	return captured(func(tpm tpmtest.Sender) error {
		_, err := tpm2.Sign{
			KeyHandle:  tpm2.NamedHandle{Handle: tpm2.TPMHandle(cursor.Uint32())},
			Digest:     tpm2.TPM2BDigest{Buffer: make([]byte, 32)},
			InScheme:   tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgRSASSA, Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
			Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
		}.Execute(tpm)
		return err
	})
}

// getRandom is TPM2_GetRandom (Part 3, 16.1) of 16 bytes, the command that costs the chip least.
func getRandom() []byte {
	return wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCGetRandom)).Uint16(16).Bytes()
}

// captured is the command that go-tpm makes; its authorization is an empty password.
func captured(execute func(tpmtest.Sender) error) (command []byte) {
	execute(tpmtest.Func(func(c []byte) ([]byte, error) {
		command = append(command, c...)
		return nil, io.EOF
	}))
	return command
}
