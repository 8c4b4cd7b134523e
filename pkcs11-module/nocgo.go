//go:build !cgo

// The PKCS #11 module is a C library, so without cgo there is none.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "tpmkey-pkcs11: error: built without cgo; build it with `make build`")
	os.Exit(1)
}
