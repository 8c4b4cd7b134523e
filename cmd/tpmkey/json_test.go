package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// helpOf is what a verb's help prints.
func helpOf(t *testing.T, verb string) string {
	t.Helper()
	return printed(t, runHelp, verb)
}

// printed is the standard output of a verb that needs no TPM.
func printed(t *testing.T, run func(*tool, []string) error, args ...string) string {
	t.Helper()
	var text bytes.Buffer
	if err := run(&tool{stdout: &text}, args); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// Scripts rely on these names. A row may grow; nothing in it may change or go.
var jsonFields = []struct {
	args     []string
	help     string // the verb whose help names the fields
	fields   []string
	contains string
}{
	{[]string{"new", "demo"}, "show", keyNames, `"bits": 2048`},
	{[]string{"show", "demo"}, "show", keyNames, `"parent": "0x40000001"`},
	{[]string{"list"}, "show", keyNames, `"certificate": null`},
	{[]string{"pub", "demo"}, "pub", []string{"name", "ssh", "pem"}, `"ssh": "ssh-rsa AAAA`},
	{[]string{"version"}, "version", []string{"version", "go", "target", "revision", "module"}, `"go": "go1`},
	{[]string{"filter", "explain", "clear"}, "filter", explainNames, `"verdict": "deny"`},
	{[]string{"filter", "explain", "sign"}, "filter", explainNames, `"conditional": true`},
	{[]string{"filter", "explain", "hash"}, "filter", explainNames, `"verdict": "answer"`},
	{[]string{"namespace", "test", "0"}, "namespace", []string{"uid", "refused", "namespace"}, `"uid": 0`},
	{[]string{"cert", "-self-signed", "demo"}, "cert", certNames, `"subject": "CN=demo"`},
	{[]string{"cert", "demo"}, "cert", certNames, `"pem": "-----BEGIN CERTIFICATE-----`},
	{[]string{"device"}, "device", []string{"device", "chip", "managed", "boundary", "filter"}, `"boundary": false`},
}

var (
	explainNames = []string{"command", "verdict", "conditional", "reason", "response", "needs", "rules"}
	certNames    = []string{"subject", "issuer", "notBefore", "notAfter", "pem"}
)

var keyNames = []string{"name", "label", "id", "file", "bits", "fingerprint", "sign", "decrypt", "pin", "lockout", "parent", "parentName", "origin", "attestation", "certificate"}

func TestJSONFields(t *testing.T) {
	spec, store := tpmtest.Simulator(t), t.TempDir()
	for _, row := range jsonFields {
		output, err := command(t, spec, store, append(row.args, "-json")...).Output()
		if err != nil {
			t.Fatalf("%v: %v", row.args, err)
		}
		var object map[string]any
		var list []map[string]any
		if json.Unmarshal(output, &object) != nil && (json.Unmarshal(output, &list) != nil || len(list) != 1) {
			t.Fatalf("%v prints %s", row.args, output)
		}
		if list != nil {
			object = list[0]
		}
		if got, want := slices.Sorted(maps.Keys(object)), slices.Sorted(slices.Values(row.fields)); !slices.Equal(got, want) || !strings.Contains(string(output), row.contains) {
			t.Errorf("%v: fields %q, not %q; in\n%s", row.args, got, want, output)
		}
		for _, field := range row.fields {
			if !regexp.MustCompile(`\b` + field + `\b`).MatchString(helpOf(t, row.help)) {
				t.Errorf("the help of %s does not name %q", row.help, field)
			}
		}
	}
}

// What a certificate in the store is, in the fields that say it.
func TestJSONCertificate(t *testing.T) {
	dir := t.TempDir()
	key, cert, other := softwareKey(t, dir, "web")
	for name, row := range map[string]struct {
		file []byte
		want string
	}{
		"none":        {nil, "null"},
		"damaged":     {[]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), `{"subject":"","notAfter":"","problem":"damaged: x509: malformed certificate"}`},
		"good":        {cert, `{"subject":"CN=web","notAfter":"2030-01-02T03:04:05Z","problem":""}`},
		"another key": {other, `{"subject":"CN=web","notAfter":"2030-01-02T03:04:05Z","problem":"of another key"}`},
	} {
		os.Remove(filepath.Join(dir, "web.crt"))
		if row.file != nil {
			if err := os.WriteFile(filepath.Join(dir, "web.crt"), row.file, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		fields, err := fieldsOf(key)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := json.Marshal(fields.Certificate); err != nil || string(got) != row.want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

// An empty store is an empty array, not nothing.
func TestJSONOfNoKeys(t *testing.T) {
	var text bytes.Buffer
	tool := &tool{stdout: &text, json: true, dir: t.TempDir()}
	if err := runList(tool, nil); err != nil || text.String() != "[]\n" {
		t.Errorf("%q, %v", &text, err)
	}
}

// Nothing in JSON moves a cursor, and what comes out of it is what went in.
func TestJSONIsPrintable(t *testing.T) {
	label := "a\u009b31m\U000E0001\nü<b>\x00\"\\"
	var text bytes.Buffer
	if err := (&tool{stdout: &text}).printJSON(keyFields{Label: label}); err != nil {
		t.Fatal(err)
	}
	if printable := strings.ReplaceAll(text.String(), "\n", ""); printable != strings.Map(onlyPrintable, printable) {
		t.Errorf("%q", &text)
	}
	var back keyFields
	if err := json.Unmarshal(text.Bytes(), &back); err != nil || back.Label != label {
		t.Errorf("%q came back as %q, %v", label, back.Label, err)
	}
}

func onlyPrintable(r rune) rune {
	if !strings.ContainsRune(printable(string(r)), r) {
		return -1
	}
	return r
}
