package token

import (
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/provider"
)

//go:generate go run golang.org/x/tools/cmd/stringer@v0.48.0 -type CKR -output ckr_string.go

func (rv CKR) Error() string { return rv.String() }

// returnValues is the one map from errors to CKR_*, the first that fits. go-tpm's errors match a format-one code whatever handle, session or parameter it
// names.
var returnValues = []struct {
	err error
	rv  CKR
}{
	{provider.ErrDenied, CKR_FUNCTION_NOT_SUPPORTED}, // by the device's filter
	{provider.ErrLockout, CKR_PIN_LOCKED},
	{provider.ErrWrongPIN, CKR_PIN_INCORRECT},
	{provider.ErrPINFormat, CKR_PIN_LEN_RANGE},
	{provider.ErrPIN, CKR_USER_NOT_LOGGED_IN},
	{provider.ErrWrongTPM, CKR_DEVICE_ERROR},
	{provider.ErrUsage, CKR_KEY_FUNCTION_NOT_PERMITTED},
	{provider.ErrNoTPM, CKR_DEVICE_REMOVED},
	{provider.ErrExists, CKR_TEMPLATE_INCONSISTENT},
	{provider.ErrSize, CKR_KEY_SIZE_RANGE},
	{provider.ErrExponent, CKR_ATTRIBUTE_VALUE_INVALID},
	{provider.ErrOtherKey, CKR_TEMPLATE_INCONSISTENT},
	{provider.ErrNoCertificate, CKR_OBJECT_HANDLE_INVALID},
	{provider.ErrName, CKR_ATTRIBUTE_VALUE_INVALID},
	{rsa.ErrDecryption, CKR_ENCRYPTED_DATA_INVALID},
	{rsa.ErrMessageTooLong, CKR_DATA_LEN_RANGE},
	{tpm2.TPMRCObjectMemory, CKR_DEVICE_MEMORY},
	{tpm2.TPMRCFailure, CKR_DEVICE_ERROR},
}

// returnValue says an error in PKCS #11, and the log the whole of it. A CKR in the chain stands for itself.
func (l *Library) returnValue(what string, err error) CKR {
	if err == nil {
		return CKR_OK
	}
	var rv CKR
	if errors.As(err, &rv) {
		return rv
	}
	rv = CKR_GENERAL_ERROR
	if errors.As(err, new(tpm2.TPMRC)) {
		rv = CKR_DEVICE_ERROR
	}
	for _, row := range returnValues {
		if errors.Is(err, row.err) {
			rv = row.rv
			break
		}
	}
	l.log(fmt.Sprintf("%s: %v: %v", what, rv, err))
	return rv
}
