// Package cuse serves character devices from user space: the kernel's CUSE protocol, and nothing of what the devices are for.
//
// The kernel is the other side, and trusted; what callers do comes through it one request at a time, each with the credentials of whoever makes it.
// One goroutine at a time waits for the next request. It deals with it there and then, unless the file says that this may take long (Request.Wait):
// then another one waits for the next.
package cuse

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A Caller is who makes a request, as the kernel saw it in that moment.
type Caller struct {
	UID, GID uint32 // what counts for files, in the initial user namespace's numbers
	TID      int32  // the thread, 0 where it is not to be seen from our process namespace
}

// A Driver makes the files of a device. An error is given to the caller if it has a unix.Errno, as EIO else; that holds for a File's too.
type Driver interface {
	// Open is open(2). wake is to be called whenever more may be read or written than when Poll was asked last; it may be called at any time.
	Open(r *Request, flags int, wake func()) (File, error)
}

// A File is what a caller has opened. Its methods may be called at the same time. They are done soon or call Request.Wait first, and do not keep what they
// are given.
type File interface {
	Read(r *Request, size int) ([]byte, error)
	Write(r *Request, b []byte) (int, error)
	Poll() (events uint32)
	// Ioctl gives what is to be written to the caller's memory, of which the number says the size.
	Ioctl(r *Request, number uint32, argument []byte) ([]byte, error)
	// Release is the last call: nobody has the file open any more. The caller's close(2) does not wait for it.
	Release()
}

// MostWritten is how many bytes come in one write, and more than an ioctl has. Of a longer one the rest comes in a further one, unless the first was refused.
const MostWritten = 16384

const (
	bufferSize = headerSize + writeInSize + MostWritten
	mostSpare  = 4 // goroutines that may have nothing to do
)

// A Device is a character device that this process serves. It is there from Open until Serve returns, or the process ends.
type Device struct {
	driver Driver
	fd     int
	wakeup int // an eventfd that ends the wait for requests

	workers sync.WaitGroup
	spare   atomic.Int32 // goroutines that have nothing to do

	reading sync.Mutex // held by whoever waits for the next request
	ended   bool       // there will be none; guarded by reading
	fault   error      // why; likewise

	mu      sync.Mutex
	files   map[uint64]*openFile
	last    uint64              // handle that was given out
	waiting map[uint64]*Request // by the kernel's name of each
	closed  bool
}

type openFile struct {
	File
	kernelHandle atomic.Uint64 // with armed: whom to tell
	armed        atomic.Bool   // the kernel wants to be told when poll's answer changes
	released     bool          // guarded by the device's mu
}

// Open makes the device /dev/NAME through /dev/cuse. Everybody may open it: the mode is the same whatever the umask or udev say.
func Open(name string, driver Driver) (*Device, error) {
	fd, err := unix.Open("/dev/cuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/cuse: %w", explain(err))
	}
	d, err := newDevice(fd, name, driver)
	if err != nil {
		return nil, fmt.Errorf("make /dev/%s: %w", name, err)
	}
	if err = d.exists(); err == nil {
		err = os.Chmod("/dev/"+name, 0o666)
	}
	if err != nil {
		d.abandon()
		return nil, fmt.Errorf("make /dev/%s: %w", name, err)
	}
	return d, nil
}

// exists finds out whether the kernel has made the device: it does so before the answer to its first request is written, and hangs up where it cannot.
func (d *Device) exists() error {
	fds := []unix.PollFd{{Fd: int32(d.fd)}}
	if _, err := unix.Poll(fds, 0); err != nil && err != unix.EINTR {
		return err
	}
	if fds[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0 {
		return errors.New("the kernel refuses it; perhaps another program has a device of that name, then stop that one first")
	}
	return nil
}

func explain(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w: the kernel's module is not there; run: modprobe cuse", err)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: only root may make devices", err)
	}
	return err
}

// newDevice takes a descriptor of /dev/cuse over, and makes the device.
func newDevice(fd int, name string, driver Driver) (*Device, error) {
	wakeup, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	d := &Device{fd: fd, wakeup: wakeup, driver: driver, files: map[uint64]*openFile{}, waiting: map[uint64]*Request{}}
	if err := d.begin(name); err != nil {
		d.abandon()
		return nil, err
	}
	return d, nil
}

func (d *Device) abandon() {
	unix.Close(d.fd)
	unix.Close(d.wakeup)
}

// begin answers the kernel's first request, with which it makes the device.
func (d *Device) begin(name string) error {
	buffer := make([]byte, bufferSize)
	b, err := d.receive(buffer)
	if err != nil {
		return err
	}
	m, err := parse(b)
	switch {
	case err != nil:
		return err
	case m.opcode != opInit:
		return fmt.Errorf("the kernel began with request %d, not with CUSE_INIT", m.opcode)
	case m.major != protocolMajor:
		return fmt.Errorf("the kernel speaks version %d.%d of the protocol, not %d; this program is too old or too new for it", m.major, m.minor, protocolMajor)
	}
	// Major, minor, unused, flags (no unrestricted ioctls: arguments are as long as their numbers say), longest read and write, the device's number (any).
	parameters := append(u32s(protocolMajor, min(m.minor, protocolMinor), 0, 0, MostWritten, MostWritten, 0, 0), make([]byte, 40)...)
	return d.send(answer(m.unique, 0, parameters, []byte("DEVNAME="+name+"\x00")))
}

// Close ends Serve, which still waits for the requests that wait: whoever made them wait has to end that. Once Serve has returned the device is gone, and
// callers who have it open get errors.
func (d *Device) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.closed = true
		unix.Write(d.wakeup, u64s(1))
	}
}

func (d *Device) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

// releaseAll ends the files that callers still have open.
func (d *Device) releaseAll() {
	d.mu.Lock()
	files := d.files
	d.files = map[uint64]*openFile{}
	for _, f := range files {
		f.released = true
	}
	d.mu.Unlock()
	for _, f := range files {
		f.Release()
	}
}
