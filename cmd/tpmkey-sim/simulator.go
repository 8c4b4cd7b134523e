//go:build cgo

package main

import (
	"fmt"

	"github.com/google/go-tpm-tools/simulator"
	"github.com/google/go-tpm/tpm2/transport"
)

// openChip makes a new chip, powered on and started (TPM2_Startup, Part 3, 9.3).
// A process can have only one.
func openChip() (chip, error) {
	s, err := simulator.Get()
	if err != nil {
		return nil, fmt.Errorf("start simulator: %w", err)
	}
	return transport.FromReadWriteCloser(s), nil
}
