//go:build cgo

// The PKCS #11 module: a C front that hosts call, and this core, which the front calls with one flat message at a time.
package main

/*
#cgo CFLAGS: -Wall -Wextra -I/usr/include/p11-kit-1
#include <stdlib.h>
#include "front.h"
*/
import "C"

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/internal/privilege"
	"tpmkey.example/internal/prompt"
	"tpmkey.example/pkcs11-module/token"
	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
)

// library is what all of the host's threads share. It opens nothing before C_Initialize, and no device before the first private operation.
var library = token.NewLibrary(openKeys, logLine)

func openKeys() *provider.Provider {
	keys := provider.Open(provider.DefaultDirs(), func() (transport.TPMCloser, error) { return device.Open("") })
	keys.AskPIN(askPIN)
	return keys
}

// askPIN asks the person before the screen, because few hosts do it for a token that needs no login. The question names the host.
func askPIN(k *provider.Key, wrong error) ([]byte, error) {
	q := prompt.Question{Key: k.Name(), Program: filepath.Base(os.Args[0])}
	if wrong != nil {
		q.Again = provider.ErrWrongPIN.Error()
	}
	pin, err := prompt.PIN(context.Background(), q)
	if err != nil {
		err = fmt.Errorf("%w: %w", provider.ErrPIN, err)
	}
	return pin, err
}

// logLine appends to the file that TPMKEY_LOG names. It is opened for each line, because hosts close descriptors that they do not know.
func logLine(line string) {
	path := os.Getenv("TPMKEY_LOG")
	if path == "" || privilege.Raised() {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return // there is nobody to tell
	}
	defer f.Close()
	head := fmt.Sprintf("%s tpmkey-pkcs11[%d]: ", time.Now().Format(time.RFC3339), os.Getpid())
	fmt.Fprint(f, head+strings.ReplaceAll(line, "\n", "\n"+head)+"\n") // joined errors have several lines
}

//export tpmkey_core
func tpmkey_core(request unsafe.Pointer, size C.size_t, response *unsafe.Pointer, responseSize *C.size_t) {
	answer := library.Call(bytes.Clone(unsafe.Slice((*byte)(request), int(size)))) // the front frees its own
	*response = C.CBytes(answer)
	*responseSize = C.size_t(len(answer))
	clear(answer) // perhaps a plaintext
}

func main() {}
