package prompt

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os/exec"
	"strings"
	"time"
)

func (a *asker) hasPinentry() bool { return a.hasDisplay() && a.find(pinentryProgram) != "" }

const pinentryProgram = "pinentry"

// pinentry speaks the Assuan protocol of GnuPG's pinentry programs: a line each way, "OK" or "ERR" at the end of each answer, "D" before data.
func (a *asker) pinentry(ctx context.Context, q Question) (pin []byte, err error) {
	c := exec.CommandContext(ctx, a.find(pinentryProgram))
	c.WaitDelay = time.Second
	in, err1 := c.StdinPipe()
	out, err2 := c.StdoutPipe()
	if err := errors.Join(err1, err2, c.Start()); err != nil {
		return nil, fmt.Errorf("could not be asked for: %w", err)
	}
	defer c.Wait()
	defer in.Close()
	e := &entry{to: in, from: bufio.NewReaderSize(out, maxLine)}
	if _, err := e.answer(); err != nil {
		return nil, err
	}
	for _, line := range []string{"SETTITLE tpmkey", "SETDESC " + escape(q.text()), "SETPROMPT PIN:"} {
		if _, err := e.ask(line); err != nil {
			return nil, err
		}
	}
	return e.ask("GETPIN")
}

// An entry is a conversation with a pinentry.
type entry struct {
	to   io.Writer
	from *bufio.Reader
}

func (e *entry) ask(line string) ([]byte, error) {
	if _, err := fmt.Fprintf(e.to, "%s\n", line); err != nil {
		return nil, fmt.Errorf("%w: pinentry: %w", ErrCancelled, err)
	}
	return e.answer()
}

func (e *entry) answer() (data []byte, err error) {
	for {
		line, err := e.from.ReadSlice('\n')
		if err != nil {
			clear(data)
			return nil, fmt.Errorf("%w: pinentry ended: %w", ErrCancelled, err)
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case bytes.HasPrefix(line, []byte("D ")):
			data = append(data, unescape(line[2:])...)
		case bytes.Equal(line, []byte("OK")) || bytes.HasPrefix(line, []byte("OK ")):
			return data, nil
		case bytes.HasPrefix(line, []byte("ERR ")):
			return nil, fmt.Errorf("%w: pinentry says %q", ErrCancelled, line)
		}
		clear(line) // comments and status lines are passed over
	}
}

// escape writes text into an Assuan line.
func escape(text string) string {
	return strings.NewReplacer("%", "%25", "\n", "%0A", "\r", "%0D").Replace(text)
}

// unescape reads data of an Assuan line. What is no escape stands for itself.
func unescape(data []byte) []byte {
	text, err := url.PathUnescape(string(data))
	if err != nil {
		return bytes.Clone(data)
	}
	return []byte(text)
}
