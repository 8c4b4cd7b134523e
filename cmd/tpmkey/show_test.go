package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"tpmkey.example/provider"
)

// Keys of services that a user may not read are none of his concern, unless he names their directory.
func TestKeysOfServices(t *testing.T) {
	refuse := func(path string, why error) error {
		return fmt.Errorf("read the key directory: %w", &os.PathError{Op: "open", Path: path, Err: why})
	}
	services, own := refuse(provider.SystemDir, os.ErrPermission), refuse("/users/me/keys", os.ErrPermission)
	for name, row := range map[string]struct {
		dir           string
		refused, want error
		said          string
	}{
		"nothing":          {"", nil, nil, ""},
		"of services":      {"", errors.Join(services), nil, "left out: read the key directory: open " + provider.SystemDir},
		"a file":           {"", refuse(provider.SystemDir+"/web.pem", os.ErrPermission), nil, "web.pem"},
		"a key file":       {"", &provider.FileError{Path: provider.SystemDir + "/web.pem", Err: os.ErrPermission}, nil, "web.pem"},
		"his own key file": {"", &provider.FileError{Path: "/users/me/keys/web.pem", Err: os.ErrPermission}, os.ErrPermission, ""},
		"and his own":      {"", errors.Join(services, own), own, "left out"},
		"named":            {provider.SystemDir, services, services, ""},
		"another reason":   {"", refuse(provider.SystemDir, os.ErrInvalid), os.ErrInvalid, ""},
		"below it, deeper": {"", refuse(provider.SystemDir+"/a/b.pem", os.ErrPermission), os.ErrPermission, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var said bytes.Buffer
			tool := &tool{stderr: &said, dir: row.dir}
			if got := tool.exceptOfServices(row.refused); !errors.Is(got, row.want) || (row.want == nil && got != nil) {
				t.Errorf("%v", got)
			}
			if !strings.Contains(said.String(), row.said) || (row.said == "") != (said.Len() == 0) {
				t.Errorf("said %q", said.String())
			}
		})
	}
}
