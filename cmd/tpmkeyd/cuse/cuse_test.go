package cuse

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// A pipe is a driver and its file: what is written can be read once. What a caller does with it shows in channels.
type pipe struct {
	mu          sync.Mutex
	held        string
	wake        func()
	opened      chan Caller
	started     chan struct{} // a write that waits
	finish      chan struct{} // lets it end
	interrupted chan struct{}
	released    chan struct{}
}

func newPipe() *pipe {
	return &pipe{opened: make(chan Caller, 10), started: make(chan struct{}, 10), finish: make(chan struct{}), interrupted: make(chan struct{}, 10), released: make(chan struct{}, 10)}
}

func (p *pipe) Open(r *Request, flags int, wake func()) (File, error) {
	if r.Caller.UID == 13 {
		return nil, fmt.Errorf("unlucky: %w", unix.EMFILE)
	}
	p.wake = wake
	p.opened <- r.Caller
	return p, nil
}

func (p *pipe) Read(r *Request, size int) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == "" && r.Flags&unix.O_NONBLOCK != 0 {
		return nil, unix.EAGAIN
	}
	n := min(size, len(p.held))
	b := []byte(p.held[:n])
	p.held = p.held[n:]
	return b, nil
}

// Write: "wait" makes the caller wait.
func (p *pipe) Write(r *Request, b []byte) (int, error) {
	switch string(b) {
	case "wait":
		r.Wait(func() {
			r.Abandon(unix.EINTR)
			p.interrupted <- struct{}{}
		})
		p.started <- struct{}{}
		<-p.finish
	case "fail":
		return 0, errors.New("no errno")
	}
	p.mu.Lock()
	p.held += string(b)
	p.mu.Unlock()
	p.wake()
	return len(b), nil
}

func (p *pipe) Poll() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != "" {
		return unix.POLLIN
	}
	return unix.POLLOUT
}

func (p *pipe) Ioctl(r *Request, number uint32, argument []byte) ([]byte, error) {
	if number != 7 {
		return nil, unix.ENOTTY
	}
	return []byte(strings.ToUpper(string(argument))), nil
}

func (p *pipe) Release() { p.released <- struct{}{} }

func TestRequests(t *testing.T) {
	p := newPipe()
	k, _ := newKernel(t, p)
	me := Caller{UID: 1000, GID: 100, TID: 4711}
	f := k.open(me)
	if got := await(t, p.opened); got != me {
		t.Errorf("opened by %+v", got)
	}
	for _, row := range []struct {
		name  string
		op    opcode
		in    []byte
		errno unix.Errno
		data  string
	}{
		{"a refused open", opOpen, u32s(0, 0), unix.EMFILE, ""},
		{"nothing to read", opRead, readIn(f, 10, unix.O_NONBLOCK), unix.EAGAIN, ""},
		{"write", opWrite, writeIn(f, 0, "hello"), 0, string(u32s(5, 0))},
		{"poll", opPoll, pollIn(f, 99, 0), 0, string(u32s(unix.POLLIN, 0))},
		{"a part", opRead, readIn(f, 2, 0), 0, "he"},
		{"the rest", opRead, readIn(f, 100, 0), 0, "llo"},
		{"poll again", opPoll, pollIn(f, 99, 0), 0, string(u32s(unix.POLLOUT, 0))},
		{"an error without a number", opWrite, writeIn(f, 0, "fail"), unix.EIO, ""},
		{"ioctl", opIoctl, ioctlIn(f, 7, "abc", 3), 0, string(u32s(0, 0, 0, 0)) + "ABC"},
		{"an ioctl with room for less", opIoctl, ioctlIn(f, 7, "abc", 2), 0, string(u32s(0, 0, 0, 0)) + "AB"},
		{"an unknown ioctl", opIoctl, ioctlIn(f, 8, "abc", 3), unix.ENOTTY, ""},
		{"no such file", opRead, readIn(f+1, 10, 0), unix.EBADF, ""},
		{"an unknown request", 25, u64s(f, 0, 0), unix.ENOSYS, ""},
		{"a longest write", opWrite, writeIn(f, 0, strings.Repeat("x", MostWritten)), 0, string(u32s(MostWritten, 0))},
		{"release", opRelease, releaseIn(f), 0, ""},
		{"release again", opRelease, releaseIn(f), 0, ""},
	} {
		caller := me
		if row.errno == unix.EMFILE {
			caller.UID = 13
		}
		if got := k.ask(row.op, caller, row.in); got.errno != row.errno || string(got.data) != row.data {
			t.Errorf("%s: %+v, want %v and %q", row.name, got, row.errno, row.data)
		}
	}
	await(t, p.released)
	if len(p.released) > 0 {
		t.Error("a file was released twice")
	}
}

// While one caller waits, others are answered, more of them than have goroutines to spare; when all have ended, no more are kept than that.
func TestOthersWhileOneWaits(t *testing.T) {
	p := newPipe()
	k, device := newKernel(t, p)
	f := k.open(Caller{})
	const callers = 3 * mostSpare
	waiting := map[uint64]bool{}
	for range callers {
		waiting[k.send(opWrite, Caller{}, writeIn(f, 0, "wait"))] = true
		await(t, p.started)
	}
	if r := k.ask(opPoll, Caller{}, pollIn(f, 0, 0)); u32at(r.data, 0) != unix.POLLOUT {
		t.Errorf("poll while others wait: %+v", r)
	}
	for range callers {
		p.finish <- struct{}{}
		r := k.reply()
		if !waiting[r.unique] || r.errno != 0 {
			t.Errorf("a write that has waited: %+v", r)
		}
		delete(waiting, r.unique)
	}
	k.ask(opPoll, Caller{}, pollIn(f, 0, 0))
	if n := device.spare.Load(); n > mostSpare {
		t.Errorf("%d goroutines have nothing to do", n)
	}
}

// A request that is abandoned has its answer at once, and only that one; others wait on.
func TestInterrupt(t *testing.T) {
	p := newPipe()
	k, _ := newKernel(t, p)
	f := k.open(Caller{})
	first := k.send(opWrite, Caller{}, writeIn(f, 0, "wait"))
	await(t, p.started)
	second := k.send(opWrite, Caller{}, writeIn(f, 0, "wait"))
	await(t, p.started)
	k.send(opInterrupt, Caller{}, u64s(second+2)) // of nobody
	for range 1000 {                              // a storm of signals is told once
		k.send(opInterrupt, Caller{}, u64s(second))
	}
	if r := k.reply(); r.unique != second || r.errno != unix.EINTR {
		t.Errorf("%+v, want %d interrupted", r, second)
	}
	await(t, p.interrupted)
	k.send(opInterrupt, Caller{}, u64s(second)) // too late
	p.finish <- struct{}{}
	p.finish <- struct{}{}
	if r := k.reply(); r.unique != first || r.errno != 0 {
		t.Errorf("%+v, want %d answered", r, first)
	}
	k.ask(opPoll, Caller{}, pollIn(f, 0, 0)) // fails if the second write is answered twice
	if len(p.interrupted) > 0 {
		t.Error("a request was interrupted that had been answered")
	}
}

// Who polls is told when something changes: once, and only who asked for it.
func TestPollNotification(t *testing.T) {
	p := newPipe()
	k, _ := newKernel(t, p)
	f := k.open(Caller{})
	k.ask(opPoll, Caller{}, pollIn(f, 99, pollScheduleNotify))
	write := k.send(opWrite, Caller{}, writeIn(f, 0, "hello"))
	if r := k.reply(); r.notice != notifyPoll || u32at(r.data, 0) != 99 || len(r.data) != 8 {
		t.Errorf("%+v, want a notification", r)
	}
	if r := k.reply(); r.unique != write || r.errno != 0 {
		t.Errorf("%+v, want the write answered", r)
	}
	k.ask(opWrite, Caller{}, writeIn(f, 0, "again")) // fails if a notification comes before its answer
	k.ask(opPoll, Caller{}, pollIn(f, 99, pollScheduleNotify))
	k.ask(opRelease, Caller{}, releaseIn(f))
	p.wake()
	k.open(Caller{}) // likewise
}

// A device that is closed answers who waits, and releases what is open.
func TestClose(t *testing.T) {
	p := newPipe()
	k, device := beginKernel(t, p)
	ended := make(chan error)
	go func() { ended <- device.Serve() }()
	f := k.open(Caller{})
	k.open(Caller{})
	unique := k.send(opWrite, Caller{}, writeIn(f, 0, "wait"))
	await(t, p.started)
	device.Close()
	device.Close()
	p.finish <- struct{}{}
	if r := k.reply(); r.unique != unique || r.errno != 0 {
		t.Errorf("%+v, want %d answered", r, unique)
	}
	if err := await(t, ended); err != nil {
		t.Errorf("serve: %v", err)
	}
	if len(p.released) != 2 {
		t.Errorf("%d files were released, want 2", len(p.released))
	}
	p.wake() // harmless
}

// The kernel takes the device away, or speaks another language.
func TestKernelGone(t *testing.T) {
	for _, row := range []struct {
		name string
		sent []byte
		want string
	}{
		{"the end", nil, ErrGone.Error()},
		{"half a header", make([]byte, headerSize-1), errShort.Error()},
		{"half a request", request(opRead, 2, Caller{}, u64s(1)), errShort.Error()},
		{"a wrong length", append(request(opOpen, 2, Caller{}, u64s(1)), 0), errLength.Error()},
		{"less to write than it says", request(opWrite, 2, Caller{}, readIn(1, 5, 0), []byte("four")), errLength.Error()},
	} {
		k, device := beginKernel(t, newPipe())
		if row.sent == nil {
			unix.Shutdown(k.fd, unix.SHUT_RDWR)
		} else if _, err := unix.Write(k.fd, row.sent); err != nil {
			t.Fatal(err)
		}
		if err := device.Serve(); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
}

func TestBegin(t *testing.T) {
	for _, row := range []struct {
		name string
		sent []byte
		want string
	}{
		{"another version", request(opInit, 2, Caller{}, u32s(8, 0, 0, 0)), "version 8.0"},
		{"another request", request(opOpen, 2, Caller{}, u64s(1)), "not with CUSE_INIT"},
		{"half a request", request(opInit, 2, Caller{}), errShort.Error()},
	} {
		k, theirs := newPair(t)
		if _, err := unix.Write(k.fd, row.sent); err != nil {
			t.Fatal(err)
		}
		if _, err := newDevice(theirs, "tpms", newPipe()); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
}
