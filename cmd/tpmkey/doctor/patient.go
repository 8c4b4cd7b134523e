package doctor

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
)

// A TPM says how to get at one, and which keys are to work in it.
type TPM struct {
	Open    func() (Device, error)
	NamedBy string   // the option or the variable that names it; "": nothing does
	Dirs    []string // key directories
	Owner   []byte   // the owner's password, if one was given
	Probe   Probe    // of the module; nil: it is not installed
}

// A Device is a way to a TPM, as rm/device has them.
type Device interface {
	transport.TPMCloser
	Spec() string
	Managed() bool
	Boundary() (is bool, why string)
}

// A patient is the TPM under examination. Each check opens it and closes it again: an emulator serves one connection, and /dev/tpm0 opens once. Checks run one
// after the other; only one that was given up may still be at it, and after that nothing more is asked.
type patient struct {
	ctx context.Context
	tpm TPM

	trial    *provider.Key      // once it was made
	trials   *provider.Provider // of the trial key
	trialErr error

	mu   sync.Mutex // guards what follows
	lost string     // why nothing more is asked; "": it is
	open Device
	took map[tpm2.TPMCC][]time.Duration // by command
}

func newPatient(ctx context.Context, tpm TPM) *patient {
	return &patient{ctx: ctx, tpm: tpm, took: map[tpm2.TPMCC][]time.Duration{}}
}

// examine makes one check.
func (p *patient) examine(c check) outcome {
	if why := p.lostBy(); why != "" {
		return warn("", "not checked: %s", why)
	}
	if p.ctx.Err() != nil {
		return fail("", "interrupted")
	}
	// Not even an interrupt ends it before the command under way has: what is loaded is to be taken off.
	o, ended := within(context.WithoutCancel(p.ctx), c.limit, func() outcome { return c.tpm(p) })
	if !ended {
		o.fix = "sudo dmesg | grep -i tpm; then restart the machine, or what emulates the TPM"
		p.lose("the TPM does not answer, see " + c.name)
		p.giveUp()
	}
	return o
}

// lose ends the examination. The first reason counts.
func (p *patient) lose(why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost == "" {
		p.lost = why
	}
}

func (p *patient) lostBy() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// giveUp wakes a check that waits on a socket. One that waits on a device cannot be woken.
func (p *patient) giveUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open != nil {
		go p.open.Close()
	}
}

// dial opens the TPM.
func (p *patient) dial() (transport.TPMCloser, error) {
	d, err := p.device()
	if err != nil {
		return nil, err
	}
	return timed{d, p}, nil
}

func (p *patient) device() (Device, error) {
	d, err := p.tpm.Open()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.open = d
	p.mu.Unlock()
	return d, nil
}

// with asks an open TPM.
func (p *patient) with(ask func(tpm transport.TPM) outcome) outcome {
	tpm, err := p.dial()
	if err != nil {
		return fail("", "%v", err)
	}
	defer tpm.Close()
	return ask(tpm)
}

// provider keeps keys of some directories on the TPM.
func (p *patient) provider(dirs ...string) *provider.Provider {
	keys := provider.Open(dirs, p.dial)
	keys.GiveOwnerPassword(p.tpm.Owner)
	return keys
}

// timed notes how long commands take.
type timed struct {
	Device
	patient *patient
}

var errInterrupted = errors.New("interrupted")

// Send runs a command, unless the person wants no more.
func (t timed) Send(command []byte) ([]byte, error) {
	if t.patient.ctx.Err() != nil {
		return nil, errInterrupted
	}
	start := time.Now()
	response, err := provider.Legible(t.Device).Send(command)
	if err == nil && len(command) >= 10 && isSuccess(response) {
		t.patient.note(tpm2.TPMCC(binary.BigEndian.Uint32(command[6:])), time.Since(start))
	}
	return response, err
}

func isSuccess(response []byte) bool {
	return len(response) >= 10 && binary.BigEndian.Uint32(response[6:]) == 0
}

func (p *patient) note(code tpm2.TPMCC, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took[code] = append(p.took[code], took)
}

// times are what a command took so far.
func (p *patient) times(code tpm2.TPMCC) []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]time.Duration(nil), p.took[code]...)
}

// rcDenied is a filter's answer (TSS2_RESMGR_TPM_RC_LAYER, TPM_RC_COMMAND_CODE).
const rcDenied tpm2.TPMRC = 0x000B0143

// refused is the outcome of a question that was not answered. What a filter keeps back is no fault.
func refused(what string, err error) outcome {
	var rc tpm2.TPMRC
	if errors.As(err, &rc) && rc == rcDenied {
		return ok("the filter keeps this from this user: %s", what)
	}
	return fail("", "%s: %v", what, err)
}

// raw opens the chip behind the device, past all filters, if this user may. What it asks changes nothing.
func (p *patient) raw(ask func(transport.TPM) outcome) (o outcome, seen bool) {
	d, err := p.device()
	if err != nil {
		return fail("", "%v", err), true
	}
	d.Close() // before the chip itself, which may open only once
	config, err := device.OpenChip(rawSpec(d.Spec(), d.Managed()))
	if err != nil {
		return ok("not to be seen from here: %v", err), false
	}
	chip, err := config.Open()
	if err != nil {
		return ok("not to be seen from here: %v", err), false
	}
	defer chip.Close()
	if o = ask(chip); d.Managed() {
		o.fact = "of /dev/tpm0: " + o.fact
	}
	return o, true
}

// rawSpec is the spec of the chip itself.
func rawSpec(spec string, managed bool) string {
	if managed {
		return "/dev/tpm0"
	}
	if number, ok := strings.CutPrefix(spec, "/dev/tpmrm"); ok {
		return "/dev/tpm" + number
	}
	return spec
}
