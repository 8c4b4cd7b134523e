package attest_test

import (
	"encoding/hex"
	"fmt"
	"os"

	"tpmkey.example/attest"
)

// A fleet's server takes a key that a machine says is its own.
func ExampleVerify() {
	known, err := os.ReadFile("testdata/creation.anchor") // tpmkey pub -tpm, when the machine was set up
	if err != nil {
		fmt.Println(err)
		return
	}
	anchor, err := attest.ParseAnchor(known)
	if err != nil {
		fmt.Println(err)
		return
	}
	evidence, err := os.ReadFile("testdata/creation.evidence") // tpmkey attest -ak ak -nonce 6e6f6e6365 web
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := attest.Verify(evidence, anchor, []byte("nonce"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("RSA %d, made for %s under %s…\n", e.Public.N.BitLen(), e.Creation.Challenge, hex.EncodeToString(e.Creation.ParentName[:2]))
	// Output: RSA 2048, made for challenge under 000b…
}
