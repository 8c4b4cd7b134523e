package provider

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"
)

// What callers branch on with errors.Is. The TPM's own code, where there was one, is found by errors.As as a tpm2.TPMRC.
var (
	ErrNotFound   = errors.New("no such key")
	ErrExists     = errors.New("a key of that name exists")
	ErrName       = errors.New("not a name for a key")
	ErrInsecure   = errors.New("others may read or change the key file")
	ErrWrongTPM   = errors.New("the key belongs to another TPM, or this one was cleared")
	ErrPIN        = errors.New("the key has a PIN")
	ErrWrongPIN   = errors.New("the PIN is wrong")
	ErrPINFormat  = errors.New("not a PIN")
	ErrParentAuth = errors.New("the key's parent, or the owner hierarchy, has a password")
	ErrDenied     = errors.New("the TPM's filter does not allow this")
	ErrNoTPM      = errors.New("connect to the TPM")
	ErrLockout    = errors.New("locked after too many wrong passwords")
	ErrUsage      = errors.New("the key is not made for this")
	ErrSize       = errors.New("the TPM has no RSA keys of this size")
	ErrROCA       = errors.New("this TPM makes RSA keys that can be factored (ROCA, CVE-2017-15361)")
	ErrExponent   = errors.New("not a public exponent for a key of this TPM")
)

// explanations says what a TPM's code means for a key. Format-one codes match whatever handle, session or parameter they name.
var explanations = []struct {
	rc       tpm2.TPMRC
	sentinel error
	advice   string
}{
	{rcDenied, ErrDenied, "ask the administrator for another filter"},
	{rcBrake, ErrLockout, "right PINs are refused too meanwhile, of all keys as a rule, and keys without one work; tpmkeyd's log says which tries failed"},
	{tpm2.TPMRCLockout, ErrLockout, "wait until the TPM forgives a try, or ask the administrator to run tpm2_dictionarylockout -c"},
	{tpm2.TPMRCAuthFail, ErrWrongPIN, "this try counts towards the lockout of the whole TPM"},
	{tpm2.TPMRCBadAuth, ErrWrongPIN, "nothing counts the tries in the TPM itself"},
	{tpm2.TPMRCIntegrity, ErrWrongTPM, "its private part does not open here; the file may also be damaged"},
	{tpm2.TPMRCFailure, nil, "the TPM is in failure mode; restart the machine"},
	{tpm2.TPMRCInitialize, nil, "the TPM was not started; that is the firmware's or the emulator's job"},
	{tpm2.TPMRCHash, nil, "the TPM does not have this hash"},
	{tpm2.TPMRCKeySize, nil, "the TPM does not have this key size"},
	{tpm2.TPMRCValue, nil, "the TPM does not take this value"},
}

// explained are the errors that say already what the code of the TPM means there.
var explained = []error{ErrParentAuth, ErrPIN, ErrWrongPIN, ErrLockout, ErrDenied, ErrFormat, ErrSize, ErrExponent}

// explain adds what a TPM's error means, and what to do.
func explain(err error) error {
	var rc tpm2.TPMRC
	said := func(sentinel error) bool { return errors.Is(err, sentinel) }
	if !errors.As(err, &rc) || slices.ContainsFunc(explained, said) {
		return err
	}
	for _, e := range explanations {
		if !errors.Is(rc, e.rc) && rc != e.rc {
			continue
		}
		if e.sentinel == nil {
			return fmt.Errorf("%w (%s)", err, e.advice)
		}
		return fmt.Errorf("%w: %w (%s)", e.sentinel, err, e.advice)
	}
	return err
}

// isLost tells whether an error says that a handle is gone, so that loading the key again helps.
func isLost(err error) bool {
	var rc tpm2.TPMRC
	if !errors.As(err, &rc) {
		return false
	}
	return rc >= tpm2.TPMRCReferenceH0 && rc <= tpm2.TPMRCReferenceS6 || errors.Is(rc, tpm2.TPMRCHandle)
}

// isTransport tells whether an error came from the way to the TPM, not from the TPM.
func isTransport(err error) bool {
	return err != nil && !errors.As(err, new(tpm2.TPMRC))
}

// A FileError is a key file that was refused, and why.
type FileError struct {
	Path string
	Err  error
}

func (e *FileError) Error() string { return fmt.Sprintf("key file %s: %v", e.Path, e.Err) }

// Unwrap gives the reason.
func (e *FileError) Unwrap() error { return e.Err }
