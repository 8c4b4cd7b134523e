package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strings"
	"text/template"
)

// privsep is where root's sshd insists on an empty folder. Debian makes it when
// the ssh service starts.
const privsep = "/run/sshd"

// The server takes the demo's key and nothing else. Nobody has no login shell, so
// the session is sftp, which sshd does itself.
var serverConfig = template.Must(template.New("sshd").Parse(`ListenAddress 127.0.0.1
Port {{.Port}}
HostKey {{.Dir}}/host_key
AuthorizedKeysFile {{.Home}}/tpmkey/demo.pub
AuthenticationMethods publickey
AllowUsers {{.User}}
ForceCommand internal-sftp
Subsystem sftp internal-sftp
StrictModes no
UsePAM no
PidFile none
`))

var clientConfig = template.Must(template.New("ssh").Parse(`Host demo
  HostName 127.0.0.1
  Port {{.Port}}
  User {{.User}}
  UserKnownHostsFile {{.Dir}}/known_hosts
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  PreferredAuthentications publickey
  BatchMode yes
`))

// sshSettings fills the two configurations.
type sshSettings struct {
	Dir, Home, User string
	Port            int
}

// showLogin starts an sshd that knows the public key, and logs in.
func (s *stage) showLogin() error {
	settings := sshSettings{Dir: s.dir, Home: s.home, User: s.user.name}
	if err := s.configureSSH(&settings); err != nil {
		return err
	}
	d, err := s.start(nil, sshdProgram(), "-D", "-e", "-f", s.file("sshd_config"))
	if err != nil {
		return err
	}
	if _, err := s.awaitLine(d, "Server listening on", fmt.Sprint(settings.Port)); err != nil {
		s.tell(d.log.String())
		return err
	}
	_, err = s.run("ssh", "-F", s.file("ssh_config"), "-o", "PKCS11Provider="+s.program("tpmkey-pkcs11.so"), "-s", "demo", "sftp")
	if err != nil {
		s.tell(d.log.String())
		return err
	}
	line, err := s.awaitLine(d, "Accepted publickey for "+s.user.name)
	if err != nil {
		return err
	}
	s.tell("sshd's log: " + line)
	d.stop()
	return nil
}

// configureSSH makes a host key and the files of both sides.
func (s *stage) configureSSH(settings *sshSettings) error {
	if err := s.makePrivsep(); err != nil {
		return err
	}
	var err error
	if settings.Port, err = freePort(); err != nil {
		return err
	}
	hostKey := s.file("host_key")
	if output, err := s.quietly(nil, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", hostKey); err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	public, err := os.ReadFile(hostKey + ".pub")
	if err != nil {
		return err
	}
	known := fmt.Sprintf("[127.0.0.1]:%d %s", settings.Port, public)
	if err := os.WriteFile(s.file("known_hosts"), []byte(known), 0o644); err != nil {
		return err
	}
	if err := writeTemplate(s.file("sshd_config"), serverConfig, settings); err != nil {
		return err
	}
	return writeTemplate(s.file("ssh_config"), clientConfig, settings)
}

func (s *stage) makePrivsep() error {
	if s.user.credential == nil {
		return nil
	}
	err := os.Mkdir(privsep, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		s.made = append(s.made, privsep)
	}
	return err
}

func writeTemplate(file string, t *template.Template, settings *sshSettings) error {
	var text strings.Builder
	if err := t.Execute(&text, settings); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text.String()), 0o644)
}

// freePort is a port of loopback that nobody used a moment ago: sshd cannot tell
// which one it took.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// sshdProgram is an absolute path, which sshd demands. Users do not have its
// folder in PATH.
func sshdProgram() string {
	if path, err := exec.LookPath("sshd"); err == nil {
		return path
	}
	return "/usr/sbin/sshd"
}
