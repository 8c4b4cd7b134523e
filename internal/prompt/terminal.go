package prompt

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func (a *asker) hasTerminal() bool {
	f, err := os.OpenFile(a.tty, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// terminal asks on the terminal, which shows nothing of what is typed. However it ends, the terminal is as it was.
func (a *asker) terminal(ctx context.Context, q Question) ([]byte, error) {
	fd, err := unix.Open(a.tty, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("could not be asked for: open %s: %w", a.tty, err)
	}
	tty := os.NewFile(uintptr(fd), a.tty) // non-blocking, so that a deadline ends a read
	defer tty.Close()
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("could not be asked for: %s: %w", a.tty, err)
	}
	silent := *before
	silent.Lflag = silent.Lflag&^unix.ECHO | unix.ICANON | unix.ISIG
	silent.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, unix.TCSETSF, &silent); err != nil {
		return nil, fmt.Errorf("could not be asked for: %s: %w", a.tty, err)
	}
	defer unix.IoctlSetTermios(fd, unix.TCSETSF, before)
	stop := context.AfterFunc(ctx, func() { tty.SetReadDeadline(time.Now()) })
	defer stop()
	fmt.Fprintf(tty, "%s: ", q.text())
	defer fmt.Fprintln(tty)
	return readLine(tty)
}

const maxLine = 256 // bytes: more than any PIN has

// readLine reads up to a line end, byte by byte: what was typed ahead belongs to somebody else.
func readLine(f *os.File) ([]byte, error) {
	line := make([]byte, 0, maxLine)
	for b := line[:1]; len(line) < maxLine; b = line[len(line) : len(line)+1] {
		n, err := f.Read(b)
		switch {
		case err != nil || n == 0:
			clear(line[:cap(line)])
			return nil, fmt.Errorf("%w: nothing more came from the terminal", ErrCancelled)
		case b[0] == '\n' || b[0] == '\r':
			return line, nil
		}
		if line = line[:len(line)+1]; len(line) == maxLine {
			break
		}
	}
	clear(line)
	return nil, fmt.Errorf("%w: more than %d bytes were typed", ErrCancelled, maxLine-1)
}
