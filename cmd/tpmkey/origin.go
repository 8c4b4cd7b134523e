package main

import "tpmkey.example/provider"

// origins say what each means.
var origins = map[provider.Origin]string{
	provider.OriginHardware:   "made in this TPM, which it cannot leave",
	provider.OriginMigratable: "may have come from another TPM, and may go to others",
	provider.OriginImported:   "made outside of any TPM, where copies may be",
}

func origin(k *provider.Key) string { return string(k.Origin()) + ": " + origins[k.Origin()] }

// mark is the column of those keys that are not only in this TPM, or for no program.
func mark(k *provider.Key) string {
	switch {
	case k.Attests() && k.Origin().Hardware():
		return "\tattestation"
	case k.Attests():
		return "\tattestation, " + string(k.Origin())
	case k.Origin().Hardware():
		return ""
	}
	return "\t" + string(k.Origin())
}
