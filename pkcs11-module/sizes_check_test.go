//go:build check

package main

// How much hosts do in make check.
const (
	children   = 200
	signatures = 10000
	rounds     = 1000
	calls      = 10000
)
