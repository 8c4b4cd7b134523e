package signer_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/signer"
)

// slowChip is one that signs and decrypts when it is let.
type slowChip struct {
	transport.TPMCloser
	arrived, let chan struct{}
}

func (s *slowChip) Send(command []byte) ([]byte, error) {
	if code := tpm2.TPMCC(binary.BigEndian.Uint32(command[6:])); code == tpm2.TPMCCSign || code == tpm2.TPMCCRSADecrypt {
		s.arrived <- struct{}{}
		<-s.let
	}
	return s.TPMCloser.Send(command)
}

// Whoever waits for a TPM can give up, and the key works on.
func TestWithContext(t *testing.T) {
	chip := &slowChip{tpmtest.Dial(t, tpmtest.SWTPM(t)), make(chan struct{}, 10), make(chan struct{}, 10)}
	p := provider.Open([]string{t.TempDir()}, func() (transport.TPMCloser, error) { return chip, nil })
	made, err := p.Create("web", provider.Template{})
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(nil)
	ciphertext, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, made.Public(), []byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, operation := range map[string]func(*signer.Key) ([]byte, error){
		"sign": func(k *signer.Key) ([]byte, error) { return k.Sign(nil, digest[:], crypto.SHA256) },
		"decrypt": func(k *signer.Key) ([]byte, error) {
			return k.Decrypt(nil, ciphertext, &rsa.OAEPOptions{Hash: crypto.SHA256})
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, giveUp := context.WithCancelCause(t.Context())
			key := signer.New(made).WithContext(ctx)
			go func() { <-chip.arrived; giveUp(nil) }()
			if output, err := operation(key); !errors.Is(err, context.Canceled) || output != nil {
				t.Errorf("%x, %v", output, err)
			}
			if _, err := operation(key); !errors.Is(err, context.Canceled) || len(chip.arrived) > 0 {
				t.Errorf("again: %v, %d commands", err, len(chip.arrived))
			}
			chip.let <- struct{}{} // the one that was given up
			chip.let <- struct{}{}
			within, stop := context.WithTimeout(t.Context(), time.Minute)
			defer stop()
			if output, err := operation(signer.New(made).WithContext(within)); err != nil || len(output) == 0 {
				t.Errorf("afterwards: %v", err)
			}
			<-chip.arrived
		})
	}
}
