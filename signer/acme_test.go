package signer_test

import (
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// serveACME starts an ACME server, and gives the environment in which a client finds and trusts it, and is found by it.
func serveACME(t *testing.T) []string {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	quiet, known := log.New(io.Discard, "", 0), db.NewMemoryStore()
	http, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer http.Close() // for the client, after the server has a port: it would take this one
	authority := ca.New(quiet, known, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {}})
	front := wfe.New(quiet, known, va.New(quiet, http.Addr().(*net.TCPAddr).Port, 0, false, "", known), authority, []string{"localhost"}, false, false, 1, 1)
	server := httptest.NewTLSServer(front.Handler())
	t.Cleanup(server.Close)
	trusted := filepath.Join(t.TempDir(), "trusted.pem")
	if err := os.WriteFile(trusted, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"ACME_DIRECTORY=" + server.URL + wfe.DirectoryPath, "SSL_CERT_FILE=" + trusted, "HTTP_ADDRESS=" + http.Addr().String()}
}
