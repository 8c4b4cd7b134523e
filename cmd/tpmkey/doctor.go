package main

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"tpmkey.example/cmd/tpmkey/doctor"
	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
)

const doctorDetails = `
Looks at the machine, its TPM, the keys and ssh, and says of each check whether it is
ok, warn or fail, what was seen, and what to do. It makes trial keys in the TPM, which
are gone when it ends, and changes nothing. The report does not tell the machine from
others: no endorsement key, no serial number.

The exit code is 0 if all is ok, 1 if something is to be warned of, 2 if something
failed. A wrong command line gives 2 as well, with an error and no report.

  -json         a JSON object: ok, warn, fail (how many), checks: an array of name,
                asks (what the check asks), status, fact, fix ("": nothing to do)
`

// A reportedStatus is an exit code that the report on standard output explains.
type reportedStatus int

func (s reportedStatus) Error() string { return fmt.Sprintf("exit code %d", int(s)) }

// reportFields is a report, and findingFields a line of it.
type reportFields struct {
	OK     int             `json:"ok"`
	Warn   int             `json:"warn"`
	Fail   int             `json:"fail"`
	Checks []findingFields `json:"checks"`
}

type findingFields struct {
	Name   string `json:"name"`
	Asks   string `json:"asks"`
	Status string `json:"status"`
	Fact   string `json:"fact"`
	Fix    string `json:"fix"`
}

// runDoctor makes all checks.
func runDoctor(t *tool, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	dirs := provider.DefaultDirs()
	if t.dir != "" {
		dirs = []string{t.dir}
	}
	machine := doctor.This()
	machine.Home, _ = sshHome() // without one ssh has no configuration either
	machine.Dirs, machine.Module = dirs, modulePath()
	machine.Named = namesAnother(t.device, os.Getenv("TPMKEY_DEVICE"))
	tpm := doctor.TPM{Open: func() (doctor.Device, error) { return device.Open(t.device) }, NamedBy: t.deviceNamedBy(), Dirs: dirs, Owner: t.owner, Probe: t.probe(machine.Module)}
	stopping := t.interrupts()
	var findings []doctor.Finding
	t.showProgress("looking at the machine and its TPM", func() { findings = doctor.Run(stopping, machine, tpm) })
	if t.interrupted() {
		return errInterrupted
	}
	return t.report(findings)
}

// namesAnother tells whether the first spec that is there names another TPM than the kernel's.
func namesAnother(specs ...string) bool {
	spec := cmp.Or(specs...)
	return spec != "" && !strings.HasPrefix(spec, "/dev/tpm")
}

// deviceNamedBy is what names the TPM, "" where nothing does.
func (t *tool) deviceNamedBy() string {
	switch {
	case t.device != "":
		return "-device"
	case os.Getenv("TPMKEY_DEVICE") != "":
		return "TPMKEY_DEVICE"
	}
	return ""
}

// report prints the findings, and gives the exit code for them.
func (t *tool) report(findings []doctor.Finding) error {
	write := t.printReport
	if t.json {
		write = t.printReportJSON
	}
	if err := write(findings); err != nil {
		return err
	}
	if worst := doctor.Worst(findings); worst != doctor.OK {
		return reportedStatus(worst)
	}
	return nil
}

func (t *tool) printReport(findings []doctor.Finding) error {
	width := 0
	for _, f := range findings {
		width = max(width, len(f.Name))
	}
	for _, f := range merged(findings) {
		fmt.Fprintf(t.stdout, "%-4s  %-*s  %s\n", f.Status, width, f.Name, f.Fact)
		if f.Fix != "" {
			fmt.Fprintf(t.stdout, "      %*s  fix: %s\n", width, "", f.Fix)
		}
	}
	r := reportOf(findings)
	_, err := fmt.Fprintf(t.stdout, "%d ok, %d warn, %d fail\n", r.OK, r.Warn, r.Fail)
	return err
}

// merged makes one line of findings in a row that say the same, as those of a TPM that does not open.
func merged(findings []doctor.Finding) (lines []doctor.Finding) {
	for len(findings) > 0 {
		first, same := findings[0], 1
		var others []string
		for ; same < len(findings) && alike(first, findings[same]); same++ {
			others = append(others, findings[same].Name)
		}
		if len(others) > 0 {
			first.Fact += "; the same of " + strings.Join(others, ", ")
		}
		lines, findings = append(lines, first), findings[same:]
	}
	return lines
}

func alike(a, b doctor.Finding) bool {
	return a.Status == b.Status && a.Fact == b.Fact && a.Fix == b.Fix
}

func (t *tool) printReportJSON(findings []doctor.Finding) error {
	return t.printJSON(reportOf(findings))
}

func reportOf(findings []doctor.Finding) reportFields {
	r := reportFields{Checks: []findingFields{}}
	counts := map[doctor.Status]*int{doctor.OK: &r.OK, doctor.Warn: &r.Warn, doctor.Fail: &r.Fail}
	for _, f := range findings {
		*counts[f.Status]++
		r.Checks = append(r.Checks, findingFields{f.Name, f.Asks, f.Status.String(), f.Fact, f.Fix})
	}
	return r
}
