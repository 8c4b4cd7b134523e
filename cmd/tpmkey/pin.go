package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"tpmkey.example/internal/prompt"
	"tpmkey.example/internal/shell"
	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
)

const pinDetails = `
The PIN is asked for. It has 32 bytes at most, as they are typed.

  -remove            take the PIN away
  -pin-file FILE     read the present PIN from the first line of a file that
                     nobody else can read, or of a descriptor: /dev/fd/N
  -new-pin-file FILE likewise the new one

Copies of the key file that were made before keep working with the PIN that they
had: nothing can take that back.
`

// pinOptions are the flags that have to do with PINs.
type pinOptions struct {
	wanted, remove bool
	file, newFile  string
}

func pinFlags(f *flag.FlagSet, t *tool) {
	f.BoolVar(&t.pin.remove, "remove", false, "")
	f.StringVar(&t.pin.file, "pin-file", "", "")
	f.StringVar(&t.pin.newFile, "new-pin-file", "", "")
}

// runPIN changes or removes the PIN of a key, or gives it one.
func runPIN(t *tool, args []string) error {
	keys, k, err := t.keyAmong(args)
	switch {
	case err != nil:
		return err
	case t.pin.remove && t.pin.newFile != "":
		return usageError("-remove and -new-pin-file: there is no new PIN")
	case t.pin.remove && !k.HasPIN():
		return fmt.Errorf("key %q has no PIN", k.Name())
	}
	if k.Attests() {
		t.widened = attestProfile
	}
	if err := t.givePIN(k); err != nil {
		return err
	}
	had := k.HasPIN()
	pin, err := t.nextPIN(k)
	if err != nil {
		return err
	}
	defer clear(pin)
	if _, err := keys.ChangePIN(k, pin); err != nil {
		return t.explainDenial(err)
	}
	t.say("the PIN of key %q is %s", k.Name(), changed(had, len(pin) > 0))
	return nil
}

// changed says what became of a PIN, and of the copies of the key's file that were made before.
func changed(had, has bool) string {
	switch {
	case !had:
		return "set; copies of its file that were made before need none"
	case !has:
		return "gone; copies of its file that were made before keep it"
	}
	return "changed; copies of its file that were made before keep the old one"
}

// givePIN asks for the present PIN of a key, before a new one is thought up.
func (t *tool) givePIN(k *provider.Key) error {
	if !k.HasPIN() {
		return nil
	}
	pin, err := t.askPIN(k, nil)
	if err != nil {
		return err
	}
	defer clear(pin)
	return k.GivePIN(pin)
}

// nextPIN is what the key's PIN shall be.
func (t *tool) nextPIN(k *provider.Key) ([]byte, error) {
	if t.pin.remove {
		return nil, nil
	}
	return t.newPIN(k.Name(), t.pin.newFile, newPINFile)
}

// askPIN is where the provider gets PINs from.
func (t *tool) askPIN(k *provider.Key, wrong error) ([]byte, error) {
	if t.pin.file != "" {
		if wrong != nil {
			return nil, wrong // the file says the same again
		}
		return readPIN(t.pin.file)
	}
	return t.askPerson(k, wrong, pinFile)
}

// What errors and notices say of asking for a PIN: how to do without.
const (
	pinFile    = "say -pin-file FILE"
	newPINFile = "say -new-pin-file FILE"
)

// askPerson gets a PIN from a person.
func (t *tool) askPerson(k *provider.Key, wrong error, instead string) ([]byte, error) {
	q := prompt.Question{Key: k.Name(), Instead: instead}
	if wrong != nil {
		q.Again = provider.ErrWrongPIN.Error()
	}
	return t.ask(q)
}

// ask asks a person. An interrupt ends the asking, with the terminal as it was.
func (t *tool) ask(q prompt.Question) ([]byte, error) {
	defer func() { t.since = time.Time{} }() // he has not been waiting meanwhile
	q.Notice = func(text string) { t.say("%s", text) }
	return prompt.PIN(t.interrupts(), q)
}

// firstPIN is the PIN of a key that is being made, nil where none was asked for.
func (t *tool) firstPIN(name string) ([]byte, error) {
	if !t.pin.wanted && t.pin.file == "" {
		return nil, nil
	}
	return t.newPIN(name, t.pin.file, pinFile)
}

// newPIN reads a PIN from a file, or asks for it twice.
func (t *tool) newPIN(name, file, instead string) ([]byte, error) {
	if file != "" {
		return checkedPIN(readPIN(file))
	}
	pin, err := checkedPIN(t.ask(prompt.Question{Key: name, Again: "a new one, please", Instead: instead}))
	if err != nil {
		return nil, err
	}
	again, err := t.ask(prompt.Question{Key: name, Again: "the same again, please", Instead: instead})
	defer clear(again)
	if err == nil && !bytes.Equal(pin, again) {
		err = errors.New("the two PINs are not the same; nothing was changed")
	}
	if err != nil {
		clear(pin)
		return nil, err
	}
	return pin, nil
}

// checkedPIN wants a PIN that can be one, and that is one.
func checkedPIN(pin []byte, err error) ([]byte, error) {
	if err == nil && len(pin) == 0 {
		err = errors.New("an empty PIN is none; for a key without one leave -pin out, or use: tpmkey pin -remove")
	}
	if err == nil {
		err = provider.CheckPIN(pin)
	}
	if err != nil {
		clear(pin)
		return nil, err
	}
	return pin, nil
}

const maxPINFile = 4096 // bytes

// readPIN reads the first line of a file. One that others can read has told them the PIN already.
func readPIN(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("read the PIN: %w", err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("read the PIN: %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG && st.Mode&0o077 != 0 {
		return nil, fmt.Errorf("read the PIN: others can read or change %s; run: chmod 600 %s", path, shell.Word(path))
	}
	text := make([]byte, maxPINFile)
	defer clear(text)
	n, err := io.ReadFull(f, text)
	if err == nil {
		return nil, fmt.Errorf("read the PIN: %s has %d bytes or more; its first line is the PIN", path, maxPINFile)
	} else if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the PIN: %s: %w", path, err)
	}
	line, _, _ := bytes.Cut(text[:n], []byte("\n"))
	return bytes.Clone(bytes.TrimSuffix(line, []byte("\r"))), nil
}

// whoCounts says who counts wrong PINs of a new key, on this machine, now.
func (t *tool) whoCounts(k *provider.Key) (string, error) {
	t.close() // /dev/tpm0 opens once
	d, err := device.Open(t.device)
	if err != nil {
		return "", err
	}
	defer d.Close()
	boundary, _ := d.Boundary()
	return counting[counted{!k.NoDA(), boundary}], nil
}

// counted is whether the TPM counts wrong PINs of a key, and whether tpmkeyd is the only way to it.
type counted struct{ byTPM, boundary bool }

var counting = map[counted]string{
	{true, true}: "Wrong PINs count towards the lockout of the whole TPM, disk encryption included: after one,\n" +
		"tpmkeyd refuses you all such keys for 24 hours, or until the administrator releases you\n(sudo pkill -USR1 -x tpmkeyd).",
	{true, false}: "Wrong PINs count towards the lockout of the whole TPM, disk encryption included.\n" +
		"Where tpmkeyd runs, one wrong PIN keeps its user from all such keys for 24 hours.",
	{false, true}: "tpmkeyd slows down whoever tries PINs, and then refuses him for minutes.",
	{false, false}: "Nobody counts wrong PINs here: whoever has the key file and may open the TPM can try them all.\n" +
		"Choose a long one, run tpmkeyd as the only way to the TPM, or have the TPM count (-da).",
}
