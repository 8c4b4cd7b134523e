package provider

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"tpmkey.example/internal/privilege"
)

// SystemDir is where the keys of services are.
const SystemDir = "/etc/tpmkey/keys"

// UserDir is where the caller's own keys are: $XDG_DATA_HOME/tpmkey, by default ~/.local/share/tpmkey. A process with raised privileges does not
// listen to its environment.
func UserDir() (string, error) {
	home := ""
	if !privilege.Raised() {
		if data := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
			return filepath.Join(data, "tpmkey"), nil
		}
		home = os.Getenv("HOME")
	}
	if !filepath.IsAbs(home) {
		u, err := user.LookupId(strconv.Itoa(os.Getuid()))
		if err != nil {
			return "", fmt.Errorf("find the key directory: %w; set XDG_DATA_HOME", err)
		}
		home = u.HomeDir
	}
	return filepath.Join(home, ".local", "share", "tpmkey"), nil
}

// DefaultDirs are the caller's own directory and SystemDir.
func DefaultDirs() []string {
	if dir, err := UserDir(); err == nil {
		return []string{dir, SystemDir}
	}
	return []string{SystemDir}
}
