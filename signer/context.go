package signer

import (
	"bytes"
	"context"
	"fmt"
)

// WithContext gives the same key, whose operations give up when ctx is done: waiting for others at the TPM, for a slow TPM, or for a PIN. Their error is
// ctx's then. A TPM takes no command back: one that is under way ends by itself, and what comes of it is wiped. Closing the key that it was made of is enough.
func (k *Key) WithContext(ctx context.Context) *Key { return &Key{key: k.key, ctx: ctx} }

// await runs work, which may go on for longer than the caller waits for it, and so has an input of its own.
func (k *Key) await(input []byte, work func(input []byte) ([]byte, error)) ([]byte, error) {
	if k.ctx == nil || k.ctx.Done() == nil {
		return work(input)
	}
	if err := k.ctx.Err(); err != nil {
		return nil, k.gaveUp(err)
	}
	input = bytes.Clone(input)
	results := make(chan result)
	go func() {
		output, err := work(input)
		select {
		case results <- result{output, err}:
		case <-k.ctx.Done():
			clear(output)
		}
	}()
	select {
	case r := <-results:
		return r.output, r.err
	case <-k.ctx.Done():
		return nil, k.gaveUp(k.ctx.Err())
	}
}

type result struct {
	output []byte
	err    error
}

func (k *Key) gaveUp(err error) error {
	return fmt.Errorf("waited for the TPM with key %q: %w", k.key.Name(), err)
}
