// Package chip models how long a discrete TPM takes for commands. Benchmarks run on an emulated one, for which a signature is as fast as the processor
// and every other command costs nearly nothing; on a chip on the board every command counts.
package chip

import (
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// A Chip is what its time was published of, in milliseconds.
type Chip struct {
	Name    string
	Private float64 // operation of an RSA 2048 key
	RSA     float64 // an RSA 2048 key is made and loaded
	ECC     float64 // a P-256 key is made and loaded
	Agree   float64 // operation of a P-256 key with a point (ECDHE agree)
	Random  float64 // TPM2_GetRandom of 32 bytes: a command in which the chip computes next to nothing
}

// Chips are those of wolfTPM's README, "TPM2 Benchmarks": raw SPI at 33 or 43 MHz, no driver of an operating system above. Random is from its kilobytes a
// second, 32 bytes to a command.
var Chips = []Chip{
	{Name: "Infineon SLB9670", Private: 163.2, RSA: 2196, ECC: 231.4, Agree: 232.1, Random: 2.23},
	{Name: "Infineon SLB9672", Private: 77.0, RSA: 1568, ECC: 136.0, Agree: 65.9, Random: 1.39},
	{Name: "STMicro ST33TPHF2X", Private: 247.8, RSA: 7455, ECC: 219.8, Agree: 247.1, Random: 2.27},
	{Name: "STMicro ST33KTPM2X", Private: 90.8, RSA: 1944, ECC: 89.2, Agree: 66.4, Random: 1.36},
	{Name: "Nuvoton NPCT750", Private: 70.3, RSA: 3409, ECC: 84.0, Agree: 29.4, Random: 2.17},
}

// Unwrap is what a chip is taken to need to decrypt and check what it once wrapped, or to wrap it. Nobody has published it: inferred from tens of
// milliseconds that are told of such commands.
const Unwrap = 20.0

// A class is commands for which a chip does the same kind of work.
type class func(Chip) float64

func private(c Chip) float64 { return c.Private }
func makeRSA(c Chip) float64 { return c.RSA }
func makeECC(c Chip) float64 { return c.ECC }
func agree(c Chip) float64   { return c.Agree }
func unwrap(Chip) float64    { return Unwrap }
func lookUp(c Chip) float64  { return c.Random }

// What a command does beside what its code says.
const (
	ofRSA  = " of an RSA key"
	ofECC  = " of an ECC key"
	salted = " with a salt"
)

// classes has a row for each command of which something is known or can be inferred; RSA is of 2048 bits and ECC of P-256.
var classes = map[string]class{
	"TPM2_Sign":                      private, // of the benchmarks: their keys are RSA
	"TPM2_RSA_Decrypt":               private,
	"TPM2_CreatePrimary" + ofRSA:     makeRSA,
	"TPM2_CreatePrimary" + ofECC:     makeECC,
	"TPM2_Create" + ofRSA:            makeRSA,
	"TPM2_Create" + ofECC:            makeECC,
	"TPM2_StartAuthSession" + salted: agree, // under a P-256 key, as all storage keys are here
	"TPM2_Load":                      unwrap,
	"TPM2_ContextLoad":               unwrap,
	"TPM2_ContextSave":               unwrap,
	"TPM2_StartAuthSession":          lookUp,
	"TPM2_FlushContext":              lookUp,
	"TPM2_ReadPublic":                lookUp,
	"TPM2_GetCapability":             lookUp,
	"TPM2_GetRandom":                 lookUp,
	"TPM2_TestParms":                 lookUp,
	"TPM2_PolicyGetDigest":           lookUp,
	"TPM2_Unseal":                    lookUp, // the object is loaded: only its data are sent
}

// Name is a command's name, with what its time depends on.
func Name(command []byte) string {
	c, err := wire.Parse(command)
	if err != nil {
		return fmt.Sprintf("%#x (%v)", c.Code, err)
	}
	switch c.Code {
	case tpm2.TPMCCCreatePrimary, tpm2.TPMCCCreate:
		return c.Shape.Name + typeOf(c.Param("inPublic"))
	case tpm2.TPMCCStartAuthSession:
		if tpm2.TPMHandle(c.Handle(0)) != tpm2.TPMRHNull {
			return c.Shape.Name + salted
		}
	}
	return c.Shape.Name
}

func typeOf(public []byte) string {
	p, ok := wire.ParseSizedPublic(public)
	switch {
	case ok && p.Type == tpm2.TPMAlgRSA:
		return ofRSA
	case ok && p.Type == tpm2.TPMAlgECC:
		return ofECC
	}
	return " of another kind"
}

// A Command is how often one is sent for an operation; its name is of Name.
type Command struct {
	Name string  `json:"name"`
	Each float64 `json:"each"`
}

// Times is how long each of Chips takes for an operation's commands, one after the other.
func Times(operation []Command) ([]float64, error) {
	times := make([]float64, len(Chips))
	for _, command := range operation {
		of, known := classes[command.Name]
		if !known {
			return nil, fmt.Errorf("how long a chip takes for %s is not known", command.Name)
		}
		for i, c := range Chips {
			times[i] += command.Each * of(c)
		}
	}
	return times, nil
}
