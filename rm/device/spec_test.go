package device

import (
	"strings"
	"testing"
)

func TestParseSpec(t *testing.T) {
	for _, row := range []struct {
		text    string
		kind    kind
		address string
		control string
		managed bool
	}{
		{"/dev/tpm0", kernelDevice, "/dev/tpm0", "", false},
		{"/dev/tpmrm0", kernelDevice, "/dev/tpmrm0", "", false},
		{"/dev/tpms", managedDevice, "/dev/tpms", "", true},
		{"/dev/tpms1", managedDevice, "/dev/tpms1", "", true},
		{"unix:/run/x.sock", unixSocket, "/run/x.sock", "", false},
		{"unix:/run/x.sock,ctrl=/run/c.sock", unixSocket, "/run/x.sock", "/run/c.sock", false},
		{"tcp:127.0.0.1:2321", tcpSocket, "127.0.0.1:2321", "", false},
		{"tcp:localhost:2321,ctrl=2322", tcpSocket, "localhost:2321", "2322", false},
		{"tcp:[::1]:2321", tcpSocket, "[::1]:2321", "", false},
		{"broker:/run/tpmkey/tpms.sock", brokerSocket, "/run/tpmkey/tpms.sock", "", true},
		{"fd:3", descriptor, "3", "", true},
	} {
		s, err := ParseSpec(row.text)
		if err != nil || s.kind != row.kind || s.address != row.address || s.Control != row.control || s.Managed() != row.managed || s.String() != row.text {
			t.Errorf("%s: %+v, %v", row.text, s, err)
		}
	}
}

func TestParseBadSpec(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "not a device",
		"tpm0":                      "not a device",
		"simulator":                 "not a device",
		"/dev/../dev/tpm0":          "write /dev/tpm0",
		"unix:relative":             "must begin with /",
		"unix:":                     "must begin with /",
		"unix:/x,foo=1":             "unknown option",
		"unix:/x,ctrl=":             "unknown option",
		"broker:/x,ctrl=/y":         "unknown option",
		"tcp:127.0.0.1":             "missing port",
		"tcp:127.0.0.1:http":        "no port number",
		"tcp:127.0.0.1:70000":       "no port number",
		"tcp:10.0.0.1:2321":         "not this machine",
		"tcp:0.0.0.0:2321":          "not this machine",
		"tcp:tpm.example:2321":      "not this machine",
		"fd:x":                      "no descriptor number",
		"fd:-1":                     "no descriptor number",
		"fd:99999999999999999999":   "no descriptor number",
		"broker:relative/tpms.sock": "must begin with /",
	} {
		if _, err := ParseSpec(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParseSpec(f *testing.F) {
	for _, seed := range []string{"/dev/tpm0", "unix:/a,ctrl=/b", "tcp:127.0.0.1:1", "broker:/a", "fd:3", "x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := ParseSpec(text); err == nil && s.String() != text {
			t.Errorf("%q was read as %q", text, s)
		}
	})
}
