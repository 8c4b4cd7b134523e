//go:build check

package rm_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// One caller makes RSA keys in a loop, eight others sign. A signer waits at most for one key generation and for what the others sign meanwhile.
func TestKeyGenerationDoesNotStarveSigners(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	hog := b.space(t, 999)
	parent := primary(t, hog)
	var keys []key
	for uid := range uint32(8) {
		keys = append(keys, newKey(t, b.space(t, 1000+uid), false, ""))
	}
	stop := make(chan struct{})
	var making sync.WaitGroup
	var longest time.Duration
	made := 0
	making.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			start := time.Now()
			if _, err := (tpm2.Create{ParentHandle: parent, InPublic: tpm2.New2B(template(false))}).Execute(hog); err != nil {
				t.Error(err)
			}
			longest, made = max(longest, time.Since(start)), made+1
		}
	})
	var signing sync.WaitGroup
	var mu sync.Mutex
	var waits []time.Duration
	for _, k := range keys {
		signing.Go(func() {
			for range 60 {
				start := time.Now()
				k.mustSign(t)
				mu.Lock()
				waits = append(waits, time.Since(start))
				mu.Unlock()
			}
		})
	}
	signing.Wait()
	close(stop)
	making.Wait()
	slices.Sort(waits)
	p99, median := waits[len(waits)*99/100], waits[len(waits)/2]
	t.Logf("%d keys made, the longest in %v; signatures: median %v, p99 %v", made, longest, median, p99)
	if limit := longest + 8*8*median; p99 > limit || made == 0 {
		t.Errorf("p99 of a signature is %v, more than one key generation and eight rounds of signatures, %v; %d keys were made", p99, limit, made)
	}
}
