package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/cmd/tpmkey/doctor"
	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
)

const deviceDetails = `
  -json         a JSON object: device, chip, managed (by tpmkeyd), boundary (the
                filter is one), filter (the same in words)
`

// runDevice shows which chip is used, by what way, and what its filter is worth there.
func runDevice(t *tool, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	d, err := device.Open(t.device)
	if err != nil {
		return err
	}
	defer d.Close()
	chip, err := describeChip(d)
	if err != nil {
		return err
	}
	if t.json {
		return t.printDeviceJSON(d, chip)
	}
	_, boundary := d.Boundary()
	w := tabwriter.NewWriter(t.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "device:\t%s\nchip:\t%s\nmanager:\t%s\nfilter:\t%s\n", d.Spec(), printable(chip), managerOf(d), boundary)
	return w.Flush()
}

func managerOf(d *device.Device) string {
	if d.Managed() {
		return "tpmkeyd's"
	}
	return "this program's own"
}

// describeChip reads what the chip says of its maker (TPM2_GetCapability, Part 3, 30.2; properties in Part 2, 6.13).
func describeChip(d *device.Device) (string, error) {
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(tpm2.TPMPTManufacturer), PropertyCount: 8}.Execute(provider.Legible(d))
	if err != nil {
		return "", fmt.Errorf("read the properties of %s: %w", d.Spec(), err)
	}
	properties, err := r.CapabilityData.Data.TPMProperties()
	if err != nil {
		return "", fmt.Errorf("read the properties of %s: %w", d.Spec(), err)
	}
	values := map[tpm2.TPMPT]uint32{}
	for _, p := range properties.TPMProperty {
		values[p.Property] = p.Value
	}
	return doctor.ChipOf(values).String(), nil
}
