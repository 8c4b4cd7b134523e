package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"tpmkey.example/cmd/tpmkey/doctor"
)

const probeName = "tpmkey-probe"

// probePath is where the program is that tries the module: where packages put it, or beside this one.
func probePath() string {
	program, err := os.Executable()
	if err != nil {
		return ""
	}
	for _, place := range []string{"../libexec/tpmkey", "."} {
		path := filepath.Join(filepath.Dir(program), place, probeName)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// probe tries the module in a process of its own, with a log of its own. It is nil where one of the two is missing.
func (t *tool) probe(module string) doctor.Probe {
	program := probePath()
	if program == "" || !filepath.IsAbs(module) {
		return nil
	}
	return func(ctx context.Context) (said, logged string, err error) {
		dir, err := os.MkdirTemp("", "tpmkey-probe-")
		if err != nil {
			return "", "", err
		}
		defer os.RemoveAll(dir)
		log := filepath.Join(dir, "log")
		c := exec.CommandContext(ctx, program, module)
		c.Env = append(os.Environ(), "TPMKEY_LOG="+log)
		if t.device != "" {
			c.Env = append(c.Env, "TPMKEY_DEVICE="+t.device)
		}
		output, err := c.Output()
		lines, _ := os.ReadFile(log) // there is none where nothing failed
		return string(output), string(lines), wrapProbe(err)
	}
}

func wrapProbe(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", probeName, err)
}
