package main

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/internal/control"
	"tpmkey.example/rm/wire"
)

// A ledger counts who does what, for administrators. It decides nothing.
type ledger struct {
	mu       sync.Mutex
	each     map[uint32]*control.UserUse    // by principal
	commands map[string]*control.CommandUse // that had a turn, by name
	denied   map[denial]uint64
}

// A denial is a command that a rule refused.
type denial struct{ command, rule string }

// mostUsers are counted one by one. Beyond that those are forgotten who are not here.
const mostUsers = 1024

func newLedger() *ledger {
	return &ledger{each: map[uint32]*control.UserUse{}, commands: map[string]*control.CommandUse{}, denied: map[denial]uint64{}}
}

// of gives what a principal has done. The caller holds the lock.
func (l *ledger) of(principal uint32) *control.UserUse {
	if use := l.each[principal]; use != nil {
		return use
	}
	if len(l.each) >= mostUsers {
		maps.DeleteFunc(l.each, func(_ uint32, use *control.UserUse) bool { return use.Clients == 0 })
	}
	use := &control.UserUse{UID: principal}
	l.each[principal] = use
	return use
}

// came counts a client, or one that leaves (-1).
func (l *ledger) came(principal uint32, clients int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	use := l.of(principal)
	use.Clients += clients
	if *use == (control.UserUse{UID: principal}) {
		delete(l.each, principal) // he was not let in, or has asked for nothing
	}
}

// queued counts a command that has come, or one that is answered (-1).
func (l *ledger) queued(principal uint32, commands int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of(principal).Queue += commands
}

// ran counts a command that had a turn.
func (l *ledger) ran(principal uint32, code tpm2.TPMCC, waited, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	use := l.of(principal)
	use.Commands++
	use.Waited += waited
	use.Ran += took
	command := l.ofCommand(labelOf(code))
	command.Count++
	command.Ran += took
}

// ofCommand gives what a command has cost. The caller holds the lock.
func (l *ledger) ofCommand(name string) *control.CommandUse {
	if l.commands[name] == nil {
		l.commands[name] = &control.CommandUse{Name: name}
	}
	return l.commands[name]
}

// refused counts a command that was denied.
func (l *ledger) refused(principal uint32, code tpm2.TPMCC, d filter.Decision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of(principal).Denied++
	l.denied[denial{labelOf(code), ruleLabel(d.Rule)}]++
}

// labelOf is the name of a command. Those that nobody knows have one name: there are too many.
func labelOf(code tpm2.TPMCC) string {
	if shape := wire.ShapeOf(code); shape != nil {
		return shape.Name
	}
	return "unknown"
}

// ruleLabel is the name of a rule, of which those of unknown commands are one.
func ruleLabel(rule string) string {
	const longest = len("TPM2_DictionaryAttackParameters")
	if len(rule) > longest {
		return "other"
	}
	return rule
}

// users are all of them, by their uids.
func (l *ledger) users() []control.UserUse {
	l.mu.Lock()
	defer l.mu.Unlock()
	users := []control.UserUse{}
	for _, use := range l.each {
		users = append(users, *use)
	}
	slices.SortFunc(users, func(a, b control.UserUse) int { return cmp.Compare(a.UID, b.UID) })
	return users
}

// byCommand are all commands that had a turn, by their names.
func (l *ledger) byCommand() []control.CommandUse {
	l.mu.Lock()
	defer l.mu.Unlock()
	commands := []control.CommandUse{}
	for _, use := range l.commands {
		commands = append(commands, *use)
	}
	slices.SortFunc(commands, func(a, b control.CommandUse) int { return cmp.Compare(a.Name, b.Name) })
	return commands
}

// denials are all rules that have refused something, by what they refused.
func (l *ledger) denials() []control.Denial {
	l.mu.Lock()
	defer l.mu.Unlock()
	denials := []control.Denial{}
	for d, n := range l.denied {
		denials = append(denials, control.Denial{Command: d.command, Rule: d.rule, Count: n})
	}
	slices.SortFunc(denials, func(a, b control.Denial) int {
		return cmp.Or(cmp.Compare(a.Command, b.Command), cmp.Compare(a.Rule, b.Rule))
	})
	return denials
}
