// Package core puts together what answers the PKCS #11 module's front: in the host's own process, or in the helper's.
package core

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/internal/privilege"
	"tpmkey.example/internal/prompt"
	"tpmkey.example/pkcs11-module/token"
	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
)

// New makes the library that all threads of a host share. host is how questions and the log name that program. It opens nothing before C_Initialize, and
// no device before the first private operation.
func New(host string) *token.Library {
	c := core{filepath.Base(host)}
	return token.NewLibrary(c.openKeys, c.logLine)
}

type core struct{ host string }

func (c core) openKeys() *provider.Provider {
	keys := provider.Open(provider.DefaultDirs(), func() (transport.TPMCloser, error) { return device.Open("") })
	keys.AskPIN(c.askPIN)
	return keys
}

// askPIN asks the person before the screen, because few hosts do it for a token that needs no login.
func (c core) askPIN(k *provider.Key, wrong error) ([]byte, error) {
	q := prompt.Question{Key: k.Name(), Program: c.host, Notice: c.logLine}
	if wrong != nil {
		q.Again = provider.ErrWrongPIN.Error()
	}
	pin, err := prompt.PIN(context.Background(), q)
	if errors.Is(err, prompt.ErrCancelled) {
		return nil, fmt.Errorf("%w: %w: %w", provider.ErrPIN, token.CKR_FUNCTION_CANCELED, err)
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", provider.ErrPIN, err)
	}
	return pin, err
}

// Log tells the log of a program that nothing but the log can be told.
func Log(line string) { core{}.logLine(line) }

// logLine appends to the file that TPMKEY_LOG names. It is opened for each line, because hosts close descriptors that they do not know.
func (core) logLine(line string) {
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
