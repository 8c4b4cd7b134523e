package provider

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// A LockedError says until when authorizations are refused after too many that failed. errors.As finds it in errors that are ErrLockout.
type LockedError struct {
	Until  time.Time // zero: nobody knows
	Latest bool      // it may also be earlier
	Err    error
}

func (e *LockedError) Error() string {
	if e.Until.IsZero() {
		return fmt.Sprintf("%v; nothing says until when: ask the administrator", e.Err)
	}
	until := "until " + e.Until.Format(time.DateTime)
	if e.Latest {
		until += " at the latest"
	}
	return fmt.Sprintf("%v; %s", e.Err, until)
}

// Unwrap gives what the TPM, or its manager, answered.
func (e *LockedError) Unwrap() error { return e.Err }

// locked adds to an error until when nothing can be authorized, if that is what it says.
func (c *connection) locked(err error) error {
	var rc tpm2.TPMRC
	switch errors.As(err, &rc); {
	case c == nil || rc != rcBrake && rc != tpm2.TPMRCLockout:
		return err
	case rc == rcBrake:
		if left := c.property(tpm2.TPMPT(rcBrake)); left > 0 {
			return &LockedError{Until: inSeconds(left), Err: err}
		}
	}
	// The chip takes one failure back in each interval (Part 1, 19.8).
	if interval := c.property(tpm2.TPMPTLockoutInterval); interval > 0 {
		return &LockedError{Until: inSeconds(interval), Latest: true, Err: err}
	}
	return &LockedError{Err: err}
}

func inSeconds(n uint32) time.Time {
	return time.Now().Add(time.Duration(n) * time.Second).Round(time.Second)
}

// property is a TPM_PT, 0 where the TPM does not have it or does not tell.
func (c *connection) property(which tpm2.TPMPT) uint32 {
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(which), PropertyCount: 1}.Execute(c.tpm)
	if err != nil {
		return 0
	}
	list, err := r.CapabilityData.Data.TPMProperties()
	if err != nil || len(list.TPMProperty) == 0 || list.TPMProperty[0].Property != which {
		return 0
	}
	return list.TPMProperty[0].Value
}
