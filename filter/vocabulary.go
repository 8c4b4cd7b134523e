package filter

import (
	"fmt"
	"maps"
	"slices"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// word finds what a text means for the clause's subject.
func (l *clause) word(text string) (word, bool) {
	w := word{text: text}
	switch {
	case l.handle > 0:
		return handleWord(w)
	case l.subject == "caller":
		w.holds = callerWord(text)
	case l.subject == "authorization":
		if holds := authorizationWords[text]; holds != nil {
			w.holds = func(q query) bool { return holds(q.command) }
		}
	case publicSubjects[l.subject] && publicWords[text] != nil:
		holds := publicWords[text]
		w.holds = func(q query) bool {
			p, ok := wire.ParseSizedPublic(q.param)
			return ok && holds(p)
		}
	case paramWords[l.subject][text] != nil:
		holds := paramWords[l.subject][text]
		w.holds = func(q query) bool { return holds(q.param) }
	default:
		w.holds = numberWord(l.subject, text)
	}
	return w, w.holds != nil
}

var publicSubjects = map[string]bool{"inPublic": true, "objectPublic": true}

func handleWord(w word) (word, bool) {
	if own := handleWords[w.text]; own != nil {
		w.holds = func(q query) bool { return wire.IsTransient(q.handle) && q.held && (q.guess != nil || own(q.object)) }
		return w, true
	}
	if kind, ok := handleKinds[w.text]; ok {
		w.kind, w.whole = kind, true
		w.holds = func(q query) bool { return wire.HandleType(q.handle) == kind }
		return w, true
	}
	if w.text == "own session" {
		w.holds = func(q query) bool { return wire.IsAuthSession(q.handle) } // that it is one's own is universal
		return w, true
	}
	number, ok := handleNumbers[w.text]
	if !ok {
		var code tpm2.TPMCC
		code, ok = commandNamed(w.text)
		if number = uint32(code); !ok || !wire.IsPersistent(number) || w.text != fmt.Sprintf("0x%08X", number) || number == wire.SRK {
			return w, false
		}
	}
	w.number = number
	w.holds = func(q query) bool { return q.handle == number && (q.held || !wire.IsPersistent(number)) }
	return w, true
}

// maxUID is the largest uid there is: (uid_t)-1 is none (chown(2), setresuid(2)).
const maxUID = 0xFFFFFFFE

func callerWord(text string) func(query) bool {
	var uid int
	switch {
	case text == "root":
	case !scans(text, "uid %d", &uid) || uid <= 0 || uint64(uid) > maxUID:
		return nil
	}
	return func(q query) bool { return q.guess.isAnybody() || q.holder.Caller() == uint32(uid) }
}

// vocabulary lists what a clause can say, for an error.
func (l *clause) vocabulary() (words []string) {
	switch {
	case l.handle > 0:
		words = slices.Concat(keys(handleNumbers), keys(handleKinds), keys(handleWords), []string{"own session", "0x81…"})
	case l.subject == "caller":
		return []string{"root", "uid N"}
	case l.subject == "authorization":
		return keys(authorizationWords)
	case publicSubjects[l.subject]:
		words = keys(publicWords)
	default:
		words = append(keys(paramWords[l.subject]), numberForms(l.subject)...)
	}
	return words
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
