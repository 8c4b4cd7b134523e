package cuse

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrGone is what Serve says when the kernel has taken the device away.
var ErrGone = errors.New("the kernel has taken the device away")

// Serve answers requests until Close, or until the kernel has none any more, which is an error. It returns when the last request was answered and all files
// were released.
func (d *Device) Serve() error {
	d.workers.Go(d.work)
	d.workers.Wait()
	d.releaseAll()
	d.abandon()
	return d.fault
}

// work answers requests, one after the other, until there are none any more or enough others do.
func (d *Device) work() {
	buffer := make([]byte, bufferSize)
	for d.isWanted() && !d.lead(buffer) {
	}
}

// lead has the reading to itself until a request takes long, or until there are none any more, which it reports.
func (d *Device) lead(buffer []byte) (ended bool) {
	d.reading.Lock()
	d.spare.Add(-1)
	for !d.ended {
		if !d.next(buffer) {
			return false
		}
	}
	d.reading.Unlock()
	return true
}

// isWanted counts the caller among those who have nothing to do.
func (d *Device) isWanted() bool {
	if d.spare.Add(1) <= mostSpare {
		return true
	}
	d.spare.Add(-1)
	return false
}

// handOver lets another goroutine wait for requests.
func (d *Device) handOver() {
	if d.spare.Load() == 0 {
		d.workers.Go(d.work)
	}
	d.reading.Unlock()
}

// next waits for a request and answers it. It reports whether the caller still has the reading to itself.
func (d *Device) next(buffer []byte) (reading bool) {
	b, err := d.receive(buffer)
	if err != nil {
		d.ended = true
		if !d.isClosed() {
			d.fault = err
		}
		return true
	}
	m, err := parse(b)
	if err != nil { // of the kernel's own: nobody waits for an answer that we could give
		d.ended, d.fault = true, err
		return true
	}
	return d.do(&m)
}

// receive waits for a request. Each read gives one.
func (d *Device) receive(buffer []byte) ([]byte, error) {
	for {
		if err := d.await(); err != nil {
			return nil, err
		}
		n, err := unix.Read(d.fd, buffer)
		switch err {
		case nil:
			if n == 0 {
				return nil, ErrGone
			}
			return buffer[:n], nil
		case unix.EINTR, unix.EAGAIN, unix.ENOENT: // the last: its caller has been killed before
		case unix.ENODEV:
			return nil, ErrGone
		default:
			return nil, fmt.Errorf("read a request: %w", err)
		}
	}
}

// await waits until there is a request, and reports the end of the device as an error.
func (d *Device) await() error {
	fds := []unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLIN}, {Fd: int32(d.wakeup), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("wait for a request: %w", err)
		case fds[1].Revents != 0:
			return ErrGone
		default:
			return nil
		}
	}
}

// send gives the kernel an answer. That it does not want it any more (its caller is gone, or the device) is no concern of ours.
func (d *Device) send(b []byte) error {
	for {
		if _, err := unix.Write(d.fd, b); err != unix.EINTR {
			return err
		}
	}
}
