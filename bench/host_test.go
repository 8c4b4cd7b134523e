//go:build bench

package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// host is a running testdata/signing.c: a program in C that signs with the module's only key.
type host struct {
	t       *testing.T
	pid     int
	threads int
	orders  io.WriteCloser
	results *bufio.Reader
}

// signed is what signatures took: the median of one, all of them together, and the time of processors.
type signed struct{ median, all, cpu time.Duration }

// startHost runs a host whose chip has the spec. It ends with the test.
func (s *setting) startHost(spec string, threads int) *host {
	s.t.Helper()
	program := filepath.Join(s.home, "signing")
	compile(s.t, program, "testdata/signing.c", "-I/usr/include/p11-kit-1", "-ldl", "-lpthread")
	command := s.command(program, s.module, fmt.Sprint(threads))
	command.Env = append(s.environment(spec), "TPMKEY_BENCH_PIN="+s.pin)
	orders, results := s.talkTo(command)
	return &host{t: s.t, pid: command.Process.Pid, threads: threads, orders: orders, results: results}
}

// sign has each thread sign n times.
func (h *host) sign(n int) (s signed) {
	h.t.Helper()
	fmt.Fprintln(h.orders, n)
	if _, err := fmt.Fscanln(h.results, &s.median, &s.all, &s.cpu); err != nil {
		h.t.Fatalf("host of the module: %v", err)
	}
	return s
}

// peak is the most memory that the host had, in KiB (VmHWM, proc(5)).
func (h *host) peak() float64 {
	h.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.pid))
	if err != nil {
		h.t.Fatal(err)
	}
	var most float64
	_, line, _ := bytes.Cut(status, []byte("VmHWM:"))
	if _, err := fmt.Sscan(string(line), &most); err != nil {
		h.t.Fatal("VmHWM: ", err)
	}
	return most
}
