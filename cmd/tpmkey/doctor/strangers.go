package doctor

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"tpmkey.example/provider"
)

// Strangers are keys that do not load for one reason, which is told once: after a TPM was cleared, all of them do not.
type strangers struct {
	reason string
	names  []string
	err    error // of the first
	fix    string
}

// commonReasons are what many keys can have in common, whatever else their errors say.
var commonReasons = []error{provider.ErrWrongTPM, provider.ErrParentAuth, provider.ErrDenied, provider.ErrLockout, provider.ErrNoTPM}

func reasonOf(k *provider.Key, err error) string {
	if i := slices.IndexFunc(commonReasons, func(reason error) bool { return errors.Is(err, reason) }); i >= 0 {
		return commonReasons[i].Error()
	}
	return strings.ReplaceAll(err.Error(), fmt.Sprintf("key %q: ", k.Name()), "")
}

// withStranger adds a key to those of its reason.
func withStranger(all []strangers, k *provider.Key, err error) []strangers {
	reason := reasonOf(k, err)
	i := slices.IndexFunc(all, func(s strangers) bool { return s.reason == reason })
	if i < 0 {
		return append(all, strangers{reason, []string{k.Name()}, err, fixOfKey(k, err)})
	}
	all[i].names = append(all[i].names, k.Name())
	return all
}

const mostNames = 3

func (s strangers) String() string {
	if len(s.names) == 1 {
		return s.err.Error()
	}
	names := s.names
	if len(names) > mostNames {
		names = append(slices.Clone(names[:mostNames]), counted(len(s.names)-mostNames, "other"))
	}
	return fmt.Sprintf("%s do not load (%s): %s", counted(len(s.names), "key"), list(names), s.reason)
}

// described are the facts and the fixes of all.
func described(all []strangers) (facts, fixes string) {
	var said, mend []string
	for _, s := range all {
		said, mend = append(said, s.String()), append(mend, s.fix)
	}
	return strings.Join(said, "; "), strings.Join(slices.Compact(mend), "; ")
}
