package doctor

import (
	"context"
	"strings"
	"testing"
	"time"

	"tpmkey.example/rm/tpmtest"
)

const moment = 200 * time.Millisecond

func names(findings []Finding) (names string) {
	for _, f := range findings {
		names += f.Name + "=" + f.Status.String() + " "
	}
	return strings.TrimSpace(names)
}

func says(o outcome) func(*Machine) outcome { return func(*Machine) outcome { return o } }

// A check that hangs and one that breaks fail by themselves; all others are made, and reported in the order of the table.
func TestRun(t *testing.T) {
	forever := make(chan struct{})
	t.Cleanup(func() { close(forever) })
	table := []check{
		{"a", "?", moment, func(*Machine) outcome { <-forever; return ok("") }, nil},
		{"b", "?", moment, func(*Machine) outcome { panic("what\nnow") }, nil},
		{"c", "?", time.Minute, nil, func(*patient) outcome { return ok("a\x1b[31mb\nc") }},
		{"d", "?", moment, says(warn("do", "this")), nil},
		{"e", "?", moment, nil, func(p *patient) outcome { panic("too") }},
	}
	findings := run(context.Background(), table, nil, TPM{})
	if got, want := names(findings), "a=fail b=fail c=ok d=warn e=fail"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for i, want := range []string{"no answer within 200ms", "the check itself failed: what now", "a?[31mb c", "this", "the check itself failed: too"} {
		if findings[i].Fact != want {
			t.Errorf("%s: %q", findings[i].Name, findings[i].Fact)
		}
	}
	if !strings.Contains(findings[1].Fix, "run_test.go") {
		t.Errorf("fix %q does not say where", findings[1].Fix)
	}
	if Worst(findings) != Fail || Worst(findings[2:4]) != Warn || Worst(nil) != OK {
		t.Error("the gravest status does not count")
	}
}

// A TPM that hangs makes one failure, costs the time of one check, and keeps no check of the machine from being made.
func TestHangingTPM(t *testing.T) {
	forever := make(chan struct{})
	spec := tpmtest.Serve(t, tpmtest.Func(func([]byte) ([]byte, error) { <-forever; return nil, errGone }))
	t.Cleanup(func() { close(forever) })
	var table []check
	for _, c := range checks {
		if c.limit = moment; c.machine != nil {
			c.limit = time.Minute
		}
		table = append(table, c)
	}
	start := time.Now()
	findings := run(context.Background(), table, world{with: named}.machine(t), on(spec))
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	for i, f := range findings {
		switch {
		case f.Name == "tpm-opens":
			if f.Status != Fail || f.Fact != "no answer within 200ms" || !strings.Contains(f.Fix, "restart") {
				t.Errorf("%+v", f)
			}
		case checks[i].tpm != nil && (f.Status != Warn || f.Fact != "not checked: the TPM does not answer, see tpm-opens"):
			t.Errorf("%+v", f)
		case checks[i].machine != nil && (f.Fact == "" || strings.Contains(f.Fact, "no answer")):
			t.Errorf("%+v", f)
		}
	}
}

// The TPM is asked by one check at a time.
func TestOneAtATime(t *testing.T) {
	var table []check
	busy := make(chan struct{}, 1)
	for range 8 {
		table = append(table, check{"x", "?", time.Minute, nil, func(*patient) outcome {
			select {
			case busy <- struct{}{}:
			default:
				return fail("", "two at once")
			}
			time.Sleep(5 * time.Millisecond)
			<-busy
			return ok("alone")
		}})
	}
	if findings := run(context.Background(), table, nil, TPM{}); Worst(findings) != OK {
		t.Errorf("%+v", findings)
	}
}

// An interrupt ends the checks soon, and between commands of the TPM.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	spec := tpmtest.Simulator(t)
	chip := tpmtest.Dial(t, spec)
	sent := 0
	served := tpmtest.Serve(t, tpmtest.Func(func(command []byte) ([]byte, error) {
		if sent++; sent == 20 {
			cancel()
		}
		return chip.Send(command)
	}))
	start := time.Now()
	findings := Run(ctx, world{with: named}.machine(t), on(served))
	if took := time.Since(start); took > 20*time.Second || Worst(findings) != Fail {
		t.Errorf("%v, %s", took, names(findings))
	}
	chip.Close()
	tpmtest.NoLeaks(t, spec)
}

// The table has each name once, and names are kebab-case.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range checks {
		if seen[c.name] || c.name != strings.ToLower(c.name) || strings.ContainsAny(c.name, " _.") || !strings.HasSuffix(c.asks, "?") || c.limit == 0 || (c.machine == nil) == (c.tpm == nil) {
			t.Errorf("row %q", c.name)
		}
		seen[c.name] = true
	}
}
