package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/sys/unix"

	"tpmkey.example/filter"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
	"tpmkey.example/tpms"
)

var (
	bothRoot = holder{node: true, openerIsRoot: true, callerIsRoot: true}
	someone  = holder{node: true}
)

// wantErrno asks for something that has no answer, or whose answer does not matter.
func (d *descriptor) wantErrno(h holder, number uint32, argument []byte, want unix.Errno) {
	d.t.Helper()
	_, err := d.ask(h, number, argument)
	if want == 0 && err != nil || want != 0 && !errors.Is(err, want) {
		d.t.Errorf("ioctl 0x%x %.40q of %+v: %v, want %v", number, argument, h, err, want)
	}
}

func (d *descriptor) state() tpms.State {
	d.t.Helper()
	b, err := d.ask(someone, tpms.IocQuery, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	s, err := tpms.ParseState(b)
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

// wantAllowed tells whether a command gets through.
func (d *descriptor) wantAllowed(command []byte, want bool) {
	d.t.Helper()
	d.mustWrite(command)
	response, err := d.read(4096)
	if err != nil || (string(response) != string(wire.ErrorResponse(filter.RCDenied))) != want {
		d.t.Errorf("%x: %x, %v, want it allowed: %v", command, response, err, want)
	}
}

// Every number, by whom it may be called. Who may not learns nothing else: not whether there is such a chip, nor whether a text is a filter.
func TestWhoMayCall(t *testing.T) {
	d := newDescriptor(t)
	readClock := wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCReadClock)).Bytes()
	for number, row := range ioctls {
		for _, h := range []holder{someone, {node: true, openerIsRoot: true}, {node: true, callerIsRoot: true}} {
			if row.what == widen && row.changes {
				d.wantErrno(h, number, []byte("no filter, no chip\x00"), unix.EPERM)
			} else if !row.changes {
				d.wantErrno(h, number, nil, 0)
			}
		}
	}
	if got, want := d.state(), (tpms.State{Filter: "rsa", Chip: anyChip}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	d.wantAllowed(readClock, false)
	d.wantErrno(bothRoot, tpms.IocSetFilter, tpms.Text("all"), 0)
	d.wantAllowed(readClock, true)
	d.wantErrno(bothRoot, tpms.IocSetChip, tpms.Numeral(0), 0)
	d.wantErrno(bothRoot, tpms.IocSetLocality, tpms.Numeral(0), 0)
	if got, want := d.state(), (tpms.State{Filter: "all", Chip: 0}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	d.wantErrno(bothRoot, 0xBE63, nil, unix.ENOTTY)
}

func TestImpossibleChanges(t *testing.T) {
	d := newDescriptor(t)
	for _, row := range []struct {
		number   uint32
		argument []byte
		want     unix.Errno
	}{
		{tpms.IocSetFilter, tpms.Text("users"), unix.EINVAL},
		{tpms.IocSetFilter, tpms.Text("/etc/passwd"), unix.EINVAL},
		{tpms.IocSetFilter, nil, unix.EINVAL},
		{tpms.IocNarrow, tpms.Text("profile x from rsa: y\nallow TPM2_Sing: z\n"), unix.EINVAL},
		{tpms.IocSetChip, tpms.Numeral(1), unix.ENODEV},
		{tpms.IocSetChip, tpms.Numeral(-2), unix.ENODEV},
		{tpms.IocSetLocality, tpms.Numeral(1), unix.EOPNOTSUPP},
		{tpms.IocSetLocality, tpms.Numeral(256), unix.EOPNOTSUPP},
	} {
		d.wantErrno(bothRoot, row.number, row.argument, row.want)
	}
	if got, want := d.state(), (tpms.State{Filter: "rsa", Chip: anyChip}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	d.mustWrite(getRandom(32)) // the space is still there
	wantRandom(t, d.mustRead(100, readable32), 32)
}

func TestNarrowAndSeal(t *testing.T) {
	d := newDescriptor(t)
	d.wantErrno(someone, tpms.IocNarrow, tpms.Text("profile less from rsa: no numbers\ndeny TPM2_GetRandom: mine are better\n"), 0)
	d.wantAllowed(getRandom(32), false)
	if got := d.state().Filter; got != "rsa narrowed by less" {
		t.Errorf("the filter is %q", got)
	}
	b, err := d.ask(someone, tpms.IocGetFilter, nil)
	if text := tpms.String(b); err != nil || !strings.HasPrefix(text, "profile rsa: ") || !strings.Contains(text, "profile less from rsa: ") {
		t.Errorf("the text is %.100q, %v", text, err)
	}
	for i := 1; i < mostNarrowings; i++ {
		d.wantErrno(someone, tpms.IocNarrow, tpms.Text("rsa"), 0)
	}
	d.wantErrno(someone, tpms.IocNarrow, tpms.Text("rsa"), unix.ENOSPC)
	d.wantErrno(someone, tpms.IocGetFilter, nil, unix.EOVERFLOW)
	d.wantErrno(someone, tpms.IocSeal, nil, 0)
	for _, number := range []uint32{tpms.IocSetFilter, tpms.IocSetChip, tpms.IocSetLocality, tpms.IocNarrow, tpms.IocSeal} {
		d.wantErrno(bothRoot, number, tpms.Text("all"), unix.EPERM)
	}
	if !d.state().Sealed {
		t.Error("it does not say that it is sealed")
	}
}

// A change waits for no command, and a command for no change.
func TestChangeWhileACommandRuns(t *testing.T) {
	d := newDescriptor(t)
	d.gate.Lock()
	d.flags = unix.O_NONBLOCK
	d.mustWrite(getRandom(32))
	d.wantErrno(someone, tpms.IocQuery, nil, unix.EBUSY)
	d.wantErrno(bothRoot, tpms.IocSetFilter, tpms.Text("all"), unix.EBUSY)
	d.gate.Unlock()
	d.awaitWake()
	wantRandom(t, d.mustRead(100, readable32), 32)
	d.wantErrno(someone, tpms.IocQuery, nil, 0)
}

// What a descriptor held is gone from the chip when it gets another filter.
func TestSetFilterLeavesNothing(t *testing.T) {
	d := newDescriptor(t)
	chip := tpmtest.Func(func(command []byte) ([]byte, error) {
		d.mustWrite(command)
		return d.read(4096)
	})
	primary, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}.Execute(chip)
	if err != nil {
		t.Fatal(err)
	}
	d.wantErrno(bothRoot, tpms.IocSetFilter, tpms.Text("rsa"), 0)
	if _, err := (tpm2.ReadPublic{ObjectHandle: primary.ObjectHandle}).Execute(chip); err == nil {
		t.Error("the key is still there")
	}
}
