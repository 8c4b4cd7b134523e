package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/term"
)

// patience is how long a person waits without wondering.
const patience = 500 * time.Millisecond

// slowCommands are what a chip takes seconds for.
var slowCommands = map[tpm2.TPMCC]string{
	tpm2.TPMCCCreate:        "making the key in the TPM",
	tpm2.TPMCCCreatePrimary: "making the key's parent in the TPM",
}

// waitingFor says what a command does.
func waitingFor(command []byte) string {
	if len(command) >= 10 {
		if what, ok := slowCommands[tpm2.TPMCC(binary.BigEndian.Uint32(command[6:]))]; ok {
			return what
		}
	}
	return "waiting for the TPM"
}

// showProgress runs work, and as long as it lasts shows a line about it on a terminal, once the person has been waiting for longer than patience. Nothing of
// it stays, and nothing goes into a pipe.
func (t *tool) showProgress(what string, work func()) {
	terminal, ok := t.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		work()
		return
	}
	if t.since.IsZero() {
		t.since = time.Now()
	}
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() { t.drawProgress(what, done) })
	defer group.Wait()
	defer close(done)
	work()
}

// drawProgress counts the seconds. It uses nothing but carriage returns and blanks, which every terminal knows.
func (t *tool) drawProgress(what string, done <-chan struct{}) {
	next := time.NewTimer(time.Until(t.since.Add(patience)))
	defer next.Stop()
	for width := 0; ; {
		select {
		case <-done:
			if width > 0 {
				fmt.Fprintf(t.stderr, "\r%s\r", strings.Repeat(" ", width))
			}
			return
		case <-next.C:
		}
		if t.interrupted() {
			what = "interrupted; waiting for the TPM to finish"
		}
		line := fmt.Sprintf("tpmkey: %s, %.0f s", what, time.Since(t.since).Seconds())
		fmt.Fprintf(t.stderr, "\r%-*s", width, line)
		width = max(width, len(line))
		next.Reset(time.Second / 4)
	}
}
