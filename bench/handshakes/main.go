// Handshakes makes TLS handshakes whose server key is in a TPM, by the Go libraries that can do so. It is a module of its own: what it is compared with is
// nothing that tpmkey needs.
//
//	handshakes LIBRARY 1.2|1.3 SOCKET
//
// For each number on standard input it makes so many handshakes and prints the median of their times in nanoseconds.
package main

import (
	"crypto"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// libraries make an RSA 2048 key in the TPM at a socket, and give its signer.
var libraries = map[string]func(socket string) (crypto.Signer, error){
	"tpmkey":          tpmkey,
	"go-tpm-tools":    goTPMTools,
	"go-tpm-keyfiles": goTPMKeyfiles,
	"tpmkms":          tpmkms,
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "handshakes:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 || libraries[args[0]] == nil || versions[args[1]] == 0 {
		return fmt.Errorf("usage: handshakes LIBRARY 1.2|1.3 SOCKET")
	}
	key, err := libraries[args[0]](args[2])
	if err != nil {
		return err
	}
	s, err := newServer(key, versions[args[1]])
	if err != nil {
		return err
	}
	return obey(s.handshake)
}

// obey does what it is given as often as each number on standard input says.
func obey(do func() error) error {
	for {
		var n int
		if _, err := fmt.Scanln(&n); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		times := make([]time.Duration, n)
		for i := range times {
			start := time.Now()
			if err := do(); err != nil {
				return err
			}
			times[i] = time.Since(start)
		}
		slices.Sort(times)
		fmt.Println(times[n/2].Nanoseconds())
	}
}
