//go:build !check

package docs

// all pages are run, also the long ones.
const all = false
