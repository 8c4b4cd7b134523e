package provider_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm/tpmtest"
)

// What the two emulators have; nobody's has 4096.
func TestSizes(t *testing.T) {
	has := map[string][]int{"swtpm": {2048, 3072}, "simulator": {2048}}
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		want := has[t.Name()[strings.LastIndex(t.Name(), "/")+1:]]
		if got, err := dialing(t, spec).Sizes(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
	})
}

// A key of a kind that the chip has not is refused before anything is made for it, and with what there is; one that it has costs one question at most.
func TestCreateAsks(t *testing.T) {
	p, recorder := counted(t, true)
	for _, row := range []struct {
		name     string
		template provider.Template
		asked    int // TPM2_TestParms
		made     int // TPM2_Create
		want     error
		says     string
	}{
		{"default", provider.Template{}, 0, 1, nil, ""},
		{"named", provider.Template{Bits: 2048, Exponent: 65537}, 0, 1, nil, ""},
		{"large", provider.Template{Bits: 3072}, 1, 1, nil, ""},
		{"larger", provider.Template{Bits: 4096}, 4, 0, provider.ErrSize, "4096 bits; it has 2048 or 3072: TPM_RC_VALUE"},
		{"exponent", provider.Template{Exponent: 65539}, 0, 1, nil, ""},
		{"largest", provider.Template{Exponent: 1<<31 - 1}, 0, 1, nil, ""},
		{"small", provider.Template{Exponent: 3}, 0, 1, provider.ErrExponent, "3; most take primes above 65536 only: TPM_RC_RANGE"},
		{"not-prime", provider.Template{Exponent: 65541}, 0, 1, provider.ErrExponent, "TPM_RC_RANGE"},
		{"even", provider.Template{Exponent: 65538}, 0, 0, provider.ErrExponent, "it is odd"},
		{"one", provider.Template{Exponent: 1}, 0, 0, provider.ErrExponent, "at least 3"},
		{"negative", provider.Template{Exponent: -3}, 0, 0, provider.ErrExponent, "at least 3"},
	} {
		p.Close() // nothing is loaded: the manager need not make room
		recorder.Reset()
		k, err := p.Create(row.name, row.template)
		if asked, made := times(recorder, tpm2.TPMCCTestParms), times(recorder, tpm2.TPMCCCreate); asked != row.asked || made != row.made {
			t.Errorf("%s: asked %d times, tried to make %d keys", row.name, asked, made)
		}
		if row.want != nil {
			if !errors.Is(err, row.want) || !strings.Contains(err.Error(), row.says) {
				t.Errorf("%s: %v", row.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		checkTemplate(t, k, row.template)
		verify(t, k)
	}
}

func times(r *tpmtest.Recorder, code tpm2.TPMCC) (n int) {
	for _, c := range r.Commands() {
		if c == uint32(code) {
			n++
		}
	}
	return n
}

func checkTemplate(t *testing.T, k *provider.Key, asked provider.Template) {
	t.Helper()
	bits, exponent := max(asked.Bits, 2048), asked.Exponent
	if exponent == 0 {
		exponent = 65537
	}
	if k.Public().N.BitLen() != bits || k.Public().E != exponent {
		t.Errorf("%s has %d bits and exponent %d", k.Name(), k.Public().N.BitLen(), k.Public().E)
	}
}

// A chip that lacks 3072 bits, as the simulator does, but says so with the other code, and one that has not even 2048.
func TestChipWithoutSizes(t *testing.T) {
	chip := tpmtest.Dial(t, tpmtest.SWTPM(t))
	for _, row := range []struct {
		name  string
		lacks []byte
		bits  int
		says  string
	}{
		{"3072", []byte{0x0c, 0}, 3072, "3072 bits; it has 2048: "},
		{"2048", []byte{0x08, 0}, 2048, "2048 bits; it has 3072: "},
	} {
		refuser := refusing(chip, tpm2.TPMRC(0x1C7), func(command []byte) bool { // TPM_RC_KEY_SIZE, parameter 1
			c := code(command)
			return c == tpm2.TPMCCTestParms && slices.Equal(command[16:18], row.lacks) || c == tpm2.TPMCCCreate
		})
		dir := t.TempDir()
		p := provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return closer{refuser}, nil })
		_, err := p.Create("web", provider.Template{Bits: row.bits})
		if !errors.Is(err, provider.ErrSize) || !errors.Is(err, tpm2.TPMRCKeySize) || !strings.Contains(err.Error(), row.says) {
			t.Errorf("without %s: %v", row.name, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("without %s: left %v, %v", row.name, left, err)
		}
		flushAll(t, chip)
	}
}
