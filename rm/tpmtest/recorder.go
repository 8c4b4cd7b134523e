package tpmtest

import (
	"bytes"
	"slices"
	"sync"
	"time"
)

// Exchange is one command and what came of it: a response or an error.
type Exchange struct {
	Command, Response []byte
	Err               error
	Took              time.Duration
}

// Code returns the command code.
func (e Exchange) Code() uint32 { return code(e.Command) }

// Recorder passes commands on and remembers them. It is safe for concurrent use
// and leaves it to the Sender below to take commands one at a time.
type Recorder struct {
	below Sender

	mu  sync.Mutex
	log []Exchange
}

// Record puts a Recorder in front of a Sender.
func Record(below Sender) *Recorder { return &Recorder{below: below} }

// Send passes the command on and remembers the exchange once it is over.
func (r *Recorder) Send(command []byte) ([]byte, error) {
	start := time.Now()
	response, err := r.below.Send(command)
	took := time.Since(start)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, Exchange{bytes.Clone(command), bytes.Clone(response), err, took})
	return response, err
}

// Log returns what was exchanged since the last Reset.
func (r *Recorder) Log() []Exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.log)
}

// Commands returns the command codes since the last Reset, in order.
func (r *Recorder) Commands() []uint32 {
	var codes []uint32
	for _, e := range r.Log() {
		codes = append(codes, e.Code())
	}
	return codes
}

// Count returns how many commands were sent since the last Reset.
func (r *Recorder) Count() int { return len(r.Log()) }

// Reset forgets what was exchanged.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = nil
}
