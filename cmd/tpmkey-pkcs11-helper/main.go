// Tpmkey-pkcs11-helper is the place of the PKCS #11 module's core in a process of its own, for programs that use the module after fork. It does
// nothing yet: in a forked child the module refuses all calls.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "tpmkey-pkcs11-helper: error: the PKCS #11 module starts this program, nobody else; and it does not yet")
	os.Exit(2)
}
