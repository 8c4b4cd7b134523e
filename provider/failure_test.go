package provider

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// onFullDisk lets no file grow beyond some bytes, which for the one who writes is the same but for the words.
func onFullDisk(j job) job {
	return func(dir string) (func() error, error) {
		work, err := j(dir)
		signal.Ignore(unix.SIGXFSZ)
		return work, errors.Join(err, unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 100, Max: 100}))
	}
}

// replaceWithOwn replaces the key by one that no other process makes.
func replaceWithOwn(dir string) (func() error, error) {
	return replaceBy(dir, oldPrivate, fmt.Sprint("of process ", os.Getpid()))
}

// A change that cannot be written leaves the file as it was, no others, and says why.
func TestWriteFails(t *testing.T) {
	for name, row := range map[string]struct {
		job     string
		before  string
		prepare func(t *testing.T, dir string)
		says    string
	}{
		"full disk":           {"replace on a full disk", oldPrivate, nothing, "file too large"},
		"full disk, new key":  {"add on a full disk", "", nothing, "file too large"},
		"changed meanwhile":   {"replace", "of somebody else", nothing, "web.pem has changed meanwhile; try again"},
		"deleted meanwhile":   {"replace", "", nothing, "no such file"},
		"damaged meanwhile":   {"replace", oldPrivate, damage, "web.pem has changed meanwhile"},
		"readable meanwhile":  {"replace", oldPrivate, func(t *testing.T, dir string) { chmod(t, dir+"/web.pem", 0o644) }, "others may read or change"},
		"taken meanwhile":     {"add", oldPrivate, nothing, "a key of that name exists"},
		"read-only directory": {"replace", oldPrivate, func(t *testing.T, dir string) { chmod(t, dir, 0o500) }, "permission denied"},
		"delete in one":       {"delete", oldPrivate, func(t *testing.T, dir string) { chmod(t, dir, 0o500) }, "permission denied"},
		"no directory":        {"add", "", func(t *testing.T, dir string) { check(t, os.Remove(dir)) }, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := directoryWith(t, row.before)
			row.prepare(t, dir)
			before := contents(dir)
			c := asNobody(t, again(t, row.job, dir), dir)
			if said, err := output(c); err == nil || !strings.Contains(said, row.says) {
				t.Errorf("said %q, %v", said, err)
			}
			if after := contents(dir); after != before {
				t.Errorf("the directory had\n%safterwards\n%s", before, after)
			}
		})
	}
}

func nothing(*testing.T, string) {}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	check(t, os.Chmod(path, mode))
	t.Cleanup(func() { os.Chmod(path, 0o700) })
}

func damage(t *testing.T, dir string) {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(dir, "web.pem"), []byte(readAll(t, dir)[:300]), keyMode))
}

// contents lists names and contents, but for the lock's.
func contents(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "nothing\n"
	}
	var list strings.Builder
	for _, entry := range entries {
		if entry.Name() != lockFile {
			text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
			fmt.Fprintln(&list, entry.Name(), err, string(text))
		}
	}
	return list.String()
}

// asNobody gives a directory to a user for whom its mode counts, which is not root, and runs the command as that user.
func asNobody(t *testing.T, c *exec.Cmd, dir string) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		return c
	}
	const nobody = 65534
	check(t, os.Chmod(filepath.Dir(dir), 0o711))
	paths, err := filepath.Glob(dir + "/.[a-z]*")
	check(t, err)
	more, err := filepath.Glob(dir + "/*")
	check(t, err)
	for _, path := range append(append(paths, more...), dir) {
		if err := os.Chown(path, nobody, nobody); !os.IsNotExist(err) {
			check(t, err)
		}
	}
	c.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	c.Path = "/proc/self/exe" // the directory that go test builds in is not everybody's
	return c
}

// Of many processes that change a key at once one succeeds, and the others say that somebody was faster.
func TestChangedAtOnce(t *testing.T) {
	dir := directoryWith(t, oldPrivate)
	const processes = 8
	var wg sync.WaitGroup
	var said [processes]string
	var pids [processes]int
	var errs [processes]error
	for i := range processes {
		c := again(t, "replace, own", dir)
		c.SysProcAttr.Pdeathsig = 0 // the thread that starts it may end before
		wg.Go(func() {
			said[i], errs[i] = output(c)
			pids[i] = c.Process.Pid
		})
	}
	wg.Wait()
	winner := ""
	for i, err := range errs {
		switch {
		case err == nil && winner == "":
			winner = fmt.Sprint("of process ", pids[i])
		case err == nil:
			t.Errorf("process %d was told that it had succeeded too", pids[i])
		case !strings.Contains(said[i], "has changed meanwhile"):
			t.Errorf("process %d: %s, %v", pids[i], said[i], err)
		}
	}
	if now := privateIn(t, dir); now != winner || winner == "" {
		t.Errorf("the key is %q, and the process that succeeded wrote %q", now, winner)
	}
	if left := temporaryIn(t, dir); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

// Whoever may only read the directory cannot lock it, and somebody who keeps it locked is not waited for for ever.
func TestLock(t *testing.T) {
	dir := directoryWith(t, oldPrivate)
	other, err := os.Open(dir)
	check(t, err)
	defer other.Close()
	check(t, unix.Flock(int(other.Fd()), unix.LOCK_EX))
	check(t, do(replaceKey, dir))
	var st unix.Stat_t
	check(t, unix.Stat(filepath.Join(dir, lockFile), &st))
	if st.Mode&0o777 != 0o600 {
		t.Errorf("the lock has mode %04o", st.Mode&0o777)
	}
	unlock, err := lockDir(dir)
	check(t, err)
	defer unlock()
	again, err := openLock(dir)
	check(t, err)
	defer again.Close()
	if err := waitForLock(again, 2); err == nil || !strings.Contains(err.Error(), "another process has kept it") {
		t.Errorf("a lock that is not given back: %v", err)
	}
}
