package main

import (
	"fmt"
	"path/filepath"

	"tpmkey.example/internal/version"
)

const versionDetails = `
The same sources give the same programs, so nothing here tells when or where they were
built, and the revision only where Go was allowed to look for it.

  -json         a JSON object: version, go (the version of Go that built it), target
                (system, processor and whether C is in it), revision (of the sources,
                or null), module (the PKCS #11 module that came with it, or null)
`

type versionFields struct {
	Version  string  `json:"version"`
	Go       string  `json:"go"`
	Target   string  `json:"target"`
	Revision *string `json:"revision"`
	Module   *string `json:"module"`
}

func versionOf(module string) versionFields {
	b := version.ReadBuild()
	fields := versionFields{Version: version.Number, Go: b.Go, Target: b.Target}
	if b.Revision != "" {
		fields.Revision = &b.Revision
	}
	if filepath.IsAbs(module) {
		fields.Module = &module
	}
	return fields
}

// text is for people, who want the first line.
func (f versionFields) text() string {
	text := fmt.Sprintf("tpmkey %s\nbuilt with %s for %s\n", f.Version, f.Go, f.Target)
	if f.Revision != nil {
		text += "from revision " + *f.Revision + "\n"
	}
	if f.Module == nil {
		return text + "without the PKCS #11 module, which is not installed beside it\n"
	}
	return text + "PKCS #11 module " + *f.Module + "\n"
}

func runVersion(t *tool, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	fields := versionOf(modulePath())
	if t.json {
		return t.printJSON(fields)
	}
	_, err := fmt.Fprint(t.stdout, fields.text())
	return err
}
