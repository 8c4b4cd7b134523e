package tpmkey

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakes stand for the programs that packages.sh asks and orders. Those that would
// change the machine only write down that they were called.
var fakes = map[string]string{
	"dpkg-query": `case " $INSTALLED " in *" $4 "*) printf installed ;; *) exit 1 ;; esac`,
	"id":         `echo "$ID"`,
	"apt-get":    `echo "apt-get $*" >>"$CALLS"; exit "${BROKEN:-0}"`,
	"systemctl":  `echo "systemctl $*" >>"$CALLS"; exit "${UNBOOTED:-0}"`,
}

func TestPackages(t *testing.T) {
	const update, install = "apt-get update -q\n", "apt-get install -y --no-install-recommends "
	const sshd = "systemctl disable --now ssh.service ssh.socket\n"
	for _, row := range []struct {
		name, environment, packages string
		calls                       string // what changes the machine
		said                        string // the last line
		fails                       bool
	}{
		{"nothing is missing", "ID=0 INSTALLED=gcc", "gcc", "", "", false},
		{"root", "ID=0 INSTALLED=gcc", "gcc make", update + install + "make -q\n", "installing: make", false},
		{"somebody else", "ID=7 INSTALLED=gcc", "gcc make", "", "sudo apt-get update && sudo " + install + "make", true},
		{"no network", "ID=0 BROKEN=100", "make", update, "installing: make", true},
		{"port 22", "ID=0", "openssh-server", update + install + "openssh-server -q\n" + sshd, "its service is off", false},
		{"a server that was there", "ID=0 INSTALLED=openssh-server", "openssh-server make", update + install + "make -q\n", "installing: make", false},
		{"a manager", "ID=0", "tpm2-abrmd", update + install + "tpm2-abrmd -q\nsystemctl disable --now tpm2-abrmd.service\n", "its service is off", false},
		{"no systemd", "ID=0 UNBOOTED=1", "openssh-server", update + install + "openssh-server -q\n" + sshd, "does not run: ssh.service ssh.socket", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			said, calls, err := runPackages(t, row.environment, row.packages)
			if (err != nil) != row.fails || calls != row.calls || !strings.HasSuffix(said, row.said) || row.said == "" && said != "" {
				t.Errorf("%v, called %q, said %q", err, calls, said)
			}
		})
	}
}

// runPackages runs packages.sh on a machine that is made up.
func runPackages(t *testing.T, environment, packages string) (said, calls string, err error) {
	t.Helper()
	dir := t.TempDir()
	for name, body := range fakes {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	record := filepath.Join(dir, "calls")
	c := exec.Command("scripts/packages.sh", strings.Fields(packages)...)
	c.Env = append(strings.Fields(environment), "PATH="+dir+":"+os.Getenv("PATH"), "CALLS="+record)
	output, err := c.CombinedOutput()
	if text, missing := os.ReadFile(record); missing == nil {
		calls = string(text)
	}
	return strings.TrimSpace(string(output)), calls, err
}
