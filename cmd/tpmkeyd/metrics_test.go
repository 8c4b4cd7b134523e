package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/internal/control"
	"tpmkey.example/rm/tpmtest"
)

// scrape reads metrics as a monitoring system does.
func scrape(t *testing.T, path string) string {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}}
	defer c.CloseIdleConnections()
	request, err := http.NewRequest("GET", "http://tpmkeyd/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/openmetrics-text")
	response, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !strings.HasSuffix(string(text), "# EOF\n") {
		t.Errorf("%s, %v:\n%s", response.Status, err, text)
	}
	return string(text)
}

// startMetrics has root read metrics until the test ends.
func startMetrics(t *testing.T, s *served) {
	t.Helper()
	watching, err := listenFor(s.socket("metrics.sock"), controlMode)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.serveMetrics(watching) }()
	t.Cleanup(func() { watching.Close(); <-ended })
}

// What a client does is told to root, by the metrics and by the control socket.
func TestUsage(t *testing.T) {
	s := serveWith(t, "")
	startMetrics(t, s)
	ask, uid := talk(t, s.path), os.Getuid()
	ask(getRandom(8))
	ask(getRandom(8))
	ask(readPCRs)
	told := scrape(t, s.socket("metrics.sock"))
	for _, line := range []string{
		`tpmkeyd_commands_total{command="TPM2_GetRandom"} 2.0`,
		`tpmkeyd_denied_total{command="TPM2_PCR_Read",rule="TPM2_PCR_Read"} 1.0`,
		fmt.Sprintf(`tpmkeyd_user_commands_total{uid="%d"} 2.0`, uid),
		fmt.Sprintf(`tpmkeyd_user_denied_total{uid="%d"} 1.0`, uid),
		fmt.Sprintf(`tpmkeyd_user_clients{uid="%d"} 1.0`, uid),
		fmt.Sprintf(`tpmkeyd_user_queue{uid="%d"} 0.0`, uid),
		"tpmkeyd_chips 1.0",
	} {
		if !strings.Contains(told, line+"\n") {
			t.Errorf("the metrics do not say %s:\n%s", line, told)
		}
	}
	u, err := control.AskUsage(s.socket("control.sock"))
	if err != nil || len(u.Users) != 1 || len(u.Chips) != 1 {
		t.Fatalf("%+v, %v", u, err)
	}
	if got := u.Users[0]; got.Commands != 2 || got.Denied != 1 || got.Clients != 1 || got.Queue != 0 || got.Ran <= 0 || int(got.UID) != uid {
		t.Errorf("%+v", got)
	}
	if len(u.Commands) != 1 || u.Commands[0].Name != "TPM2_GetRandom" || u.Commands[0].Count != 2 || u.Commands[0].Ran != u.Users[0].Ran {
		t.Errorf("commands: %+v", u.Commands)
	}
}

// However many users and unknown commands come, what is counted of them has bounds; who is here is not forgotten.
func TestLedgerHasBounds(t *testing.T) {
	l := newLedger()
	l.came(7, 1)
	for i := range uint32(5 * mostUsers) {
		l.refused(1000+i, tpm2.TPMCC(0x20000000+i), filter.Decision{Rule: fmt.Sprintf("command 0x%x, which nobody has heard of", i)})
	}
	if users := l.users(); len(users) > mostUsers || users[0].UID != 7 || len(l.denied) != 1 {
		t.Errorf("%d users, the first %+v, %d denials", len(users), users[0], len(l.denied))
	}
}

// Only root reads metrics, whatever the mode of their socket.
func TestMetricsAreRoots(t *testing.T) {
	if os.Geteuid() != 0 {
		tpmtest.Missing(t, "root, to be another user")
	}
	s := serveWith(t, "")
	watching, err := listenFor(s.socket("metrics.sock"), 0o666)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.serveMetrics(watching) }()
	defer func() { watching.Close(); <-served }()
	if answer := as(t, asUser(1000).Credential, s.socket("metrics.sock"))([]byte("GET /metrics HTTP/1.0\r\n\r\n")); len(answer) > 0 {
		t.Errorf("a user hears %q", answer)
	}
}
