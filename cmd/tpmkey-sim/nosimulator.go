//go:build !cgo

package main

import "errors"

func openChip() (chip, error) {
	return nil, errors.New("this build has no simulator: build it with CGO_ENABLED=1, gcc and libssl-dev")
}
