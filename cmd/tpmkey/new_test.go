package main

import (
	"strings"
	"testing"
)

// What is to be done with a new key depends on whose it is: a service's does not log in anywhere.
func TestNextSteps(t *testing.T) {
	for _, row := range []struct {
		path      string
		want, not []string
	}{
		{"/home/me/.local/share/tpmkey/me.pem", []string{"ssh-copy-id -f -i /home/me/.local/share/tpmkey/me.pub ", "PKCS11Provider"}, []string{"chgrp"}},
		{"/etc/tpmkey/keys/web.pem", []string{"chgrp GROUP /etc/tpmkey/keys/web.pem\n", "chmod 640 /etc/tpmkey/keys/web.pem\n"}, []string{"ssh"}},
	} {
		got := nextSteps(row.path)
		for _, want := range row.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q in %q", row.path, want, got)
			}
		}
		for _, not := range row.not {
			if strings.Contains(got, not) {
				t.Errorf("%s: %q", row.path, got)
			}
		}
	}
}
