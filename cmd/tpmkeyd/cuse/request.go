package cuse

import (
	"errors"

	"golang.org/x/sys/unix"
)

// A Request is what a caller waits for.
type Request struct {
	Caller Caller
	Flags  int // of the file, as open(2) and fcntl(2) set them: O_NONBLOCK above all

	device  *Device // nil: nobody's, whom Wait and Abandon do not concern
	unique  uint64
	waiting bool

	// Guarded by the device's mu.
	interrupted func()
	answered    bool
}

// Wait says that the request may take long, so that others are answered meanwhile. When a signal comes for the caller, of whatever kind, interrupted is called
// in a goroutine of its own; the kernel tells of the first one only. A caller who is killed goes nowhere before the request is answered: see Abandon.
func (r *Request) Wait(interrupted func()) {
	if r.waiting || r.device == nil {
		return
	}
	r.waiting = true
	d := r.device
	d.mu.Lock()
	r.interrupted = interrupted
	d.waiting[r.unique] = r
	d.mu.Unlock()
	d.handOver()
}

// Abandon answers a request that waits with an error at once. What the file answers later goes to nobody.
func (r *Request) Abandon(errno unix.Errno) {
	if r.device != nil {
		r.device.reply(r, errno)
	}
}

// reply answers a request that was not answered yet.
func (d *Device) reply(r *Request, errno unix.Errno, parts ...[]byte) {
	d.mu.Lock()
	done := r.answered
	r.answered = true
	delete(d.waiting, r.unique)
	d.mu.Unlock()
	if !done {
		d.send(answer(r.unique, errno, parts...))
	}
}

// do answers one request. It reports whether the caller still has the reading to itself.
func (d *Device) do(m *message) (reading bool) {
	switch m.opcode {
	case opInterrupt: // has no answer
		d.interrupt(m.about)
		return true
	case opRelease:
		return d.release(m)
	}
	r := &Request{Caller: m.caller, Flags: int(m.flags), device: d, unique: m.unique}
	if out, err := d.ask(r, m); err != nil {
		d.reply(r, errnoOf(err))
	} else {
		d.reply(r, 0, out...)
	}
	return !r.waiting
}

// ask lets the driver or a file answer.
func (d *Device) ask(r *Request, m *message) (out [][]byte, err error) {
	if m.opcode == opOpen {
		return d.open(r)
	}
	f := d.file(m.handle)
	if _, known := fixedSize[m.opcode]; known && f == nil {
		return nil, unix.EBADF
	}
	switch m.opcode {
	case opRead:
		b, err := f.Read(r, int(m.size))
		return [][]byte{b}, err
	case opWrite:
		n, err := f.Write(r, m.data)
		return [][]byte{u32s(uint32(n), 0)}, err // fuse_write_out
	case opIoctl:
		b, err := f.Ioctl(r, m.number, m.data)
		return [][]byte{u32s(0, 0, 0, 0), b[:min(len(b), int(m.size))]}, err // fuse_ioctl_out
	case opPoll:
		return [][]byte{u32s(f.poll(m), 0)}, nil // fuse_poll_out
	}
	return nil, unix.ENOSYS
}

// open is answered with a fuse_open_out: the handle, and no flags.
func (d *Device) open(r *Request) ([][]byte, error) {
	f := &openFile{}
	var err error
	if f.File, err = d.driver.Open(r, r.Flags, func() { d.wake(f) }); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last++
	d.files[d.last] = f
	return [][]byte{u64s(d.last, 0)}, nil
}

func (d *Device) file(handle uint64) *openFile {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.files[handle]
}

// release answers first: who closes a file waits for the answer, and cannot be killed meanwhile.
func (d *Device) release(m *message) (reading bool) {
	d.mu.Lock()
	f := d.files[m.handle]
	if delete(d.files, m.handle); f != nil {
		f.released = true
	}
	d.mu.Unlock()
	d.send(answer(m.unique, 0))
	if f == nil {
		return true
	}
	d.handOver()
	f.Release()
	return false
}

func (d *Device) interrupt(unique uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.waiting[unique]; r != nil && r.interrupted != nil {
		go r.interrupted()
		r.interrupted = nil
	}
}

// poll arms the notification before it looks, so that none is lost.
func (f *openFile) poll(m *message) uint32 {
	if m.flags&pollScheduleNotify != 0 {
		f.kernelHandle.Store(m.about)
		f.armed.Store(true)
	}
	return f.Poll()
}

// wake may come at any time, also when the file is released or the device gone.
func (d *Device) wake(f *openFile) {
	if !f.armed.Load() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !f.released && f.armed.Swap(false) {
		d.send(notification(f.kernelHandle.Load()))
	}
}

func errnoOf(err error) unix.Errno {
	var errno unix.Errno
	if errors.As(err, &errno) && errno != 0 {
		return errno
	}
	return unix.EIO
}
