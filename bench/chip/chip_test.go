package chip

import (
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/rm/wire"
)

// captured is the command that go-tpm makes.
type captured []byte

func (c *captured) Send(command []byte) ([]byte, error) {
	*c = append(captured(nil), command...)
	return nil, io.EOF
}

func TestName(t *testing.T) {
	key := tpm2.NamedHandle{Handle: 0x80000000}
	for want, execute := range map[string]func(transport.TPM) error{
		"TPM2_ReadPublic": func(tpm transport.TPM) error {
			_, err := tpm2.ReadPublic{ObjectHandle: key.Handle}.Execute(tpm)
			return err
		},
		"TPM2_CreatePrimary of an ECC key": func(tpm transport.TPM) error {
			_, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(tpm)
			return err
		},
		"TPM2_CreatePrimary of an RSA key": func(tpm transport.TPM) error {
			_, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.RSASRKTemplate)}.Execute(tpm)
			return err
		},
		"TPM2_Create of an RSA key": func(tpm transport.TPM) error {
			_, err := tpm2.Create{ParentHandle: key, InPublic: tpm2.New2B(tpm2.RSASRKTemplate)}.Execute(tpm)
			return err
		},
		"TPM2_StartAuthSession": func(tpm transport.TPM) error {
			_, _, err := tpm2.HMACSession(tpm, tpm2.TPMAlgSHA256, 16)
			return err
		},
		"TPM2_StartAuthSession with a salt": func(tpm transport.TPM) error {
			_, err := tpm2.StartAuthSession{TPMKey: key.Handle, Bind: tpm2.TPMRHNull, NonceCaller: tpm2.TPM2BNonce{Buffer: make([]byte, 16)},
				SessionType: tpm2.TPMSEHMAC, Symmetric: tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull}, AuthHash: tpm2.TPMAlgSHA256}.Execute(tpm)
			return err
		},
	} {
		var command captured
		if err := execute(&command); err == nil {
			t.Fatal("sent where there is nobody")
		}
		if got := Name(command); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

func TestNameOfNoCommand(t *testing.T) {
	for _, command := range [][]byte{nil, []byte("no"), wire.NewMessage(tpm2.TPMSTNoSessions, 0x20000000).Bytes()} {
		if _, err := Times([]Command{{Name(command), 1}}); err == nil {
			t.Errorf("%x has a time", command)
		}
	}
}

// The figures of two chips, added up by hand.
func TestTimes(t *testing.T) {
	for _, row := range []struct {
		operation string
		commands  []Command
		slb9670   float64
		npct750   float64
	}{
		{"nothing", nil, 0, 0},
		{"signature", []Command{{"TPM2_Sign", 1}}, 163.2, 70.3},
		{"signature of a key that is not loaded", []Command{{"TPM2_FlushContext", 1}, {"TPM2_ContextLoad", 1}, {"TPM2_Sign", 1}}, 185.43, 92.47},
		{"the same for every second", []Command{{"TPM2_FlushContext", 0.5}, {"TPM2_ContextLoad", 0.5}, {"TPM2_Sign", 1}}, 174.315, 81.385},
		{"primary", []Command{{"TPM2_CreatePrimary of an ECC key", 1}}, 231.4, 84},
		{"RSA primary", []Command{{"TPM2_CreatePrimary of an RSA key", 1}}, 2196, 3409},
		{"session", []Command{{"TPM2_StartAuthSession with a salt", 1}, {"TPM2_Unseal", 1}}, 234.33, 31.57},
	} {
		times, err := Times(row.commands)
		if err != nil {
			t.Errorf("%s: %v", row.operation, err)
			continue
		}
		if math.Abs(times[0]-row.slb9670)+math.Abs(times[4]-row.npct750) > 1e-6 {
			t.Errorf("%s: %v, not %v and %v", row.operation, times, row.slb9670, row.npct750)
		}
	}
}

// A command whose time nobody has published or inferred is no cheap one.
func TestTimesOfUnknown(t *testing.T) {
	_, err := Times([]Command{{"TPM2_Sign", 1}, {"TPM2_CertifyX509", 1}})
	if err == nil || !strings.Contains(err.Error(), "TPM2_CertifyX509") {
		t.Error(err)
	}
}

func TestClasses(t *testing.T) {
	var names []string
	for _, s := range wire.Shapes() {
		names = append(names, s.Name)
	}
	for name := range classes {
		command := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, ofRSA), ofECC), salted)
		if !slices.Contains(names, command) {
			t.Errorf("%q is no command", name)
		}
	}
}

// A figure that was mistyped would be out of its order.
func TestChips(t *testing.T) {
	for _, c := range Chips {
		if c.Random < 1 || c.Random > Unwrap || c.Private < Unwrap || c.ECC < c.Agree/2 || c.RSA < 10*c.Private {
			t.Errorf("%+v", c)
		}
	}
}
