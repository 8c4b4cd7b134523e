//go:build bench

package bench

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/miekg/pkcs11"
)

// hostVariable makes the test binary a host of the module that it names, with the
// PIN that the other variable has.
const (
	hostVariable = "TPMKEY_BENCH_HOST"
	pinVariable  = "TPMKEY_BENCH_PIN"

	// rawVariable makes it a program that sends this command, in hexadecimal, and
	// nothing else.
	rawVariable = "TPMKEY_BENCH_RAW"
)

func TestMain(m *testing.M) {
	module, command := os.Getenv(hostVariable), os.Getenv(rawVariable)
	if module == "" && command == "" {
		os.Exit(m.Run())
	}
	run := hostMain
	if command != "" {
		run = rawMain
	}
	if err := run(module + command); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// hostMain signs with the module's only key.
func hostMain(module string) error {
	p := pkcs11.New(module)
	if p == nil {
		return fmt.Errorf("%s does not load", module)
	}
	if err := p.Initialize(); err != nil {
		return err
	}
	defer p.Finalize()
	session, key, err := openKey(p)
	if err != nil {
		return err
	}
	return obey(func() error { return sign(p, session, key) })
}

// obey does what it is given as many times as each number on standard input asks
// for, and prints the median of the times in nanoseconds.
func obey(do func() error) error {
	for {
		var n int
		if _, err := fmt.Scanln(&n); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		times := make([]time.Duration, n)
		for i := range times {
			start := time.Now()
			if err := do(); err != nil {
				return err
			}
			times[i] = time.Since(start)
		}
		fmt.Println(median(times).Nanoseconds())
	}
}

// rawMain is a client of the chip without any library: one command, ready made.
func rawMain(text string) error {
	command, err := hex.DecodeString(text)
	if err != nil {
		return err
	}
	conn, err := net.Dial("unix", strings.TrimPrefix(os.Getenv("TPMKEY_DEVICE"), "unix:"))
	if err != nil {
		return err
	}
	defer conn.Close()
	response := make([]byte, 4096)
	return obey(func() error {
		if _, err := conn.Write(command); err != nil {
			return err
		}
		_, err := conn.Read(response)
		if code := binary.BigEndian.Uint32(response[6:]); err == nil && code != 0 {
			err = fmt.Errorf("TPM2_Sign: %#x", code)
		}
		return err
	})
}

func openKey(p *pkcs11.Ctx) (pkcs11.SessionHandle, pkcs11.ObjectHandle, error) {
	slots, err := p.GetSlotList(true)
	if err != nil {
		return 0, 0, err
	}
	session, err := p.OpenSession(slots[0], pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		return 0, 0, err
	}
	if pin := os.Getenv(pinVariable); pin != "" {
		if err := p.Login(session, pkcs11.CKU_USER, pin); err != nil {
			return 0, 0, err
		}
	}
	err = p.FindObjectsInit(session, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY)})
	if err != nil {
		return 0, 0, err
	}
	keys, _, err := p.FindObjects(session, 2)
	if err == nil && len(keys) != 1 {
		err = fmt.Errorf("%d private keys", len(keys))
	}
	if err != nil {
		return 0, 0, err
	}
	return session, keys[0], p.FindObjectsFinal(session)
}

// sign signs a SHA-256 digest by CKM_RSA_PKCS, as ssh does.
func sign(p *pkcs11.Ctx, session pkcs11.SessionHandle, key pkcs11.ObjectHandle) error {
	err := p.SignInit(session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS, nil)}, key)
	if err == nil {
		_, err = p.Sign(session, digestInfo)
	}
	return err
}

// digestInfo is the DigestInfo of a SHA-256 digest (RFC 8017, 9.2, note 1).
var digestInfo = append([]byte{
	0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
}, make([]byte, 32)...)

// host is a running test binary that signs on demand.
type host struct {
	t       *testing.T
	orders  io.WriteCloser
	results *bufio.Reader
}

// startHost runs a host whose chip has the spec.
func (s *setting) startHost(spec string) *host {
	s.t.Helper()
	return s.start(append(s.environment(spec), hostVariable+"="+s.module, pinVariable+"="+s.pin))
}

// startRaw runs what sends one command to the chip.
func (s *setting) startRaw(command []byte) *host {
	s.t.Helper()
	return s.start(append(s.environment(s.spec), rawVariable+"="+hex.EncodeToString(command)))
}

func (s *setting) start(environment []string) *host {
	s.t.Helper()
	command := exec.Command("/proc/self/exe")
	command.Env = environment
	command.Stderr = os.Stderr
	orders, err := command.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	results, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		orders.Close()
		if err := command.Wait(); err != nil {
			s.t.Errorf("host of the module: %v", err)
		}
	})
	return &host{t: s.t, orders: orders, results: bufio.NewReader(results)}
}

// sign has the host sign n times and returns the median time.
func (h *host) sign(n int) time.Duration {
	h.t.Helper()
	fmt.Fprintln(h.orders, n)
	var took int64
	if _, err := fmt.Fscanln(h.results, &took); err != nil {
		h.t.Fatalf("host of the module: %v", err)
	}
	return time.Duration(took)
}
