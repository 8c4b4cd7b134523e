package doctor

import (
	"context"
	"strings"
)

// A Probe runs tpmkey-probe with the module that is installed and the TPM under examination. It gives what the program printed and the module logged.
type Probe func(ctx context.Context) (said, logged string, err error)

// moduleWorks is the check module-works: a C program that forks, like many hosts, which Go programs cannot.
func moduleWorks(p *patient) outcome {
	if p.tpm.Probe == nil {
		return warn("", "not checked: the module or tpmkey-probe is not installed, see module-file")
	}
	if p.trial == nil {
		return warn("", "not checked: see trial-signature")
	}
	said, logged, err := p.tpm.Probe(p.ctx)
	switch {
	case err == nil:
		return ok("a program in C makes a key through it, signs and verifies, and so does its forked child")
	case missing(err):
		return warn("sudo make install, or install the package again", "not checked: %v", err)
	case strings.TrimSpace(said) == "":
		return fail("", "tpmkey-probe: %v", err)
	}
	return fail(fixOfModule(said, logged), "%s%s", strings.TrimSpace(said), whyOf(said, logged))
}

// silentHelper tells of a helper that is missing or of another build: it answers in forked children, and the front without it writes no log.
func silentHelper(said, logged string) bool {
	return strings.HasPrefix(said, "in a forked child: C_Initialize ") && strings.TrimSpace(logged) == ""
}

// whyOf is what a line of the module's log says after the time, the program and the function.
func whyOf(said, logged string) string {
	if silentHelper(said, logged) {
		return ": tpmkey-pkcs11-helper does not start, or is of another build"
	}
	lines := strings.Split(strings.TrimSpace(logged), "\n")
	_, why, found := strings.Cut(lines[len(lines)-1], ": CKR_")
	if _, why, _ = strings.Cut(why, ": "); !found || why == "" {
		return ""
	}
	return ": " + why
}

// fixOfModule is for a helper that cannot be used, and for a module that is none: then no function was called.
func fixOfModule(said, logged string) string {
	if !strings.Contains(said, ": C_") {
		return "sudo make install, or install the package again"
	}
	if silentHelper(said, logged) || strings.Contains(logged, "tpmkey-pkcs11-helper") {
		return "sudo make install, or install the package again: module and helper belong together, and make build takes the same PREFIX"
	}
	return ""
}
