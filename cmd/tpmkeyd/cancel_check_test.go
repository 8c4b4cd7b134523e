//go:build check

package main

import (
	"errors"
	"net"
	"os"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/tpmtest"
)

// commandOf is what a call sends.
func commandOf(t *testing.T, call func(tpmtest.Func) error) (command []byte) {
	t.Helper()
	errSeen := errors.New("seen")
	err := call(func(sent []byte) ([]byte, error) {
		command = sent
		return nil, errSeen
	})
	if command == nil {
		t.Fatal(err)
	}
	return command
}

// Who connects, has something made and leaves before it is there, again and again, keeps nobody from his answers, and nothing stays.
func TestCancelStorm(t *testing.T) {
	s := serveWith(t, "")
	primary := commandOf(t, func(f tpmtest.Func) error {
		_, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}.Execute(f)
		return err
	})
	session := commandOf(t, func(f tpmtest.Func) error {
		_, _, err := tpm2.HMACSession(f, tpm2.TPMAlgSHA256, 16)
		return err
	})
	other := dial(t, s.path)
	random(t, other)
	var storm sync.WaitGroup
	for range 8 {
		storm.Go(func() {
			for range 50 {
				for _, command := range [][]byte{primary, session, session[:11]} {
					conn, err := net.Dial("unix", s.path)
					if err != nil {
						t.Error(err)
						return
					}
					conn.Write(command) // it may have been refused by then, for want of room
					conn.Close()
				}
			}
		})
	}
	for range 100 {
		random(t, other)
	}
	storm.Wait()
	other.Close()
	awaitClients(t, s.server, uint32(os.Getuid()), 0)
}
