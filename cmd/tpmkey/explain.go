package main

import (
	"encoding/hex"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
)

// maxCommandText holds the largest command of a TPM as hex, with many blanks.
const maxCommandText = 64 << 10

// explain prints what the filter makes of a command: the verdict, the rule, the reason.
func (t *tool) explain(command string) error {
	f := filter.Default()
	var err error
	if t.filter.profile != "" {
		if f, err = t.profile(t.filter.profile); err != nil {
			return err
		}
	}
	if command == "-" {
		if command, err = t.readText("-", maxCommandText); err != nil {
			return err
		}
	}
	e, err := t.explanation(f, strings.Join(strings.Fields(command), ""))
	if err != nil {
		return err
	}
	if t.json {
		return t.printExplanationJSON(e)
	}
	return t.printExplanation(e)
}

// A code has at most eight digits, and the shortest command twenty.
const maxCodeDigits = 8

func (t *tool) explanation(f *filter.Filter, command string) (filter.Explanation, error) {
	if code, ok := filter.FindCommand(command); ok {
		return f.Explain(code, t.filter.uid), nil
	}
	digits := strings.TrimPrefix(strings.TrimPrefix(command, "0x"), "0X")
	bytes, err := hex.DecodeString(digits)
	switch {
	case command == "":
		return filter.Explanation{}, usageError("there is no command to explain")
	case err == nil && len(digits) > maxCodeDigits:
		return f.ExplainCommand(bytes, t.filter.uid), nil
	case strings.Trim(digits, "0123456789abcdefABCDEF") == "" && len(digits) > maxCodeDigits:
		return filter.Explanation{}, fmt.Errorf("a command of %d hex digits: the last byte has only one", len(digits))
	}
	return filter.Explanation{}, fmt.Errorf("%.40q is no TPM command; name one, as in \"tpmkey filter show rsa\", or give its code (0x126) or all of its bytes in hex", command)
}

func (t *tool) printExplanation(e filter.Explanation) error {
	w := tabwriter.NewWriter(t.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "command:\t%s\nverdict:\t%s\n", e.Command, verdict(e))
	for _, n := range e.Needs {
		fmt.Fprintf(w, "\t  %s; else %s\n", n.What, responseCode(n.Else))
	}
	if !e.Allowed {
		fmt.Fprintf(w, "reason:\t%s\nresponse:\t%s\n", e.Why, responseCode(e.RC))
	}
	for _, r := range e.Rules {
		fmt.Fprintf(w, "rule:\t%s\n\t%s\n", r.Name, strings.ReplaceAll(r.Text, "\n", "\n\t"))
	}
	return w.Flush()
}

func verdict(e filter.Explanation) string {
	text := "allow"
	switch {
	case !e.Allowed:
		return "deny"
	case e.Answered:
		text = "answer, without the chip"
	}
	switch {
	case len(e.Needs) > 0:
		return text + ", if"
	case e.Conditional:
		return text + ", if the conditions of the rule hold"
	}
	return text
}

// responseCode is a code in hex with the name that it has in Part 2.
func responseCode(rc tpm2.TPMRC) string {
	name, _, _ := strings.Cut(rc.Error(), ":")
	if !strings.HasPrefix(name, "TPM_RC_") {
		return fmt.Sprintf("0x%08X", uint32(rc))
	}
	return fmt.Sprintf("0x%X, %s", uint32(rc), name)
}
