package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
)

// A tool is one run of tpmkey: where it reads and writes, and what its flags say. Standard output gets data and nothing else.
type tool struct {
	stdin          *os.File
	stdout, stderr io.Writer

	device, dir string // flags of all verbs; "": the defaults
	widened     string // profile of the filter that a verb needs where this process opens the chip; "": the default one
	new         newOptions
	filter      filterOptions
	namespace   namespaceOptions
	run         runOptions
	top         topOptions
	pem, yes    bool
	tpmForm     bool
	json, names bool
	pin         pinOptions
	cert        certOptions
	ssh         sshOptions
	operation   operationOptions
	attest      attestOptions
	imported    importOptions
	migrate     migrateOptions

	ownerFile string
	owner     []byte // the password in it

	keys     *provider.Provider // once opened
	stopping context.Context    // nil until a TPM was opened, or a person asked
	since    time.Time          // a person has been waiting; zero: nobody has
}

// A usageError is a command line that means nothing.
type usageError string

func (e usageError) Error() string { return string(e) }

// say writes a line to the person who runs the tool. Whatever it names, it stays one line, and moves no cursor.
func (t *tool) say(format string, args ...any) {
	fmt.Fprintf(t.stderr, "tpmkey: %s\n", printable(fmt.Sprintf(format, args...)))
}

// fail says an error, and each error of a joined one on a line of its own.
func (t *tool) fail(err error) {
	for _, one := range joined(err) {
		t.say("error: %s", strings.ReplaceAll(one.Error(), "\n", "; "))
	}
}

// joined are the errors of errors.Join, which writes them on lines. A line end in the name of a file is none between errors.
func joined(err error) (all []error) {
	many, ok := err.(interface{ Unwrap() []error })
	if !ok || len(many.Unwrap()) == 0 || err.Error() != errors.Join(many.Unwrap()...).Error() {
		return []error{err}
	}
	for _, one := range many.Unwrap() {
		all = append(all, joined(one)...)
	}
	return all
}

// open gives the keys of the directories that the flags name.
func (t *tool) open(dirs ...string) *provider.Provider {
	if t.dir != "" {
		dirs = []string{t.dir}
	}
	if len(dirs) == 0 {
		dirs = provider.DefaultDirs()
	}
	t.keys = provider.Open(dirs, t.dial)
	t.keys.GiveOwnerPassword(t.owner)
	return t.keys
}

// dial opens the TPM. From then on a first signal only ends the work, so that nothing stays loaded in the chip; a second one kills.
func (t *tool) dial() (transport.TPMCloser, error) {
	if t.interrupted() {
		return nil, errInterrupted
	}
	d, err := t.openDevice()
	if err != nil {
		return nil, err
	}
	t.interrupts()
	return interruptible{d, t}, nil
}

func (t *tool) openDevice() (*device.Device, error) {
	if t.widened == "" {
		return device.Open(t.device)
	}
	return device.OpenWithProfile(t.device, t.widened)
}

// explainDenial says what the filter of another process would have to let through, and who sees to that.
func (t *tool) explainDenial(err error) error {
	if t.widened == "" || !errors.Is(err, provider.ErrDenied) {
		return err
	}
	return fmt.Errorf("%w; this takes the profile %s: the administrator runs tpmkeyd with it (-filter %s), or with one of his own that names you where a row is for root (tpmkey filter show %s)", err, t.widened, t.widened, t.widened)
}

// interrupts is done once a signal has come. From the first call on, signals do not kill, but for a second one.
func (t *tool) interrupts() context.Context {
	if t.stopping == nil {
		stopping, again := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
		context.AfterFunc(stopping, again)
		t.stopping = stopping
	}
	return t.stopping
}

var errInterrupted = errors.New("interrupted")

// interruptible is a TPM whose answers count no more once the tool was interrupted.
type interruptible struct {
	*device.Device
	tool *tool
}

// Send runs a command that is not too late.
func (i interruptible) Send(command []byte) (response []byte, err error) {
	if i.tool.interrupted() {
		return nil, errInterrupted
	}
	i.tool.showProgress(waitingFor(command), func() { response, err = i.Device.Send(command) })
	if i.tool.interrupted() {
		return nil, errInterrupted
	}
	return response, err
}

func (t *tool) interrupted() bool { return t.stopping != nil && t.stopping.Err() != nil }

// close gives the TPM back.
func (t *tool) close() {
	if t.keys != nil {
		t.keys.Close()
	}
}
