package provider

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/rm/wire"
)

// A ManagerError is a refusal by what stands before a TPM, a resource manager with its filter, and not by the TPM. errors.As finds its code as a tpm2.TPMRC too.
type ManagerError struct {
	Command tpm2.TPMCC
	RC      tpm2.TPMRC
}

// What a manager answers with by itself: TSS2_RESMGR_TPM_RC_LAYER in bits 16 to 23 (TSS 2.0 Overview, 3.2), and the code of Part 2 that fits.
const (
	rcLayer  tpm2.TPMRC = 0x000B0000
	rcDenied            = rcLayer | tpm2.TPMRCCommandCode // the filter
	rcBrake             = rcLayer | tpm2.TPMRCLockout     // nobody may guess on
	rcNoChip            = rcLayer | 0x00A                 // TSS2_BASE_RC_IO_ERROR
)

// managerErrors say what they mean. COMMAND stands for the command that was refused.
var managerErrors = map[tpm2.TPMRC]string{
	rcDenied:                           "COMMAND is refused; for the rule see: tpmkey filter explain COMMAND, with -filter NAME where it is not the default one",
	rcBrake:                            "the TPM's manager takes no PINs and passwords for now",
	rcNoChip:                           "tpmkeyd could not ask the chip, and its log says why",
	rcLayer | tpm2.TPMRCObjectMemory:   "COMMAND is refused: this user has as many objects loaded as one may; end other programs that use the TPM",
	rcLayer | tpm2.TPMRCSessionMemory:  "COMMAND is refused: this client has as many sessions as one may",
	rcLayer | tpm2.TPMRCSessionHandles: "COMMAND is refused: all users together have as many sessions as they may; try again later",
}

func (e *ManagerError) Error() string {
	text, known := managerErrors[e.RC]
	if !known {
		return fmt.Sprintf("the TPM's manager refuses %s: %v", commandName(e.Command), e.RC&^rcLayer)
	}
	return strings.ReplaceAll(text, "COMMAND", commandName(e.Command))
}

// Unwrap gives the code.
func (e *ManagerError) Unwrap() error { return e.RC }

func commandName(code tpm2.TPMCC) string {
	if shape := wire.ShapeOf(code); shape != nil {
		return shape.Name
	}
	return fmt.Sprintf("%#x", uint32(code))
}

// Legible is a way to a TPM that makes a ManagerError of what a manager answers, for which go-tpm has no words.
func Legible(tpm transport.TPMCloser) transport.TPMCloser { return legible{tpm} }

type legible struct{ transport.TPMCloser }

// Send gives a response of the TPM itself, or an error.
func (l legible) Send(command []byte) ([]byte, error) {
	response, err := l.TPMCloser.Send(command)
	if err != nil || len(response) < wire.HeaderSize || len(command) < wire.HeaderSize {
		return response, err
	}
	if rc := tpm2.TPMRC(binary.BigEndian.Uint32(response[6:])); rc&^0xFFFF == rcLayer {
		return nil, &ManagerError{tpm2.TPMCC(binary.BigEndian.Uint32(command[6:])), rc}
	}
	return response, nil
}
