//go:build !check

package main

// How much hosts do in make test.
const (
	children   = 12
	signatures = 200
	rounds     = 100
	calls      = 200
)
