package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"strings"

	"golang.org/x/term"
)

func deleteFlags(f *flag.FlagSet, t *tool) { f.BoolVar(&t.yes, "yes", false, "") }

// runDelete deletes a key that may be the only way into somewhere, so it asks.
func runDelete(t *tool, args []string) error {
	keys, k, err := t.keyAmong(args)
	if err != nil {
		return err
	}
	if !t.yes {
		if err := t.confirm(fmt.Sprintf("delete key %q (%s) for ever?", k.Name(), printable(k.Path())), "delete"); err != nil {
			return err
		}
	}
	return keys.Delete(k)
}

// confirm asks the person at the terminal. An interrupt is an answer too.
func (t *tool) confirm(question, do string) error {
	if !term.IsTerminal(int(t.stdin.Fd())) {
		return usageError(fmt.Sprintf("there is no terminal to ask on; add -yes to %s without a question", do))
	}
	interrupted := t.interrupts().Done()
	fmt.Fprintf(t.stderr, "tpmkey: %s type yes: ", question)
	select {
	case <-interrupted:
		fmt.Fprintln(t.stderr)
		return errInterrupted
	case answer := <-t.readAnswer():
		if answer != "yes" {
			return errors.New("the answer was not yes, so nothing was done")
		}
		return nil
	}
}

// readAnswer gives the next line, "" if it does not end.
func (t *tool) readAnswer() <-chan string {
	answers := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(t.stdin).ReadString('\n')
		if err != nil {
			line = ""
		}
		answers <- strings.TrimSpace(line)
	}()
	return answers
}
