package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// showChip starts the simulated chip, or says which one is used.
func (s *stage) showChip() error {
	if s.device != "" {
		s.tell("the chip at " + s.device + "; nothing on it is touched but the key made here")
		return nil
	}
	socket := s.file("chip.sock")
	s.device = "unix:" + socket
	d, err := s.start(nil, s.program("tpmkey-sim"), "-listen", socket)
	if err != nil {
		return err
	}
	if _, err := s.awaitLine(d, "listening"); err != nil {
		return err
	}
	s.tell(d.log.String())
	return nil
}

func (s *stage) showBroker() error {
	// The machine's own tpmkeyd keeps in its folder what it knows of another chip.
	d, err := s.start(nil, s.program("tpmkeyd"), "-device", s.device, "-listen", s.socket(), "-state", s.file("state"))
	if err != nil {
		return err
	}
	s.broker = d
	if err := s.await(d, func() bool { return answers(s.socket()) }); err != nil {
		return err
	}
	s.tell(d.log.String())
	info, err := os.Stat(s.socket())
	if err != nil {
		return err
	}
	s.tell(fmt.Sprintf("%v %s", info.Mode(), s.socket()))
	return nil
}

// answers reports whether somebody listens on the socket.
func answers(socket string) bool {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func (s *stage) showNew() error {
	s.tell(fmt.Sprintf("the user is %s, uid %d, with this environment:", s.user.name, s.user.uid))
	for _, variable := range s.environment() {
		if strings.HasPrefix(variable, "TPMKEY_") || strings.HasPrefix(variable, "XDG_") {
			s.show("export", variable)
		}
	}
	_, err := s.run(s.program("tpmkey"), "new", "demo")
	return err
}

func (s *stage) showList() error {
	output, err := s.run("ssh-keygen", "-D", s.program("tpmkey-pkcs11.so"))
	if err == nil && !strings.Contains(output, "ssh-rsa ") {
		err = errors.New("ssh-keygen lists no RSA key")
	}
	return err
}

// showTLS has a Go server hold a certificate for the key and openssl connect.
func (s *stage) showTLS() error {
	certificate := s.home + "/demo.crt"
	d, err := s.start(s.user.credential, s.program("demo/tlsserver"),
		"-key", "demo", "-listen", "127.0.0.1:0", "-certificate", certificate)
	if err != nil {
		return err
	}
	line, err := s.awaitLine(d, "listening on ")
	if err != nil {
		s.tell(d.log.String())
		return err
	}
	s.tell(line)
	_, address, _ := strings.Cut(line, "listening on ")
	output, err := s.run("openssl", "s_client", "-connect", address, "-tls1_3",
		"-servername", "localhost", "-CAfile", certificate, "-verify_return_error", "-brief")
	if err == nil && !containsAll(output, []string{"TLSv1.3", "Verification: OK"}) {
		err = errors.New("openssl verified no TLS 1.3 handshake")
	}
	d.stop()
	return err
}

// showClear sends TPM2_Clear as the user and shows why tpmkeyd refused it.
func (s *stage) showClear() error {
	if _, err := s.run(s.program("demo/demo"), "clear", s.socket()); err != nil {
		return err
	}
	line, err := s.awaitLine(s.broker, "denied", "Clear")
	if err != nil {
		return err
	}
	s.tell("tpmkeyd's log: " + line)
	return nil
}

func (s *stage) showDelete() error {
	_, err := s.run(s.program("tpmkey"), "delete", "-yes", "demo")
	return err
}
