package rm_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// What the Linux kernel's selftests of its TPM devices ask (tools/testing/selftests/tpm2, 6.1), by the kernel's names. Those that are about bytes on a file
// descriptor stand with the front end that has one, in cmd/tpmkeyd.
var selftests = []struct {
	name string
	run  func(t *testing.T, b *bench)
}{
	{"SmokeTest/test_seal_with_auth", sealWithAuth},
	{"SmokeTest/test_seal_with_policy", sealWithPolicy},
	{"SmokeTest/test_unseal_with_wrong_auth", unsealWithWrongAuth},
	{"SmokeTest/test_unseal_with_wrong_policy", unsealWithWrongPolicy},
	{"SmokeTest/test_seal_with_too_long_auth", sealWithTooLongAuth},
	{"SmokeTest/test_too_short_cmd", tooShortCommand},
	{"SpaceTest/test_make_two_spaces", makeTwoSpaces},
	{"SpaceTest/test_flush_context", flushContext},
	{"SpaceTest/test_get_handles", getHandles},
	{"SpaceTest/test_invalid_cc", invalidCommandCode},
	{"AsyncTest/test_flush_invalid_context", flushInvalidContext},
}

func TestKernelSelftests(t *testing.T) {
	all(t, func(t *testing.T, b *bench) {
		for _, c := range selftests {
			t.Run(c.name, func(t *testing.T) { c.run(t, b) })
			if leaks, err := tpmtest.Leaks(b.recorder); err != nil || len(leaks) > 0 {
				t.Errorf("%s has left %x, %v", c.name, leaks, err)
			}
		}
	})
}

var secret = strings.Repeat("X", 64)

func sealWithAuth(t *testing.T, b *bench) {
	v := newVault(t, b.permissive(t, nobody))
	auth := strings.Repeat("A", 15)
	blob, err := v.seal(secret, auth, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.unseal(t, blob, tpm2.TPMRSPW, auth); err != nil || got != secret {
		t.Errorf("%q, %v", got, err)
	}
}

func sealWithPolicy(t *testing.T, b *bench) {
	v := newVault(t, b.permissive(t, nobody))
	auth := strings.Repeat("A", 15)
	blob, err := v.seal(secret, auth, v.policyDigest(t))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.unseal(t, blob, v.policy(t), auth); err != nil || got != secret {
		t.Errorf("%q, %v", got, err)
	}
}

func unsealWithWrongAuth(t *testing.T, b *bench) {
	v := newVault(t, b.permissive(t, nobody))
	auth := strings.Repeat("A", 19)
	blob, err := v.seal(secret, auth+"A", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.unseal(t, blob, tpm2.TPMRSPW, auth+"B")
	wantRC(t, "unseal with a wrong password", err, 0x98E)
}

// A PCR that the policy does not name may change; the one that it names may not.
func unsealWithWrongPolicy(t *testing.T, b *bench) {
	v := newVault(t, b.permissive(t, nobody))
	auth := strings.Repeat("A", 17)
	blob, err := v.seal(secret, auth, v.policyDigest(t))
	if err != nil {
		t.Fatal(err)
	}
	v.extend(t, 1)
	if got, err := v.unseal(t, blob, v.policy(t), auth); err != nil || got != secret {
		t.Errorf("another PCR was extended: %q, %v", got, err)
	}
	v.extend(t, sealedPCR)
	p := v.policy(t)
	_, err = v.unseal(t, blob, p, auth)
	wantRC(t, "the policy's PCR was extended", err, 0x99D)
	flush(t, v.tpm, p)
}

func sealWithTooLongAuth(t *testing.T, b *bench) {
	v := newVault(t, b.permissive(t, nobody))
	_, err := v.seal(secret, strings.Repeat("A", 20+1), nil) // longer than a digest of SHA-1
	wantRC(t, "seal with a password that is too long", err, 0x1D5)
}

// A command that says it is longer than it is. The kernel's device answers EINVAL, a space as a TPM would.
func tooShortCommand(t *testing.T, b *bench) {
	s := b.permissive(t, nobody)
	command := wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCFlushContext)).Uint32(0xDEADBEEF).Bytes()
	command[5]++
	n := b.commands(func() {
		response, err := s.Send(command)
		if h, _ := wire.ParseHeader(response); err != nil || tpm2.TPMRC(h.Code) != tpm2.TPMRCCommandSize {
			t.Errorf("%x, %v", response, err)
		}
	})
	if n != 0 {
		t.Error("it reached the chip")
	}
}

// Three storage keys in two spaces, on a chip with three slots of which others may have one.
func makeTwoSpaces(t *testing.T, b *bench) {
	one, two := b.permissive(t, nobody), b.permissive(t, nobody)
	vaults := []vault{newVault(t, one), newVault(t, two), newVault(t, two)}
	if vaults[1].root.Handle == vaults[2].root.Handle {
		t.Errorf("one handle for two keys: 0x%x", vaults[1].root.Handle)
	}
	for i, v := range vaults {
		if _, err := v.seal(secret, "", nil); err != nil {
			t.Errorf("key %d: %v", i, err)
		}
	}
}

func flushContext(t *testing.T, b *bench) {
	v := newVault(t, b.permissive(t, nobody))
	flush(t, v.tpm, v.root.Handle)
	_, err := tpm2.ReadPublic{ObjectHandle: v.root.Handle}.Execute(v.tpm)
	wantRC(t, "a key that was flushed", err, 0x910)
	if leaks, err := tpmtest.Leaks(b.recorder); err != nil || len(leaks) > 0 {
		t.Errorf("left on the chip: %x, %v", leaks, err)
	}
}

func getHandles(t *testing.T, b *bench) {
	newVault(t, b.permissive(t, nobody))
	s := b.permissive(t, nobody)
	want := []tpm2.TPMHandle{newVault(t, s).root.Handle, newVault(t, s).root.Handle}
	slices.Sort(want)
	wantList(t, "own objects", list(t, s, 0x80000000), want...)
}

func invalidCommandCode(t *testing.T, b *bench) {
	v := newVault(t, b.permissive(t, nobody))
	_, err := ask(v.tpm, wire.NewMessage(tpm2.TPMSTNoSessions, 0x1FE)) // TPM_CC_FIRST - 1
	wantRC(t, "an unknown command", err, 0x000B0143)
}

// The kernel's device answers EINVAL to the flush of an unknown handle, a space as a TPM would.
func flushInvalidContext(t *testing.T, b *bench) {
	s := b.permissive(t, nobody)
	n := b.commands(func() {
		_, err := tpm2.FlushContext{FlushHandle: tpm2.TPMHandle(0x80123456)}.Execute(s)
		wantRC(t, "flush an unknown handle", err, filter.RCNoValue)
	})
	if n != 0 {
		t.Error("it reached the chip")
	}
}
