package doctor

import (
	"crypto"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// An operation is one row of the rating. The bounds lie around what is published of discrete chips: 70 to 250 ms for a signature, 1.6 to 7.5 s for an RSA key,
// 84 to 231 ms for an ECC P-256 primary, 0.8 s for loading an RSA key into a slow one.
type operation struct {
	name       string
	commands   []tpm2.TPMCC // the first that was sent counts
	fast, slow time.Duration
	helps      string // when it is slow
}

var operations = []operation{
	{"create", []tpm2.TPMCC{tpm2.TPMCCCreate}, 1500 * time.Millisecond, 8 * time.Second, "make keys ahead of the need"},
	{"load", []tpm2.TPMCC{tpm2.TPMCCLoad}, 50 * time.Millisecond, 800 * time.Millisecond, "let programs run on, so that keys stay loaded"},
	{"sign", []tpm2.TPMCC{tpm2.TPMCCSign}, 70 * time.Millisecond, 250 * time.Millisecond, "let connections live on: ControlMaster of ssh, session tickets of TLS"},
	{"parent", []tpm2.TPMCC{tpm2.TPMCCCreatePrimary, tpm2.TPMCCReadPublic}, 80 * time.Millisecond, 250 * time.Millisecond, "make it persistent: " + persistSRK},
}

// rate calls a time fast, usual or slow.
func (o operation) rate(took time.Duration) string {
	switch {
	case took < o.fast:
		return "fast"
	case took <= o.slow:
		return "usual"
	}
	return "slow"
}

// How often things are tried, and for how long at most: a slow chip makes few rounds. A manager lets its clients make keys for half a minute at a time, most of
// which is left to the person.
const (
	loads           = 5
	signsPerLoad    = 3
	creates         = 3
	latencyPatience = 20 * time.Second
	createPatience  = 5 * time.Second
)

// latency is the check latency. No other check talks to the TPM meanwhile; other programs may.
func latency(p *patient) outcome {
	return p.withTrial(func() outcome {
		if err := p.exercise(); err != nil {
			return fail("", "%v", err)
		}
		return rating(p.timesOf)
	})
}

// rating says of each operation how long it took as a rule.
func rating(times func(operation) []time.Duration) outcome {
	var facts, fixes []string
	for _, o := range operations {
		took := times(o)
		if len(took) == 0 {
			continue
		}
		typical := median(took)
		facts = append(facts, fmt.Sprintf("%s %s (%s, median of %d)", o.name, inWords(typical), o.rate(typical), len(took)))
		if o.rate(typical) == "slow" {
			fixes = append(fixes, o.name+": "+o.helps)
		}
	}
	return outcome{worstOf(len(fixes)), strings.Join(facts, ", "), strings.Join(fixes, "; ")}
}

func worstOf(slow int) Status {
	if slow > 0 {
		return Warn
	}
	return OK
}

// exercise loads, signs and creates, as often as there is time for.
func (p *patient) exercise() error {
	digest := sha256.Sum256([]byte(signed))
	until := time.Now().Add(latencyPatience)
	for i := 0; i < loads && (i == 0 || time.Now().Before(until)); i++ {
		for range signsPerLoad {
			if _, err := p.trial.SignPKCS1v15(crypto.SHA256, digest[:]); err != nil {
				return err
			}
		}
		p.endTrial() // so that it is loaded anew
	}
	for i := 1; i < creates && sum(p.times(tpm2.TPMCCCreate)) < createPatience; i++ {
		if _, err := p.trials.Trial(); err != nil {
			return err
		}
		p.endTrial()
	}
	return nil
}

func (p *patient) timesOf(o operation) []time.Duration {
	for _, code := range o.commands {
		if took := p.times(code); len(took) > 0 {
			return took
		}
	}
	return nil
}

func sum(times []time.Duration) (total time.Duration) {
	for _, t := range times {
		total += t
	}
	return total
}

func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[len(sorted)/2]
}

// inWords has no more digits than can be believed.
func inWords(d time.Duration) string {
	switch ms := float64(d) / float64(time.Millisecond); {
	case ms >= 1000:
		return fmt.Sprintf("%.1f s", ms/1000)
	case ms >= 10:
		return fmt.Sprintf("%.0f ms", ms)
	default:
		return fmt.Sprintf("%.1f ms", ms)
	}
}
