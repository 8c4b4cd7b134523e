package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

const manFile = "../../docs/man/tpmkey.1"

const manHead = `.\" Made from the help of each command: go test ./cmd/tpmkey -run TestManPage -update
.Dd November 25, 2026
.Dt TPMKEY 1
.Os
.Sh NAME
.Nm tpmkey
.Nd make and use RSA keys that live in the TPM
.Sh SYNOPSIS
.Nm
.Ar command
.Op Ar flags
.Op Ar argument ...
.Sh DESCRIPTION
A key of
.Nm
is a file that only the TPM that made it can open.
Programs use it through the PKCS #11 module,
.Xr tpmkey-pkcs11 7 .
The TPM is the first that opens of
.Pa /dev/tpms ,
the socket of
.Xr tpmkeyd 8 ,
.Pa /dev/tpmrm0
and
.Pa /dev/tpm0 .
`

const manFiles = `.Sh ENVIRONMENT
.Bl -tag -width TPMKEY_DEVICE
.It Ev TPMKEY_DEVICE
the TPM, as
.Fl device
names it
.It Ev XDG_DATA_HOME
where the directory
.Pa tpmkey
of keys is, in place of
.Pa ~/.local/share
.It Ev SSH_ASKPASS
a program that asks for PINs
.El
.Pp
A program with raised privileges reads none of them.
.Sh FILES
.Bl -tag -width Ds
.It Pa ~/.local/share/tpmkey/NAME.pem
a key, with
.Pa NAME.pub
for
.Pa authorized_keys
and
.Pa NAME.crt ,
its certificates
.It Pa /etc/tpmkey/keys
the keys of services
.It Pa /etc/tpmkey/namespaces.toml
see
.Xr tpmkey-namespaces 5
.El
`

const manTail = `.Sh EXAMPLES
A login over ssh:
.Bd -literal -offset indent
tpmkey new laptop
ssh\-copy\-id \-f \-i ~/.local/share/tpmkey/laptop.pub you@host
tpmkey ssh
ssh you@host
.Ed
.Sh SEE ALSO
.Xr ssh 1 ,
.Xr tpmkey-namespaces 5 ,
.Xr tpmkey-profiles 5 ,
.Xr tpmkey-pkcs11 7 ,
.Xr tpmkeyd 8
`

// The manual page says what the help of each command says.
func TestManPage(t *testing.T) {
	want := manPage()
	if tpmtest.Update() {
		if err := os.WriteFile(manFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(manFile); err != nil || string(got) != want {
		t.Errorf("%s is not what the help says (%v); make it anew: go test ./cmd/tpmkey -run TestManPage -update", manFile, err)
	}
}

func manPage() string {
	var b strings.Builder
	b.WriteString(manHead + literal(strings.TrimSuffix(common, "\n")) + ".Sh COMMANDS\n")
	for _, v := range verbs {
		fmt.Fprintf(&b, ".Ss %s\nUsage:\n%s.Pp\n%s.\n", v.name, literal(v.usage()), roff(capital(v.summary)))
		if details := strings.Trim(v.details, "\n"); details != "" {
			b.WriteString(literal(details))
		}
	}
	b.WriteString(manFiles + ".Sh EXIT STATUS\n" + literal(strings.Trim(strings.Replace(exitCodes, "Exit codes: ", "", 1), "\n")) + manTail)
	return b.String()
}

// literal shows lines as they are.
func literal(text string) string { return ".Bd -literal\n" + roff(text) + "\n.Ed\n" }

// roff writes text so that nothing in it is a request.
func roff(text string) string {
	lines := strings.Split(strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
