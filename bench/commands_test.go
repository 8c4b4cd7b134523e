//go:build bench

package bench

import (
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"tpmkey.example/bench/chip"
	"tpmkey.example/bench/table"
	"tpmkey.example/rm/tpmtest"
)

// commands counts what reaches the chip.
func commands(t *testing.T) []table.Row {
	persistent, bare, peer := newSetting(t, true), newSetting(t, false), newPeer(t)
	return []table.Row{
		counted("list", "ssh-keygen -D", 0, table.Cells{table.Tpmkey: persistent.count(1, persistent.list), table.TPM2PKCS11: peer.count(1, peer.list), table.SoftHSM2: noTPM}),
		counted("login", "ssh login, parent persistent", 4, table.Cells{table.Tpmkey: persistent.count(1, persistent.login), table.TPM2PKCS11: peer.count(1, peer.login), table.SoftHSM2: noTPM}),
		counted("login-bare", "ssh login, nothing persistent", 6, table.Cells{table.Tpmkey: bare.count(1, bare.login), table.TPM2PKCS11: noParent, table.SoftHSM2: noTPM}),
	}
}

// Why somebody cannot do the work.
var (
	noTPM    = table.Cannot("it has its keys in files")
	noParent = table.Cannot("its primary key is always persistent")
)

// counted is a row of commands that may be so many at most.
func counted(id, what string, most float64, cells table.Cells) table.Row {
	return table.Row{ID: "commands/" + id, Part: table.Counted, What: what, Bound: table.AtMost(most), Cells: cells}
}

// count gives the commands that reach the chip while so many operations are done.
func (s *setting) count(operations int, action func()) table.Cell {
	return counting(s.tpm, operations, action)
}

func counting(recorder *tpmtest.Recorder, operations int, action func()) table.Cell {
	settle(recorder)
	recorder.Reset()
	action()
	settle(recorder)
	return table.Counts(operations, sent(recorder))
}

// settle waits for what a broker does after it has answered: until nothing more is sent for a while.
func settle(recorder *tpmtest.Recorder) {
	for before := -1; before != recorder.Count(); {
		before = recorder.Count()
		time.Sleep(100 * time.Millisecond)
	}
}

// sent is the names of what a recorder has.
func sent(recorder *tpmtest.Recorder) (names []string) {
	for _, e := range recorder.Log() {
		names = append(names, chip.Name(e.Command))
	}
	return names
}

// logins times whole logins, in turn.
func logins(t *testing.T) []table.Row {
	modules, times := newModules(t), map[table.Column][]time.Duration{}
	for range rounds {
		for column, s := range modules {
			start := time.Now()
			s.login()
			times[column] = append(times[column], time.Since(start))
		}
	}
	return []table.Row{{ID: "module/login", Part: table.Module, What: "ssh login, all of it", Unit: table.Milliseconds, Cells: cellsOf(times, inMS)}}
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
