//go:build check

package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var stressSeconds = flag.Int("seconds", 60, "how long TestStress lasts")

// growth is what the median of the last third may be of that of the second one. In a short run caches and stacks are still filling up.
const growth, fillingUp = 1.05, 2 << 10 // KiB

// A host that does everything at once does not grow, nor does a helper that lives as long.
func TestStress(t *testing.T) {
	s := newShared(t)
	c := exec.Command(hostInC(t, "stress"), module(t), "mixed", strconv.Itoa(*stressSeconds))
	c.Env = append(s.environment(), "TPMKEY_LOG="+filepath.Join(s.home, "log"))
	var complaints strings.Builder
	c.Stderr = &complaints
	in, out := pipes(t, c)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(out)
	if !said.Scan() || said.Text() != "ready" {
		t.Fatalf("the host says %q\n%s", said.Text(), complaints.String())
	}
	long := helpers(t)
	if len(long) != 1 {
		t.Fatalf("helpers %v", long)
	}
	memory := map[string][]int{}
	done := make(chan bool)
	go func() {
		defer close(done)
		sample(t, time.Duration(*stressSeconds)*time.Second, map[string]int{"host": c.Process.Pid, "helper": long[0]}, memory)
	}()
	io.WriteString(in, "\n")
	for said.Scan() {
		t.Log(said.Text())
	}
	<-done
	if err := c.Wait(); err != nil {
		log, _ := os.ReadFile(filepath.Join(s.home, "log"))
		t.Errorf("%v\n%s%s", err, complaints.String(), log[max(0, len(log)-2000):])
	}
	for _, name := range []string{"host", "helper"} {
		wantFlat(t, name, memory[name])
	}
	noHelpers(t)
}

// sample reads the memory of processes every second, and tells it every minute.
func sample(t *testing.T, how time.Duration, pids map[string]int, memory map[string][]int) {
	begin := time.Now()
	minute := 0
	for ; time.Since(begin) < how; time.Sleep(time.Second) {
		for name, pid := range pids {
			if kib := residentKiB(pid); kib > 0 {
				memory[name] = append(memory[name], kib)
			}
		}
		if now := int(time.Since(begin).Minutes()); now > minute && len(memory["host"]) > 0 && len(memory["helper"]) > 0 {
			minute = now
			t.Logf("minute %d: host %d KiB, helper %d KiB", minute, memory["host"][len(memory["host"])-1], memory["helper"][len(memory["helper"])-1])
		}
	}
}

// residentKiB is VmRSS of proc(5), 0 where the process is not there any more.
func residentKiB(pid int) (kib int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			fmt.Sscan(value, &kib)
		}
	}
	return kib
}

func wantFlat(t *testing.T, name string, kib []int) {
	t.Helper()
	if len(kib) < 9 {
		t.Fatalf("%s: only %d samples", name, len(kib))
	}
	second, last := median(kib[len(kib)/3:2*len(kib)/3]), median(kib[2*len(kib)/3:])
	t.Logf("%s: %d samples, median of the second third %d KiB, of the last %d KiB", name, len(kib), second, last)
	most := int(float64(second) * growth)
	if *stressSeconds < 600 {
		most += fillingUp
	}
	if last > most {
		t.Errorf("%s: grew from %d to %d KiB", name, second, last)
	}
}

func median(list []int) int {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}
