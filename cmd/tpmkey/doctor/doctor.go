// Package doctor looks at a machine, its TPM and a person's keys, and says what is well, what is not, and how to mend it. It changes nothing, and leaves
// nothing behind in the TPM. Nothing that it says tells the machine from others: no endorsement key, no serial number.
package doctor

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// A Status says how grave a finding is.
type Status int

// The greater one counts.
const (
	OK   Status = iota
	Warn        // it works, or nobody can tell; something should be done or known
	Fail        // it does not work, or is not safe
)

// String is how it is written.
func (s Status) String() string { return [...]string{"ok", "warn", "fail"}[s] }

// A Finding is what a check has found.
type Finding struct {
	Name string // of the check
	Asks string // what the check asks
	Status
	Fact string // what was seen
	Fix  string // what to do about it, "" where nothing is to be done
}

// outcome is a finding of a check that does not know its name.
type outcome struct {
	Status
	fact, fix string
}

func ok(format string, args ...any) outcome { return outcome{OK, fmt.Sprintf(format, args...), ""} }

func warn(fix, format string, args ...any) outcome {
	return outcome{Warn, fmt.Sprintf(format, args...), fix}
}

func fail(fix, format string, args ...any) outcome {
	return outcome{Fail, fmt.Sprintf(format, args...), fix}
}

// A check is one row of the table. It looks at the machine, or else at the TPM.
type check struct {
	name    string
	asks    string
	limit   time.Duration // after which it has failed
	machine func(*Machine) outcome
	tpm     func(*patient) outcome
}

// Run makes all checks and gives their findings in the order of the table. Those of the machine run side by side, those of the TPM one after the other: it does
// one thing at a time, and its latency is measured. When ctx ends, what is under way is given up.
func Run(ctx context.Context, m *Machine, tpm TPM) []Finding { return run(ctx, checks, m, tpm) }

func run(ctx context.Context, checks []check, m *Machine, tpm TPM) []Finding {
	findings := make([]Finding, len(checks))
	var group sync.WaitGroup
	for i, c := range checks {
		if c.machine != nil {
			group.Go(func() {
				o, _ := within(ctx, c.limit, func() outcome { return c.machine(m) })
				findings[i] = c.found(o)
			})
		}
	}
	p := newPatient(ctx, tpm)
	for i, c := range checks {
		if c.tpm != nil {
			findings[i] = c.found(p.examine(c))
		}
	}
	group.Wait()
	return findings
}

func (c check) found(o outcome) Finding {
	return Finding{Name: c.name, Asks: c.asks, Status: o.Status, Fact: oneLine(o.fact), Fix: oneLine(o.fix)}
}

// within gives what work finds, or that it took too long: then it is left to itself.
func within(ctx context.Context, limit time.Duration, work func() outcome) (o outcome, ended bool) {
	done := make(chan outcome, 1)
	go func() { done <- caught(work) }()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	select {
	case o := <-done:
		return o, true
	case <-timeout.C:
		return fail("", "no answer within %v", limit), false
	case <-ctx.Done():
		return fail("", "interrupted"), false
	}
}

// caught makes a failure of a check of what would end the program.
func caught(work func() outcome) (o outcome) {
	defer func() {
		if r := recover(); r != nil {
			o = fail("report this as a fault of tpmkey: "+firstFrame(), "the check itself failed: %v", r)
		}
	}()
	return work()
}

// firstFrame names the place at which a check failed: the line below the panic.
func firstFrame() string {
	lines := stackLines(debug.Stack())
	for i, line := range lines {
		if i > 0 && i+3 < len(lines) && len(line) > 5 && line[:5] == "panic" {
			return lines[i+3]
		}
	}
	return "no trace"
}

// Worst is the gravest status among the findings.
func Worst(findings []Finding) Status {
	worst := OK
	for _, f := range findings {
		worst = max(worst, f.Status)
	}
	return worst
}
