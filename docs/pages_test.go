// Package docs has the pages, and the test that runs every command in them and in README.md.
package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// A page is a row of what its commands need.
type page struct {
	file        string
	needs       []string // programs
	environment []string // what boot.sh knows: SSHD=yes, with somebody else's machine; FROM=nothing or installed: without the service; FILTER: the service's profile; THERE=yes: with another machine that has a TPM
	before      string   // a script for what the page takes to be there
	after       string   // and one that sees what the page's own commands do not show
	long        bool     // run by make check only
	unrun       int      // blocks that no test can run
}

var pages = []page{
	{file: "../README.md", needs: []string{"ssh-copy-id", "ssh", "p11tool", "pkcs11-tool", "openssl", "tpm2_getrandom"}, environment: []string{"SSHD=yes", "FROM=nothing"},
		after: "grep 'Accepted publickey for you .*RSA' /var/log/sshd.log", unrun: 1},
	{file: "backup.md", needs: []string{"ssh-copy-id", "ssh"}, environment: []string{"SSHD=yes", "THERE=yes", "FILTER=migrate"}, long: true},
	{file: "bench.md", unrun: 1},
	{file: "containers.md", needs: []string{"unshare"}, unrun: 3},
	{file: "filter.md"},
	{file: "fleets.md", needs: []string{"openssl"}, environment: []string{"FILTER=attest"}, long: true, unrun: 1},
	{file: "git.md", needs: []string{"git", "ssh-agent"}, long: true},
	{file: "java.md", needs: []string{"java", "keytool"}, long: true},
	{file: "keys.md", needs: []string{"openssl"}},
	{file: "moving.md", needs: []string{"tpm2_ptool", "pkcs11-tool", "openssl"}, environment: []string{"FILTER=tss"}, before: tpm2Token, long: true, unrun: 1},
	{file: "mtls.md", needs: []string{"openssl", "curl"}, long: true},
	{file: "nss.md", needs: []string{"gnutls-serv", "gnutls-cli", "modutil", "certutil", "selfserv", "openssl"}, long: true},
	{file: "pkcs11.md", needs: []string{"pkcs11-tool", "p11tool"}},
	{file: "profiles.md"},
	{file: "servers.md", needs: []string{"/usr/sbin/nginx", "/usr/sbin/haproxy", "openssl", "curl"}, long: true},
	{file: "ssh.md", needs: []string{"ssh", "ssh-copy-id", "ssh-agent", "ssh-keyscan"}, environment: []string{"SSHD=yes"},
		after: "grep 'Accepted publickey for you .*RSA' /var/log/sshd.log; grep 'Accepted publickey for you .*ED25519-CERT' /var/log/sshd.log"},
	{file: "tpm2-pkcs11.md", needs: []string{"tpm2_ptool", "pkcs11-tool", "openssl"}, environment: []string{"FILTER=tss"}, long: true},
	{file: "tpmkeyd.md", environment: []string{"FROM=installed"}, after: "sudo -u nobody tpmkey device", unrun: 5},
	{file: "systemd.md", needs: []string{"systemd-analyze", "systemd-cryptenroll", "/usr/sbin/cryptsetup"}, long: true},
	{file: "threats.md"},
	{file: "tpms.md", needs: []string{"gcc"}, after: "(./narrow || true) 2>&1 | grep '/dev/tpms: No such file or directory'", unrun: 1},
	{file: "troubleshooting.md", long: true},
	{file: "vpn.md", needs: []string{"openssl", "/usr/sbin/openvpn", "/usr/sbin/swanctl", "/usr/lib/ipsec/charon", "/usr/sbin/hostapd", "eapol_test"}, long: true},
	{file: "tss.md", needs: []string{"tpm2_createprimary", "openssl", "curl"}, after: "! grep denied /var/log/tpmkeyd.log", long: true},
}

// tpm2Token is a token of tpm2-pkcs11 with a key, as who moves away from it has one.
const tpm2Token = `
export TPM2TOOLS_TCTI='cmd:tpmkey pipe' TPM2_PKCS11_TCTI='cmd:tpmkey pipe' TPM2_PKCS11_STORE=$HOME/.tpm2_pkcs11
mkdir $TPM2_PKCS11_STORE
tpm2_ptool init
tpm2_ptool addtoken --pid 1 --label web --sopin 5678 --userpin 1234
tpm2_ptool addkey --label web --userpin 1234 --algorithm rsa2048 --key-label site
`

// Every command of every page does what it says.
func TestPages(t *testing.T) {
	for _, p := range pages {
		t.Run(strings.TrimPrefix(p.file, "../"), func(t *testing.T) {
			t.Parallel()
			blocks := readBlocks(t, p.file)
			p.nameUnrun(t, blocks)
			if p.long && !all {
				t.Logf("its commands are run by make check")
				return
			}
			tpmtest.Need(t, p.needs...)
			p.run(t, blocks)
		})
	}
}

// nameUnrun names what is not run, whose number the page's row has, so that it grows by nobody's mistake.
func (p *page) nameUnrun(t *testing.T, blocks []block) {
	t.Helper()
	n := 0
	for _, b := range blocks {
		if b.language == "console" {
			n++
			t.Logf("line %d is not run: %s", b.line, b.reason)
		}
	}
	if n != p.unrun {
		t.Errorf("%d blocks are not run, not %d as its row says", n, p.unrun)
	}
}

func (p *page) run(t *testing.T, blocks []block) {
	t.Helper()
	if !slices.ContainsFunc(blocks, func(b block) bool { return b.language == "sh" }) {
		return
	}
	output, err := runOnMachine(t, p.before+"\n"+script(blocks)+p.after, p.environment...)
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	said := strings.Split(output, "\n"+mark+"\n") // the first is what came before the page
	for i, b := range blocks {
		switch {
		case b.language == "sh":
			said = said[1:]
		case b.language == "text" && b.follows && i > 0 && blocks[i-1].language == "sh" && !saysIn(said[0], b.text):
			t.Errorf("%s:%d: not what the commands before it say:\n%s", p.file, b.line, said[0])
		}
	}
}

// Each page has a row, and each row a page.
func TestRowsOfPages(t *testing.T) {
	files, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, p := range pages {
		rows = append(rows, p.file)
	}
	files = append(files, "../README.md")
	slices.Sort(files)
	if slices.Sort(rows); !slices.Equal(files, rows) {
		t.Errorf("pages: %v, rows: %v", files, rows)
	}
}

var link = regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`)

// What a page points to is there, down to the heading.
func TestLinks(t *testing.T) {
	for _, p := range pages {
		for _, m := range link.FindAllStringSubmatch(read(t, p.file), -1) {
			target := p.file
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(p.file), m[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", p.file, err)
			} else if m[2] != "" && !slices.Contains(anchors(read(t, target)), m[2][1:]) {
				t.Errorf("%s: %s has no heading %s", p.file, target, m[2])
			}
		}
	}
}

// anchors are what forges make of headings.
func anchors(text string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		plain := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(plain, " ", "-"))
	}
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// README.md is read in some minutes.
func TestReadmeIsShort(t *testing.T) {
	if n := len(regexp.MustCompile(`\S*[[:alnum:]]\S*`).FindAllString(read(t, "../README.md"), -1)); n < 500 || n > 1000 {
		t.Errorf("it has %d words", n)
	}
}

// The lines of Go are those of examples, which are run.
func TestLinesOfGo(t *testing.T) {
	examples, err := filepath.Glob("../*/example*_test.go")
	if err != nil || len(examples) == 0 {
		t.Fatal(examples, err)
	}
	var lines []string
	for _, file := range examples {
		for line := range strings.Lines(read(t, file)) {
			lines = append(lines, withoutComment(line))
		}
	}
	for _, p := range pages {
		for _, b := range readBlocks(t, p.file) {
			for line := range strings.Lines(b.text) {
				if b.language == "go" && !slices.Contains(lines, withoutComment(line)) {
					t.Errorf("%s:%d: no example has the line %s", p.file, b.line, line)
				}
			}
		}
	}
}

func withoutComment(line string) string {
	code, _, _ := strings.Cut(line, " // ")
	return strings.TrimSpace(code)
}
