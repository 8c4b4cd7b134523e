package main

import (
	"encoding/hex"
	"encoding/pem"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"tpmkey.example/attest"
	"tpmkey.example/filter"
	"tpmkey.example/provider"
)

// What -json prints of things that are no keys. What json.go says of its fields holds for these too.

// profileFields is a profile of the filter.
type profileFields struct {
	Name    string `json:"name"`
	Default bool   `json:"default"`
	Purpose string `json:"purpose"`
}

// explanationFields is what the filter makes of a command.
type explanationFields struct {
	Command     string       `json:"command"`
	Verdict     string       `json:"verdict"`
	Conditional bool         `json:"conditional"`
	Reason      string       `json:"reason"`
	Response    string       `json:"response"`
	Needs       []needFields `json:"needs"`
	Rules       []ruleFields `json:"rules"`
}

type needFields struct {
	What string `json:"what"`
	Else string `json:"else"`
}

type ruleFields struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// verdictFields is what verify found.
type verdictFields struct {
	Valid    bool            `json:"valid"`
	Reason   string          `json:"reason"`
	Evidence *evidenceFields `json:"evidence"`
}

type evidenceFields struct {
	SSH        string `json:"ssh"`
	ParentName string `json:"parentName"`
	Challenge  string `json:"challenge"`
	Fresh      bool   `json:"fresh"`
	Restricted bool   `json:"restricted"`
}

// linkFields is a certificate of a chain.
type linkFields struct {
	Subject   string `json:"subject"`
	Issuer    string `json:"issuer"`
	NotBefore string `json:"notBefore"`
	NotAfter  string `json:"notAfter"`
	PEM       string `json:"pem"`
}

func (t *tool) printProfilesJSON(profiles []*filter.Filter) error {
	all := []profileFields{}
	for _, f := range profiles {
		all = append(all, profileFields{f.Name(), f.Name() == filter.Default().Name(), f.Purpose()})
	}
	return t.printJSON(all)
}

func (t *tool) printExplanationJSON(e filter.Explanation) error {
	fields := explanationFields{Command: e.Command, Verdict: "allow", Conditional: e.Conditional, Needs: []needFields{}, Rules: []ruleFields{}}
	switch {
	case !e.Allowed:
		fields.Verdict, fields.Reason, fields.Response = "deny", e.Why, responseCode(e.RC)
	case e.Answered:
		fields.Verdict = "answer"
	}
	for _, n := range e.Needs {
		fields.Needs = append(fields.Needs, needFields{n.What, responseCode(n.Else)})
	}
	for _, r := range e.Rules {
		fields.Rules = append(fields.Rules, ruleFields(r))
	}
	return t.printJSON(fields)
}

func evidenceOf(e *attest.Evidence, fresh bool) (*evidenceFields, error) {
	public, err := ssh.NewPublicKey(e.Public)
	if err != nil {
		return nil, err
	}
	fields := &evidenceFields{SSH: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))), Fresh: fresh, Restricted: e.Restricted}
	if c := e.Creation; c != nil {
		fields.ParentName, fields.Challenge = hex.EncodeToString(c.ParentName), hex.EncodeToString(c.Challenge)
	}
	return fields, nil
}

func (t *tool) printChainJSON(k *provider.Key) error {
	chain, err := k.Chain()
	if err != nil {
		return err
	}
	all := []linkFields{}
	for _, c := range chain {
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
		all = append(all, linkFields{c.Subject.String(), c.Issuer.String(), c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339), string(text)})
	}
	return t.printJSON(all)
}
