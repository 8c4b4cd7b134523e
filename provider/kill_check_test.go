//go:build check

package provider

import (
	"errors"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// killedAt does a job in a process that is killed before it makes the n-th system call of the work, and after the one before. It tells whether there was an
// n-th.
func killedAt(t *testing.T, job, dir string, n int) bool {
	t.Helper()
	runtime.LockOSThread() // only this thread may trace
	defer runtime.UnlockOSThread()
	c := again(t, job, dir)
	pid, err := syscall.ForkExec(c.Path, c.Args, &syscall.ProcAttr{Env: c.Env, Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Ptrace: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGKILL)
	status := wait(t, pid)
	if err := unix.PtraceSetOptions(pid, unix.PTRACE_O_EXITKILL|unix.PTRACE_O_TRACESYSGOOD); err != nil {
		t.Fatal(err)
	}
	for counting, left := false, 2*n; !status.Exited(); status = wait(t, pid) {
		pass := 0
		switch signal := status.StopSignal(); {
		case signal == unix.SIGUSR1:
			counting = true
		case signal == unix.SIGTRAP|0x80: // a system call begins or ends; the first that ends is the one that sent the signal
			left--
		case signal != unix.SIGTRAP:
			pass = int(signal)
		}
		if left == 0 {
			syscall.Kill(pid, syscall.SIGKILL)
			wait(t, pid)
			return true
		}
		goOn := unix.PtraceCont
		if counting {
			goOn = unix.PtraceSyscall
		}
		if err := goOn(pid, pass); err != nil {
			t.Fatal(err)
		}
	}
	if status.ExitStatus() != 0 {
		t.Fatalf("%s: %v", job, status.ExitStatus())
	}
	return false
}

func wait(t *testing.T, pid int) (status unix.WaitStatus) {
	t.Helper()
	for {
		_, err := unix.Wait4(pid, &status, unix.WALL, nil)
		if err == nil {
			return status
		}
		if !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
	}
}

// Whoever is killed while it writes, at whatever step, leaves what was before or what shall be, and the next who writes tidies up.
func TestKilledAtEveryStep(t *testing.T) {
	const gone = ""
	for _, row := range []struct {
		job           string
		before, after string // private parts
		atLeast       int    // system calls that touch files
	}{
		{"add", gone, newPrivate, 20},
		{"replace", oldPrivate, newPrivate, 20},
		{"delete", oldPrivate, gone, 8},
	} {
		t.Run(row.job, func(t *testing.T) {
			seen, leftovers, n := map[string]int{}, 0, 1
			for ; ; n++ {
				dir := directoryWith(t, row.before)
				killed := killedAt(t, "traced "+row.job, dir, n)
				now := privateIn(t, dir)
				if now != row.before && now != row.after || !killed && now != row.after {
					t.Fatalf("killed at step %d: the key is %q", n, now)
				}
				seen[now]++
				leftovers += len(temporaryIn(t, dir))
				if err := tidies(dir, now); err != nil {
					t.Fatalf("after a kill at step %d: %v", n, err)
				}
				if left := temporaryIn(t, dir); len(left) > 0 {
					t.Fatalf("after a kill at step %d %v are left", n, left)
				}
				if !killed {
					break
				}
			}
			if n < row.atLeast || seen[row.before] < 2 || seen[row.after] < 2 || (leftovers == 0) != (row.job == "delete") {
				t.Errorf("killed at %d steps: %v, and %d temporary files were left", n, seen, leftovers)
			}
			t.Logf("killed at %d steps: %v, %d temporary files left until the next process wrote", n, seen, leftovers)
		})
	}
}

// tidies writes to the directory once more: another key than the one that it may have.
func tidies(dir, now string) error {
	if now == "" {
		return do(addKey, dir)
	}
	return do(func(dir string) (func() error, error) { return replaceBy(dir, now, "yet another private part") }, dir)
}
