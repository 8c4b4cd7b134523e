package main

import (
	"fmt"

	"tpmkey.example/rm/device"
)

const pipeDetails = `
Programs of tpm2-tss run it themselves and then use the TPM as its filter allows:

  export TPM2TOOLS_TCTI='cmd:tpmkey pipe'      tpm2-tools
  export TPM2OPENSSL_TCTI='cmd:tpmkey pipe'    OpenSSL's provider tpm2
  export TPM2_PKCS11_TCTI='cmd:tpmkey pipe'    tpm2-pkcs11, under the profile tss

It reads TPM commands from standard input, writes each response to standard
output, and ends with its input. Its TPM must be one that tpmkeyd serves: what a
program keeps in files from one run to the next is tpmkeyd's to know.
`

// runPipe carries another program's commands to tpmkeyd.
func runPipe(t *tool, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	d, err := device.Open(t.device)
	if err != nil {
		return err
	}
	defer d.Close()
	if !d.Managed() {
		return fmt.Errorf("%s: no tpmkeyd in front of it; start tpmkeyd, or let the program open the TPM itself", d.Spec())
	}
	return d.Relay(t.stdin, t.stdout)
}
