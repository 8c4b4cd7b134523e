package main

import (
	"bytes"

	"tpmkey.example/provider"
)

// warnOfTwins names the keys beside a new one that programs cannot tell from it: PKCS #11 finds keys by CKA_ID, and ssh by the public key.
func (t *tool) warnOfTwins(key *provider.Key) {
	others, _ := t.keys.AllKeys() // files that are no keys are list's to tell
	for _, k := range others {
		switch {
		case k.Name() == key.Name():
		case k.Public().Equal(key.Public()):
			t.say("warning: key %q is the same RSA key; one of the two may go: tpmkey delete", k.Name())
		case bytes.Equal(k.ID(), key.ID()):
			t.say("warning: key %q has the same id, %x, and programs may take one for the other; make one with another -id", k.Name(), k.ID())
		}
	}
}
