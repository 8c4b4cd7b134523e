package filter

import (
	"fmt"
	"strings"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

func commandName(code tpm2.TPMCC) string {
	if shape := wire.ShapeOf(code); shape != nil {
		return shape.Name
	}
	return hexCode(code)
}

func hexCode(code tpm2.TPMCC) string { return fmt.Sprintf("0x%X", uint32(code)) }

// commandNamed finds a command by its name in Part 3, or by its code in hex.
func commandNamed(name string) (tpm2.TPMCC, bool) {
	for _, shape := range wire.Shapes() {
		if shape.Name == name {
			return shape.Code, true
		}
	}
	var code uint32
	_, err := fmt.Sscanf(name, "0x%X", &code)
	return tpm2.TPMCC(code), err == nil && strings.EqualFold(fmt.Sprintf("0x%X", code), name)
}

// FindCommand finds a command as people write its name, in any case and with or without TPM2_ and underscores, or by its code in hex.
func FindCommand(name string) (tpm2.TPMCC, bool) {
	for _, shape := range wire.Shapes() {
		if plainName(shape.Name) == plainName(name) {
			return shape.Code, true
		}
	}
	return commandNamed(strings.ToLower(name))
}

func plainName(name string) string {
	return strings.TrimPrefix(strings.ReplaceAll(strings.ToLower(name), "_", ""), "tpm2")
}

// CommandNames are the names of the commands that a profile can speak of, in the order of their codes.
func CommandNames() (names []string) {
	for _, shape := range wire.Shapes() {
		names = append(names, shape.Name)
	}
	return names
}
