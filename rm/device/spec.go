package device

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
)

// A kind is what a spec begins with, and how such a device is opened.
type kind uint8

const (
	kernelDevice  kind = iota // /dev/tpm0, /dev/tpmrm0: a character device of the kernel
	managedDevice             // /dev/tpms: a character device of tpmkeyd
	unixSocket                // unix:PATH[,ctrl=PATH]: raw TPM framing, an emulator's
	tcpSocket                 // tcp:HOST:PORT[,ctrl=PORT]: the same, loopback only
	brokerSocket              // broker:PATH: tpmkeyd's socket
	descriptor                // fd:N: inherited from tpmkeyd
)

// DefaultBroker is the spec of the socket at which tpmkeyd serves everybody.
const DefaultBroker = "broker:/run/tpmkey/tpms.sock"

// A Spec is a device's name, taken apart.
type Spec struct {
	text    string
	kind    kind
	address string // path, host:port or descriptor number
	Control string // an emulator's control channel, "" where none was named
}

// String is the spec as it was written.
func (s Spec) String() string { return s.text }

// Managed tells whether a manager and its filter stand in front of the chip already.
func (s Spec) Managed() bool {
	return s.kind == managedDevice || s.kind == brokerSocket || s.kind == descriptor
}

// prefixes are the forms of a spec. Paths below /dev need none.
var prefixes = []struct {
	prefix string
	kind   kind
	parse  func(*Spec) error
}{
	{"unix:", unixSocket, parsePath},
	{"tcp:", tcpSocket, parseLoopback},
	{"broker:", brokerSocket, parsePath},
	{"fd:", descriptor, parseDescriptor},
	{"/dev/tpms", managedDevice, wholePath},
	{"/dev/tpm", kernelDevice, wholePath},
	{"/", kernelDevice, wholePath},
}

// ParseSpec reads a device spec (see the package documentation for the forms).
func ParseSpec(text string) (Spec, error) {
	for _, p := range prefixes {
		rest, ok := strings.CutPrefix(text, p.prefix)
		if !ok {
			continue
		}
		s := Spec{text: text, kind: p.kind, address: rest}
		if err := p.parse(&s); err != nil {
			return Spec{}, fmt.Errorf("device %q: %w", text, err)
		}
		return s, nil
	}
	return Spec{}, fmt.Errorf("device %q: not a device; write /dev/tpmrm0, unix:PATH, tcp:HOST:PORT, broker:PATH, /dev/tpms or fd:N", text)
}

func wholePath(s *Spec) error {
	if s.address = s.text; filepath.Clean(s.text) != s.text {
		return fmt.Errorf("the path is not clean; write %s", filepath.Clean(s.text))
	}
	return nil
}

// splitControl takes ",ctrl=…" off the address. Only the emulators' specs have it.
func (s *Spec) splitControl() error {
	address, option, found := strings.Cut(s.address, ",")
	if s.address = address; !found {
		return nil
	}
	control, ok := strings.CutPrefix(option, "ctrl=")
	if s.Control = control; !ok || control == "" || s.kind == brokerSocket {
		return fmt.Errorf("unknown option %q", option)
	}
	return nil
}

func parsePath(s *Spec) error {
	if err := s.splitControl(); err != nil {
		return err
	}
	if !filepath.IsAbs(s.address) {
		return fmt.Errorf("the path of a socket must begin with /")
	}
	return nil
}

func parseLoopback(s *Spec) error {
	if err := s.splitControl(); err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(s.address)
	if err != nil {
		return err
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q is no port number", port)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%s is not this machine; an emulator is reached over loopback only", host)
	}
	return nil
}

func parseDescriptor(s *Spec) error {
	if n, err := strconv.Atoi(s.address); err != nil || n < 0 {
		return fmt.Errorf("%q is no descriptor number", s.address)
	}
	return nil
}
