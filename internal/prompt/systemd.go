package prompt

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

const systemdProgram = "systemd-ask-password"

// hasSystemd tells whether a question would be seen: it waits in a directory for an agent, for five minutes if there is none.
func (a *asker) hasSystemd() bool {
	return a.find(systemdProgram) != "" && unix.Access(a.questions, unix.W_OK) == nil && a.watched()
}

func (a *asker) systemd(ctx context.Context, q Question) ([]byte, error) {
	if q.Notice != nil {
		notice := fmt.Sprintf("waiting for the %s in %s: answer with systemd-tty-ask-password-agent", q.text(), a.questions)
		if q.Instead != "" {
			notice += ", or interrupt this and " + q.Instead
		}
		q.Notice(notice)
	}
	return answerOf(exec.CommandContext(ctx, a.find(systemdProgram), "--no-tty", "--id=tpmkey:"+q.Key, "--icon=drive-harddisk", "--", q.text()+":"))
}

// watched tells whether somebody looks for questions: systemd where it runs (sd_booted(3)), which calls an agent, or an agent by itself.
func (a *asker) watched() bool {
	var dir unix.Stat_t
	if unix.Access(filepath.Join(filepath.Dir(a.questions), "system"), unix.F_OK) == nil {
		return true
	}
	if unix.Stat(a.questions, &dir) != nil {
		return false
	}
	// The device is written as the kernel has it, not as stat(2) tells it (fs/notify/fdinfo.c).
	watch := fmt.Appendf(nil, " ino:%x sdev:%x ", dir.Ino, uint64(unix.Major(dir.Dev))<<20|uint64(unix.Minor(dir.Dev)))
	descriptors, _ := filepath.Glob("/proc/[0-9]*/fdinfo/*")
	return slices.ContainsFunc(descriptors, func(path string) bool {
		info, _ := os.ReadFile(path)
		return bytes.Contains(info, watch)
	})
}
