package main

import (
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// A flood is a connection on which there is always one more command, none of which reaches the chip.
type flood struct {
	net.Conn
	left     int
	answered atomic.Int32
	onAnswer func()
}

func (f *flood) Read(b []byte) (int, error) {
	if f.left--; f.left < 0 {
		return 0, io.EOF
	}
	return copy(b, readPCRs), nil
}

func (f *flood) Write(b []byte) (int, error) {
	f.answered.Add(1)
	f.onAnswer()
	return len(b), nil
}

func (f *flood) SetReadDeadline(time.Time) error  { return nil }
func (f *flood) SetWriteDeadline(time.Time) error { return nil }

// Who always has one more command keeps a processor to himself for one of them, and not for as long as the runtime lets him.
func TestFlood(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	d := newDescriptor(t)
	others := make(chan int, 1) // how many commands of the flood had an answer before another one had
	stream := &flood{left: 20000}
	one := &flood{left: 1, onAnswer: func() { others <- int(stream.answered.Load()) }}
	stream.onAnswer = func() {
		if stream.answered.Load() == 1 {
			go d.client.server.exchange(one, d.client)
		}
	}
	d.client.server.exchange(stream, d.client)
	if n := <-others; n > 20 {
		t.Errorf("another client had an answer after %d of the flood", n)
	}
}
