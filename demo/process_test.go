package main

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// newTestStage is a stage without programs of ours.
func newTestStage(t *testing.T, ctx context.Context) *stage {
	t.Helper()
	s, err := newStage(ctx, "/", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(s.dir); err == nil {
			t.Errorf("%s is left behind", s.dir)
		}
	})
	return s
}

func TestDaemonIsStoppedWithItsChildren(t *testing.T) {
	s := newTestStage(t, t.Context())
	d, err := s.start(nil, "sh", "-c", "trap '' TERM; sleep 1000 & echo child $!; wait; wait")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.awaitLine(d, "child"); err != nil {
		t.Fatal(err)
	}
	group := d.command.Process.Pid
	d.stop()
	for deadline := time.Now().Add(10 * time.Second); syscall.Kill(-group, 0) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the group lives on")
		}
	}
}

func TestDaemonThatEndsAtItsStart(t *testing.T) {
	s := newTestStage(t, t.Context())
	d, err := s.start(nil, "sh", "-c", "echo no chip >&2; exit 1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.awaitLine(d, "listening"); err == nil || !strings.Contains(err.Error(), "ended at its start") {
		t.Errorf("error %v", err)
	}
}

func TestInterruptedCommandIsKilledWithItsChildren(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newTestStage(t, ctx)
	time.AfterFunc(100*time.Millisecond, cancel)
	start := time.Now()
	if _, err := s.quietly(nil, "sh", "-c", "sleep 1000; true"); err == nil {
		t.Error("no error")
	}
	if time.Since(start) > 10*time.Second {
		t.Error("took as long as its child")
	}
}

func TestUserSeesNothingElse(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "/nowhere")
	t.Setenv("TPMKEY_LOG", "/nowhere")
	s := newTestStage(t, t.Context())
	output, err := s.quietly(s.user.credential, "env")
	if err != nil || strings.Contains(output, "/nowhere") || !strings.Contains(output, "TPMKEY_DEVICE=broker:") {
		t.Errorf("environment %s, error %v", output, err)
	}
	if output, err := s.quietly(s.user.credential, "id", "-u"); err != nil || os.Getuid() == 0 && output == "0\n" {
		t.Errorf("uid %s, error %v", output, err)
	}
}

func TestLogFind(t *testing.T) {
	var l log
	l.Write([]byte("first\ndenied uid=1 TPM2_Clear\ndenied half a li"))
	for _, row := range []struct {
		words []string
		want  string
	}{
		{[]string{"denied", "Clear"}, "denied uid=1 TPM2_Clear"},
		{[]string{"Clear", "first"}, ""},
		{[]string{"half"}, ""},
	} {
		if got := l.find(row.words); got != row.want {
			t.Errorf("%q: %q", row.words, got)
		}
	}
}
