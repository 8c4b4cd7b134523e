package main

import (
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"tpmkey.example/provider"
)

const certDetails = `
Without FILE it prints the chain. With one, or "-" for standard input, it attaches
the chain in it: PEM, the key's own certificate first, then whoever signed it, and so
on. Programs are shown the certificate together with the key.

  -remove         take the chain away
  -any-time       attach also one that has expired, or is not valid yet
  -self-signed    make a certificate that the key itself signs, and attach it
  -days N         for so many days (default 365)
  -subject NAME   of whom: "CN=host,O=Firm" (default: CN and the key's name)
  -san NAME       a further name, as often as there are any: a host, an address, an
                  e-mail address or a URI
  -yes            replace one that somebody else signed, and do not ask
  -pin-file FILE  the key's PIN, as for tpmkey new
  -json           a JSON array of the chain: subject, issuer, notBefore, notAfter, pem
`

const csrDetails = `
Prints a request (PKCS #10, PEM) for a certificate, to be sent to whoever issues it.
What comes back is attached with: tpmkey cert NAME FILE

  -subject NAME   of whom: "CN=host,O=Firm" (default: CN and the key's name)
  -san NAME       a further name, as often as there are any: a host, an address, an
                  e-mail address or a URI
  -pin-file FILE  the key's PIN, as for tpmkey new
`

// certOptions are the flags that have to do with certificates.
type certOptions struct {
	remove, anyTime, selfSigned bool
	days                        int
	subject                     string
	names                       sanList
}

func certFlags(f *flag.FlagSet, t *tool) {
	csrFlags(f, t)
	jsonFlags(f, t)
	f.BoolVar(&t.yes, "yes", false, "")
	f.BoolVar(&t.cert.remove, "remove", false, "")
	f.BoolVar(&t.cert.anyTime, "any-time", false, "")
	f.BoolVar(&t.cert.selfSigned, "self-signed", false, "")
	f.IntVar(&t.cert.days, "days", 365, "")
}

func csrFlags(f *flag.FlagSet, t *tool) {
	f.StringVar(&t.cert.subject, "subject", "", "")
	f.Var(&t.cert.names, "san", "")
	f.StringVar(&t.pin.file, "pin-file", "", "")
}

// runCert shows, attaches, makes or removes the certificate of a key.
func runCert(t *tool, args []string) error {
	if len(args) == 0 || len(args) > 2 {
		return usageError(fmt.Sprintf("it takes the name of a key and at most one file, not %s", arguments(len(args))))
	}
	if t.cert.remove && t.json {
		return usageError("-json prints a chain, and -remove leaves none; choose one")
	}
	keys := t.open()
	k, err := keys.Key(args[0])
	if err != nil {
		return err
	}
	switch file := args[1:]; {
	case t.cert.remove && t.cert.selfSigned, (t.cert.remove || t.cert.selfSigned) && len(file) > 0:
		return usageError("-remove, -self-signed and a file are three things; choose one")
	case t.cert.remove:
		return keys.DetachCertificate(k)
	case t.yes && !t.cert.selfSigned:
		return usageError("-yes goes with -self-signed only")
	case t.cert.selfSigned:
		if err := t.mayReplaceChain(k); err != nil {
			return err
		}
		return t.selfSign(keys, k)
	case len(file) > 0:
		return t.attach(keys, k, file[0])
	}
	if t.json {
		return t.printChainJSON(k)
	}
	return t.printChain(k)
}

// mayReplaceChain asks before a certificate goes that the key cannot make again: verifiers trust it for its issuer's sake.
func (t *tool) mayReplaceChain(k *provider.Key) error {
	if t.yes || k.Certificate() == nil || k.SelfSigned() {
		return nil
	}
	return t.confirm(fmt.Sprintf("key %q has a certificate that somebody else signed (%s): replace it?", k.Name(), printable(k.CertificatePath())), "replace the certificate that somebody else signed")
}

func (t *tool) printChain(k *provider.Key) error {
	chain, err := k.Chain()
	if err != nil {
		return err
	}
	for _, c := range chain {
		if err := pem.Encode(t.stdout, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
			return err
		}
	}
	return nil
}

const maxChain = 64 << 10 // bytes: what is read again later

// attach attaches the chain in a file.
func (t *tool) attach(keys *provider.Provider, k *provider.Key, path string) error {
	from := io.Reader(t.stdin)
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, maxChain+1))
	if err == nil && len(text) > maxChain {
		err = fmt.Errorf("%s has more than %d bytes; that is no certificate chain", path, maxChain)
	}
	if err != nil {
		return err
	}
	if err := keys.AttachCertificate(k, text, t.cert.anyTime); err != nil {
		return err
	}
	return t.sayCertificate(k)
}

func (t *tool) sayCertificate(k *provider.Key) error {
	chain, err := k.Chain()
	if err != nil {
		return err
	}
	t.say("key %q has the certificate %s, until %s", k.Name(), printable(chain[0].Subject.String()), chain[0].NotAfter.Format(time.DateOnly))
	if t.json {
		return t.printChainJSON(k)
	}
	return nil
}
