package token

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
)

// Function numbers, as the front has them.
const (
	fnInitialize        = 1
	fnFinalize          = 2
	fnGetInfo           = 3
	fnGetSlotList       = 5
	fnGetSlotInfo       = 6
	fnGetTokenInfo      = 7
	fnGetMechanismList  = 8
	fnGetMechanismInfo  = 9
	fnInitToken         = 10
	fnInitPIN           = 11
	fnSetPIN            = 12
	fnOpenSession       = 13
	fnCloseSession      = 14
	fnCloseAllSessions  = 15
	fnGetSessionInfo    = 16
	fnGetOperationState = 17
	fnSetOperationState = 18
	fnLogin             = 19
	fnLogout            = 20
	fnCreateObject      = 21
	fnCopyObject        = 22
	fnDestroyObject     = 23
	fnGetObjectSize     = 24
	fnGetAttributeValue = 25
	fnSetAttributeValue = 26
	fnFindObjectsInit   = 27
	fnFindObjects       = 28
	fnFindObjectsFinal  = 29
	fnEncryptInit       = 30
	fnEncrypt           = 31
	fnEncryptUpdate     = 32
	fnEncryptFinal      = 33
	fnDecryptInit       = 34
	fnDecrypt           = 35
	fnDecryptUpdate     = 36
	fnDecryptFinal      = 37
	fnDigestInit        = 38
	fnDigest            = 39
	fnDigestUpdate      = 40
	fnDigestKey         = 41
	fnDigestFinal       = 42
	fnSignInit          = 43
	fnSign              = 44
	fnSignUpdate        = 45
	fnSignFinal         = 46
	fnSignRecoverInit   = 47
	fnSignRecover       = 48
	fnVerifyInit        = 49
	fnVerify            = 50
	fnVerifyUpdate      = 51
	fnVerifyFinal       = 52
	fnVerifyRecoverInit = 53
	fnVerifyRecover     = 54
	fnGenerateKeyPair   = 60
	fnGenerateRandom    = 65
	fnWaitForSlotEvent  = 68
	fnLoginUser         = 71
	fnSessionCancel     = 72
)

// A host is a program that has the library loaded, on the Go side of the front.
type host struct {
	t       testing.TB
	library *Library

	mu  sync.Mutex
	log []string
}

// newHost loads a library with keys in a directory and a TPM, "" for none, and initialises it.
func newHost(t testing.TB, dir, spec string) *host {
	t.Helper()
	return loadHost(t, func() *provider.Provider {
		return provider.Open([]string{dir}, func() (transport.TPMCloser, error) {
			if spec == "" {
				return nil, errors.New("there is none")
			}
			return device.Open(spec)
		})
	})
}

// loadHost loads a library with such keys.
func loadHost(t testing.TB, open func() *provider.Provider) *host {
	t.Helper()
	h := &host{t: t}
	h.library = NewLibrary(open, func(line string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.log = append(h.log, line)
	})
	h.want(CKR_OK, fnInitialize, num(0))
	t.Cleanup(func() { h.call(fnFinalize, num(0)) })
	return h
}

// A field is a part of a request.
type field []byte

func num[T ~uint64 | ~int](v T) field { return binary.NativeEndian.AppendUint64(nil, uint64(v)) }

func str(b []byte) field { return append(num(len(b)), b...) }

// have is the room of a host that has so many bytes; ask is that of one that asks for the size.
func have(n int) field { return append(num(1), num(n)...) }

func ask() field { return append(num(0), num(0)...) }

func mech(kind mechanismType, parameters []byte, source ...byte) field {
	return bytes.Join([][]byte{num(1), num(kind), str(parameters), str(source)}, nil)
}

// attrs is a template.
func attrs(list ...attribute) field {
	b := num(len(list))
	for _, a := range list {
		b = append(append(b, num(a.kind)...), str(a.value)...)
	}
	return b
}

// call gives the return value and what came with it.
func (h *host) call(function int, fields ...field) (CKR, *request) {
	h.t.Helper()
	message := num(function)
	for _, f := range fields {
		message = append(message, f...)
	}
	answer := &request{rest: h.library.Call(message)}
	return CKR(answer.number()), answer
}

// want calls and wants one return value.
func (h *host) want(rv CKR, function int, fields ...field) *request {
	h.t.Helper()
	got, answer := h.call(function, fields...)
	if got != rv {
		h.t.Errorf("function %d: %v, want %v", function, got, rv)
	}
	return answer
}

// session opens one that may write.
func (h *host) session() field {
	h.t.Helper()
	return num(h.want(CKR_OK, fnOpenSession, num(slotID), num(CKF_SERIAL_SESSION|CKF_RW_SESSION)).number())
}

// find gives the objects that a template matches.
func (h *host) find(session field, list ...attribute) []field {
	h.t.Helper()
	h.want(CKR_OK, fnFindObjectsInit, session, attrs(list...))
	answer := h.want(CKR_OK, fnFindObjects, session, num(100))
	answer.number()
	objects := make([]field, answer.number())
	for i := range objects {
		objects[i] = num(answer.number())
	}
	h.want(CKR_OK, fnFindObjectsFinal, session)
	return objects
}

// one gives the only object of a class.
func (h *host) one(session field, class uint64) field {
	h.t.Helper()
	objects := h.find(session, attribute{CKA_CLASS, number(class)})
	if len(objects) != 1 {
		h.t.Fatalf("%d objects of class %d", len(objects), class)
	}
	return objects[0]
}

// bytes reads an answer that was put into a room.
func filled(answer *request) (size uint64, b []byte) { return answer.number(), answer.bytes() }

// output calls a function that fills a room which is large enough.
func (h *host) output(function int, fields ...field) []byte {
	h.t.Helper()
	_, b := filled(h.want(CKR_OK, function, append(fields, have(4096))...))
	return b
}

// newKey makes one on an emulated chip, and a host that has it.
func newKey(t testing.TB) (*host, *provider.Key) {
	t.Helper()
	dir, spec := t.TempDir(), tpmtest.SWTPM(t)
	p := provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return device.Open(spec) })
	k, err := p.Create("demo", provider.Template{})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	return newHost(t, dir, spec), k
}
