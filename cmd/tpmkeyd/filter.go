package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"tpmkey.example/filter"
)

const maxProfile = 1 << 20 // bytes of a profile's text: far more than any needs

// readFilter gives a built-in profile, or the one in a file: what has a slash in it is a path.
func readFilter(name string) (*filter.Filter, error) {
	if !strings.Contains(name, "/") {
		f, err := filter.Named(name)
		if err != nil {
			err = fmt.Errorf("%w; name one, or a file by a path with a slash in it: ./%s", err, name)
		}
		return f, err
	}
	text, err := readTrusted(name)
	if err != nil {
		return nil, err
	}
	f, err := filter.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// readTrusted reads a file that nobody can write but root and who runs this service.
func readTrusted(path string) (string, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer file.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return "", fmt.Errorf("%s: not a file", path)
	case st.Uid != 0 && int(st.Uid) != os.Geteuid(), st.Mode&0o022 != 0:
		return "", fmt.Errorf("%s: others may write it; run: chown root %s && chmod 644 %s", path, path, path)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxProfile+1))
	if err == nil && len(text) > maxProfile {
		err = fmt.Errorf("%s: more than %d bytes; that is no profile", path, maxProfile)
	}
	return string(text), err
}
