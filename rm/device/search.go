package device

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"tpmkey.example/filter"
	"tpmkey.example/internal/privilege"
)

// order is where a TPM is looked for when nobody named one. An emulator is not among them: it is never chosen by itself.
var order = []string{"/dev/tpms", DefaultBroker, "/dev/tpmrm0", "/dev/tpm0"}

// search opens the first device that can be opened. A device that the environment names, or that systemd hands over, is the only one that is tried.
func search(f *filter.Filter) (*Device, error) {
	if named := environment("TPMKEY_DEVICE"); named != "" {
		d, err := openFiltered(named, f)
		if err != nil {
			return nil, &NotFoundError{Tried: []error{err}, Named: true}
		}
		return d, nil
	}
	if handed := handedDescriptor(); handed != "" {
		d, err := openFiltered(handed, f)
		if err != nil {
			return nil, &NotFoundError{Tried: []error{err}, Handed: true}
		}
		return d, nil
	}
	notFound := &NotFoundError{}
	for _, spec := range order {
		d, err := openFiltered(spec, f)
		if err == nil {
			return d, nil
		}
		notFound.Tried = append(notFound.Tried, err)
	}
	return nil, notFound
}

// environment reads a variable, except in a process whose privileges were raised: its environment is somebody else's word.
func environment(name string) string {
	if privilege.Raised() {
		return ""
	}
	return os.Getenv(name)
}

// A NotFoundError says that no TPM could be opened: what was tried, and why each failed.
type NotFoundError struct {
	Tried []error
	Named bool // TPMKEY_DEVICE named the one that was tried

	Handed bool // systemd handed the one that was tried
}

func (e *NotFoundError) Error() string {
	text := "no TPM can be used here"
	if e.Named {
		text = "the device that TPMKEY_DEVICE names cannot be used"
	} else if e.Handed {
		text = "the descriptor that systemd has handed to this service under the name tpmkey cannot be used"
	}
	for i, err := range e.Tried {
		if i == 0 {
			text += ": " + err.Error()
		} else {
			text += "; " + err.Error()
		}
	}
	return text + e.advice()
}

// advice is the way out where there is no device at all. A device that is there says itself what is wrong.
func (e *NotFoundError) advice() string {
	if e.Named || e.Handed || errors.Is(e, unix.EACCES) {
		return ""
	}
	return "; see whether the firmware has a TPM switched on and whether tpmkeyd runs (tpmkey doctor tells more), or name another device in TPMKEY_DEVICE"
}

// Unwrap gives all the errors.
func (e *NotFoundError) Unwrap() []error { return e.Tried }
