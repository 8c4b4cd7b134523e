//go:build bench

package bench

import (
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"
)

// commands counts what reaches the chip.
func commands(t *testing.T) []compared {
	persistent, bare, peer := newSetting(t, true), newSetting(t, false), newPeer(t)
	return []compared{
		{figure{"TPM commands for ssh-keygen -D", peer.count(peer.list), 0, "", persistent.count(persistent.list)}, -1},
		{figure{"TPM commands for an ssh login, parent persistent", peer.count(peer.login), 4, "", persistent.count(persistent.login)}, -1},
		{figure{"TPM commands for an ssh login, nothing persistent", -1, 6, "", bare.count(bare.login)}, -1},
	}
}

func (s *setting) count(action func()) float64 {
	s.tpm.Reset()
	action()
	s.t.Logf("commands %#x", s.tpm.Commands())
	return float64(s.tpm.Count())
}

func (s *setting) list() { s.run("ssh-keygen", "-D", s.module) }

// login has ssh run a command on a server that knows the key.
func (s *setting) login() {
	s.t.Helper()
	host, port, err := net.SplitHostPort(s.serveSSH())
	if err != nil {
		s.t.Fatal(err)
	}
	output := s.run("ssh", "-F", "none", "-o", "PKCS11Provider="+s.module, "-o", "BatchMode="+s.batch(),
		"-o", "UserKnownHostsFile="+filepath.Join(s.home, "known_hosts"), "-o", "StrictHostKeyChecking=accept-new",
		"-o", "LogLevel=ERROR", "-p", port, "bench@"+host, "true")
	if output != "logged in\n" {
		s.t.Fatalf("ssh printed %q", output)
	}
}

// batch keeps ssh from asking for anything, where nothing has to be asked.
func (s *setting) batch() string {
	if s.pin == "" {
		return "yes"
	}
	return "no"
}

// serveSSH accepts one login on loopback and returns the address.
func (s *setting) serveSSH() string {
	s.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { listener.Close() })
	config := s.serverConfig()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			welcome(conn, config)
		}
	}()
	return listener.Addr().String()
}

// serverConfig takes the setting's key and no other.
func (s *setting) serverConfig() *ssh.ServerConfig {
	s.t.Helper()
	line, err := os.ReadFile(s.public)
	if err != nil {
		s.t.Fatal(err)
	}
	known, _, _, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		s.t.Fatal(err)
	}
	_, hostKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(hostKey)
	if err != nil {
		s.t.Fatal(err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, offered ssh.PublicKey) (*ssh.Permissions, error) {
		if string(offered.Marshal()) != string(known.Marshal()) {
			return nil, os.ErrPermission
		}
		return nil, nil
	}}
	config.AddHostKey(signer)
	return config
}

// welcome answers any command of one session with "logged in".
func welcome(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		go answer(channel, requests)
	}
}

func answer(channel ssh.Channel, requests <-chan *ssh.Request) {
	for request := range requests {
		request.Reply(request.Type == "exec", nil)
		if request.Type != "exec" {
			continue
		}
		channel.Write([]byte("logged in\n"))
		channel.SendRequest("exit-status", false, []byte{0, 0, 0, 0})
		channel.Close()
	}
}
