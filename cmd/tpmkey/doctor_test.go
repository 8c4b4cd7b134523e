package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tpmkey.example/cmd/tpmkey/doctor"
	"tpmkey.example/rm/tpmtest"
)

var someFindings = []doctor.Finding{
	{Name: "tpm-opens", Asks: "does it?", Status: doctor.OK, Fact: "it does"},
	{Name: "boundary", Asks: "is it?", Status: doctor.Warn, Fact: "it is not", Fix: "make it one"},
}

// The worst finding is the exit code, whatever the form.
func TestReportStatus(t *testing.T) {
	for _, row := range []struct {
		findings []doctor.Finding
		want     error
	}{
		{nil, nil},
		{someFindings[:1], nil},
		{someFindings, reportedStatus(1)},
		{append(slices.Clone(someFindings), doctor.Finding{Status: doctor.Fail}), reportedStatus(2)},
	} {
		for _, form := range []bool{false, true} {
			tool := &tool{stdout: &bytes.Buffer{}, json: form}
			if err := tool.report(row.findings); !errors.Is(err, row.want) {
				t.Errorf("%d findings: %v, want %v", len(row.findings), err, row.want)
			}
		}
	}
}

// Whoever names the kernel's TPM wants to know whether there is one.
func TestNamesAnother(t *testing.T) {
	for _, row := range []struct {
		flag, variable string
		want           bool
	}{
		{"", "", false}, {"/dev/tpmrm0", "", false}, {"", "/dev/tpm0", false}, {"unix:/x", "", true}, {"", "broker:/x", true}, {"/dev/tpmrm0", "unix:/x", false},
	} {
		if got := namesAnother(row.flag, row.variable); got != row.want {
			t.Errorf("%q, %q: %v", row.flag, row.variable, got)
		}
	}
}

// What a person reads.
func TestReport(t *testing.T) {
	var text bytes.Buffer
	if err := (&tool{stdout: &text}).printReport(someFindings); err != nil {
		t.Fatal(err)
	}
	want := "ok    tpm-opens  it does\nwarn  boundary   it is not\n                 fix: make it one\n1 ok, 1 warn, 0 fail\n"
	if text.String() != want {
		t.Errorf("%s", &text)
	}
}

// What programs read, and the help names: fields may be added, and none may go.
func TestReportJSON(t *testing.T) {
	var text bytes.Buffer
	if err := (&tool{stdout: &text}).printReportJSON(someFindings); err != nil {
		t.Fatal(err)
	}
	var report map[string]any
	if err := json.Unmarshal(text.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]any{"ok": 1.0, "warn": 1.0, "fail": 0.0} {
		if report[field] != want {
			t.Errorf("%s is %v", field, report[field])
		}
	}
	second := report["checks"].([]any)[1].(map[string]any)
	for field, want := range map[string]any{"name": "boundary", "asks": "is it?", "status": "warn", "fact": "it is not", "fix": "make it one"} {
		if second[field] != want {
			t.Errorf("%s is %v", field, second[field])
		}
	}
	for _, field := range []string{"ok", "warn", "fail", "checks", "name", "asks", "status", "fact", "fix"} {
		if !regexp.MustCompile(`\b` + field + `\b`).MatchString(helpOf(t, "doctor")) {
			t.Errorf("the help does not name %q", field)
		}
	}
}

// A TPM that never answers does not keep the report from being made.
func TestDoctorHangingTPM(t *testing.T) {
	forever := make(chan struct{})
	spec := tpmtest.Serve(t, tpmtest.Func(func([]byte) ([]byte, error) { <-forever; return nil, errors.New("gone") }))
	t.Cleanup(func() { close(forever) })
	start := time.Now()
	output, err := command(t, spec, t.TempDir(), "doctor").Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || time.Since(start) > 30*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	if text := string(output); !strings.Contains(text, "fail  tpm-opens         no answer within 10s\n") || !strings.Contains(text, " fail\n") {
		t.Errorf("%s", output)
	}
}

// Ctrl-C ends it: with one error, no report, and nothing left in the TPM.
func TestInterruptedDoctor(t *testing.T) {
	interruptMaking(t, t.TempDir(), "doctor")
}
