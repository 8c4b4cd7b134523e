//go:build bench

package bench

import (
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tpmkey.example/bench/table"
)

const starts = 5 * rounds

// starting is how long a user waits whose connection starts tpmkeyd: to the first answer of a chip that nobody has used before.
func (s *site) starting(t *testing.T) []table.Row {
	var all []time.Duration
	t.Run("start of tpmkeyd", func(t *testing.T) {
		here := newChip(t)
		for range starts {
			all = append(all, here.startToAnswer(t))
		}
	})
	return []table.Row{{ID: "between/start", Part: table.Between, What: "start of tpmkeyd to its first answer", Unit: table.Milliseconds, Bound: table.AtMost(30),
		Cells: table.Cells{table.Tpmkey: inMS(all)}}}
}

// startToAnswer starts a service, asks it for random bytes as soon as it can be asked, and ends it.
func (s *setting) startToAnswer(t *testing.T) time.Duration {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "tpms.sock")
	service := s.command(filepath.Join(s.build, "tpmkeyd"), "-device", s.spec, "-listen", socket, "-state", dir)
	begin := time.Now()
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		service.Process.Signal(unix.SIGTERM)
		if err := service.Wait(); err != nil {
			t.Error(err)
		}
	}()
	for time.Since(begin) < time.Minute {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			time.Sleep(100 * time.Microsecond)
			continue
		}
		defer conn.Close()
		response := make([]byte, 10)
		conn.SetDeadline(begin.Add(time.Minute))
		if _, err = conn.Write(getRandom()); err == nil {
			_, err = io.ReadFull(conn, response)
		}
		if err != nil || string(response[6:]) != "\x00\x00\x00\x00" {
			t.Fatalf("%x, %v", response, err)
		}
		return time.Since(begin)
	}
	t.Fatal("no answer within a minute")
	return 0
}
