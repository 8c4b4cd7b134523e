package device

import (
	"fmt"

	"golang.org/x/sys/unix"

	"tpmkey.example/rm"
)

// EnableRM opens a raw spec and puts a manager before it, which lets every command through: what Linux's own manager is to /dev/tpm0. Of fd:N it takes the
// descriptor N over, which is one of /dev/tpm0 or a socket with the same framing.
func EnableRM(spec string) (rm.Chip, error) {
	s, err := ParseSpec(spec)
	if err != nil {
		return nil, err
	}
	if s.Managed() && s.kind != descriptor {
		return nil, fmt.Errorf("device %q: has a manager already; name a raw one, like /dev/tpm0", spec)
	}
	raw, err := connect(s)
	if err != nil {
		return nil, err
	}
	if s.kind == descriptor {
		closeOnExec(s)
	}
	return rm.Wrap(raw)
}

// closeOnExec keeps a descriptor that was taken over from the programs that this one starts: with it they would get round the manager.
func closeOnExec(s Spec) {
	var number int
	if _, err := fmt.Sscan(s.address, &number); err == nil {
		unix.CloseOnExec(number)
	}
}
