package provider

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// swap puts links to another file in the place of files that are being written, as whoever owns the directory can, until stop is closed.
func swap(dir, victim string, stop <-chan struct{}) (swapped int) {
	for {
		select {
		case <-stop:
			return swapped
		default:
		}
		entries, _ := os.ReadDir(dir)
		for _, entry := range entries {
			path := filepath.Join(dir, entry.Name())
			if strings.HasPrefix(entry.Name(), temporary) && os.Remove(path) == nil && os.Symlink(victim, path) == nil {
				swapped++
			}
		}
	}
}

// Whoever owns a key directory cannot have another file's owner and mode changed by whoever writes there: root, for one.
func TestFilesThatAreSwapped(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "victim")
	check(t, os.WriteFile(victim, nil, 0o644))
	for _, write := range []string{"rename", "replace"} {
		t.Run(write, func(t *testing.T) {
			for swapped := 0; swapped < 200; {
				dir := renameable(t)
				check(t, os.Chmod(filepath.Join(dir, "web.pem"), 0o400))
				k, err := Open([]string{dir}, nil).Key("web")
				check(t, err)
				stop, ended := make(chan struct{}), make(chan int)
				go func() { ended <- swap(dir, victim, stop) }()
				if write == "rename" {
					k.provider.Rename(k, "mail")
				} else {
					k.provider.store.replace(k, k)
				}
				close(stop)
				swapped += <-ended
			}
			if info, err := os.Stat(victim); err != nil || info.Mode().Perm() != 0o644 {
				t.Errorf("the other file's mode is %v, %v", info.Mode(), err)
			}
		})
	}
}
