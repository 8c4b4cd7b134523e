// Package device finds and opens TPMs: the kernel's devices, emulators on sockets, and what tpmkeyd offers.
//
// A spec names a device:
//
//	/dev/tpmrm0, /dev/tpm0          the kernel's, with and without its own resource manager
//	unix:PATH[,ctrl=PATH]           an emulator on a Unix socket, raw TPM framing
//	tcp:HOST:PORT[,ctrl=PORT]       an emulator on a loopback port, raw TPM framing
//	/dev/tpms, broker:PATH, fd:N    tpmkeyd's, with its manager and filter in front of the chip
//
// On the first three forms this process runs a manager and the default filter of its own.
package device

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
)

// A Device is an open way to a TPM, through a filter. It is a go-tpm transport.TPMCloser and safe for concurrent use.
type Device struct {
	spec    Spec
	sender  rm.Chip     // a space of our own manager, or the connection to tpmkeyd
	manager *rm.Manager // nil on a managed device
	opening *opening    // the manager's, nil on a managed device
}

// Open opens the device that a spec names; "" means the first one that can be opened of TPMKEY_DEVICE, a descriptor that systemd hands over as tpmkey, /dev/tpms, the default broker,
// /dev/tpmrm0 and /dev/tpm0. The error lists what was tried, and why each failed.
func Open(spec string) (*Device, error) { return openFiltered(spec, nil) }

func openFiltered(spec string, f *filter.Filter) (*Device, error) {
	if spec == "" {
		return search(f)
	}
	s, err := ParseSpec(spec)
	if err != nil {
		return nil, err
	}
	return open(s, f)
}

// open puts a manager with a filter, nil for the default one, before a chip that has none.
func open(s Spec, f *filter.Filter) (*Device, error) {
	first, err := connect(s)
	if err != nil {
		return nil, err
	}
	if s.Managed() {
		return &Device{spec: s, sender: first}, nil
	}
	opening := &opening{spec: s, first: first}
	manager := rm.New(rm.Config{Sharing: sharing(s), Open: opening.open})
	space, err := manager.Open(rm.Options{UID: uint32(os.Getuid()), Filter: f})
	if err != nil {
		opening.close()
		return nil, err
	}
	return &Device{spec: s, sender: space, manager: manager, opening: opening}, nil
}

// Chip gives what a manager of the chip behind a raw spec needs: how to open it, and who else uses it. Whether it can be opened shows at the first command.
func Chip(spec string) (rm.Config, error) {
	s, err := rawSpec(spec)
	if err != nil {
		return rm.Config{}, err
	}
	return chipConfig(&opening{spec: s}), nil
}

// OpenChip is Chip of one that can be opened now.
func OpenChip(spec string) (rm.Config, error) {
	s, err := rawSpec(spec)
	if err != nil {
		return rm.Config{}, err
	}
	first, err := connect(s)
	if err != nil {
		return rm.Config{}, err
	}
	return chipConfig(&opening{spec: s, first: first}), nil
}

func chipConfig(o *opening) rm.Config {
	return rm.Config{Sharing: sharing(o.spec), Open: o.open, Localities: o.spec.Control != ""}
}

func rawSpec(spec string) (Spec, error) {
	s, err := ParseSpec(spec)
	if err == nil && s.Managed() {
		err = fmt.Errorf("device %q: has a manager already; name a raw one", spec)
	}
	return s, err
}

// An opening is how a manager comes to its chip: one that was opened to see whether it can be, and later, whenever it was given back, it opens it anew.
type opening struct {
	spec Spec

	mu    sync.Mutex
	first rm.Chip // nil: handed out
}

func (o *opening) open() (rm.Chip, error) {
	if chip := o.take(); chip != nil {
		return chip, nil
	}
	return connect(o.spec)
}

func (o *opening) take() rm.Chip {
	o.mu.Lock()
	defer o.mu.Unlock()
	chip := o.first
	o.first = nil
	return chip
}

// close gives a chip back that nobody has used.
func (o *opening) close() error {
	if chip := o.take(); chip != nil {
		return chip.Close()
	}
	return nil
}

// sharing says who else uses the chip. An emulator is ours alone; a kernel device never is.
func sharing(s Spec) rm.Sharing {
	switch number, managed := strings.CutPrefix(s.address, resourceManaged); {
	case s.kind == unixSocket || s.kind == tcpSocket:
		return rm.Alone
	case managed && number != "":
		return rm.Stacked
	}
	return rm.Shared
}

const resourceManaged = "/dev/tpmrm"

// connect opens the connection itself. The errors name the device, and say what can be done.
func connect(s Spec) (rm.Chip, error) {
	if s.Control != "" {
		return connectWithControl(s)
	}
	switch s.kind {
	case unixSocket:
		return connectUnix(s, nil)
	case brokerSocket:
		return connectUnix(s, checkPeer)
	case tcpSocket:
		return connectTCP(s)
	case descriptor:
		return useDescriptor(s)
	}
	return openCharacterDevice(s)
}

func openCharacterDevice(s Spec) (rm.Chip, error) {
	fd, err := unix.Open(s.address, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s.address, explain(s.address, err))
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFCHR {
		unix.Close(fd)
		return nil, fmt.Errorf("open %s: not a character device, so not a TPM", s.address)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open %s: %w", s.address, err)
	}
	return newConn(fd, false), nil
}

func connectUnix(s Spec, check func(fd int, path string) error) (rm.Chip, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s, err)
	}
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: s.address})
	if errors.Is(err, unix.ENOENT) && s.kind == brokerSocket {
		err = fmt.Errorf("%w: tpmkeyd does not run there", err)
	} else if err != nil {
		err = explain(s.address, err)
	} else if check != nil {
		err = check(fd, s.address)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open %s: %w", s, err)
	}
	c := newConn(fd, true)
	c.broker = s.kind == brokerSocket
	return c, nil
}

func connectTCP(s Spec) (rm.Chip, error) {
	address, err := net.ResolveTCPAddr("tcp", s.address)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s, err)
	}
	if !address.IP.IsLoopback() {
		return nil, fmt.Errorf("open %s: %s is not this machine", s, address.IP)
	}
	c, err := net.DialTCP("tcp", nil, address)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s, err)
	}
	defer c.Close()
	file, err := c.File() // a blocking duplicate
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s, err)
	}
	defer file.Close()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s, err)
	}
	return newConn(fd, true), nil
}

// useDescriptor takes a descriptor that was passed on. It stays open in this process under its own number too.
func useDescriptor(s Spec) (rm.Chip, error) {
	number, err := strconv.Atoi(s.address)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(number, &st); err != nil {
		return nil, fmt.Errorf("open %s: no such descriptor was inherited: %w", s, err)
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFSOCK && kind != unix.S_IFCHR {
		return nil, fmt.Errorf("open %s: neither a socket nor a device", s)
	}
	if listens, err := unix.GetsockoptInt(number, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil && listens != 0 {
		return nil, fmt.Errorf("open %s: a socket that waits for clients, not one that is connected to tpmkeyd; of systemd it takes OpenFile=, not a .socket unit", s)
	}
	fd, err := unix.FcntlInt(uintptr(number), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s, err)
	}
	return newConn(fd, st.Mode&unix.S_IFMT == unix.S_IFSOCK), nil
}

// Send runs one command.
func (d *Device) Send(command []byte) ([]byte, error) {
	response, err := d.sender.Send(command)
	if err != nil && !errors.Is(err, rm.ErrClosed) {
		return nil, fmt.Errorf("%s: %w", d.spec, err)
	}
	return response, err
}

// Close gives the device back. It may be called twice, and unblocks a Send that waits.
func (d *Device) Close() error {
	err := d.sender.Close()
	if d.manager != nil {
		err = errors.Join(err, d.manager.Close(), d.opening.close())
	}
	return err
}

// Spec is the spec of the device that was opened.
func (d *Device) Spec() string { return d.spec.String() }

// Managed tells whether tpmkeyd owns the chip.
func (d *Device) Managed() bool { return d.spec.Managed() }
