package main

import "tpmkey.example/provider"

// origins say what each means.
var origins = map[provider.Origin]string{
	provider.OriginHardware:   "made in this TPM, which it cannot leave",
	provider.OriginMigratable: "may have come from another TPM, and may go to others",
	provider.OriginImported:   "made outside of any TPM, where copies may be",
}

func origin(k *provider.Key) string { return string(k.Origin()) + ": " + origins[k.Origin()] }

// ofUse says with which TPM a key's file works, and lossOf what a cleared TPM costs.
func ofUse(k *provider.Key) string {
	if k.Origin() == provider.OriginMigratable {
		return "of use with this TPM; tpmkey migrate makes one for another."
	}
	return "of use with this TPM only."
}

func lossOf(k *provider.Key) string {
	if k.Origin() == provider.OriginMigratable {
		return "the key is lost, unless it was moved to another one before."
	}
	return "the key is lost: have another way in."
}

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
