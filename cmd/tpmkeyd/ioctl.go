package main

import (
	"errors"

	"golang.org/x/sys/unix"

	"tpmkey.example/cmd/tpmkeyd/cuse"
	"tpmkey.example/tpms"
)

// ioctls are the calls that an open node understands, and the change that each makes, if it makes one.
var ioctls = map[uint32]struct {
	changes bool
	what    change
	call    func(o *opened, h holder, argument []byte) ([]byte, error)
}{
	tpms.IocQuery:       {call: (*opened).query},
	tpms.IocGetFilter:   {call: (*opened).filterText},
	tpms.IocSetFilter:   {true, widen, (*opened).setFilter},
	tpms.IocGetChip:     {call: (*opened).chip},
	tpms.IocSetChip:     {true, widen, (*opened).setChip},
	tpms.IocGetLocality: {call: (*opened).locality},
	tpms.IocSetLocality: {true, widen, (*opened).setLocality},
	tpms.IocNarrow:      {true, narrow, (*opened).narrow},
	tpms.IocSeal:        {true, seal, (*opened).seal},
}

// Ioctl finds out who calls while he waits for us, and can neither change nor go away.
func (o *opened) Ioctl(r *cuse.Request, number uint32, argument []byte) ([]byte, error) {
	r.Wait(nil)
	return o.ask(holder{node: true, openerIsRoot: o.openerIsRoot, callerIsRoot: isRoot(r.Caller.UID, r.Caller.TID)}, number, argument)
}

// ask lets neither a command run meanwhile nor another change. Who may not make a change learns nothing else.
func (o *opened) ask(h holder, number uint32, argument []byte) ([]byte, error) {
	row, known := ioctls[number]
	if !known {
		return nil, unix.ENOTTY
	}
	if row.changes && o.client.granted().permits(row.what, h) != nil {
		return nil, unix.EPERM
	}
	leave, err := o.begin()
	if err != nil {
		return nil, err
	}
	defer leave()
	return row.call(o, h, argument)
}

// begin keeps commands out.
func (o *opened) begin() (leave func(), err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.running != nil {
		return nil, unix.EBUSY
	}
	run := &running{ended: make(chan struct{})}
	o.running = run
	return func() {
		o.mu.Lock()
		o.running = nil
		o.mu.Unlock()
		close(run.ended)
		o.wake()
	}, nil
}

func (o *opened) query(holder, []byte) ([]byte, error) {
	g := o.client.granted()
	return tpms.State{Filter: g.filter.Name(), Chip: g.chip, Locality: g.locality, Sealed: g.sealed}.Bytes(), nil
}

func (o *opened) filterText(holder, []byte) ([]byte, error) {
	b := tpms.Text(o.client.filterText())
	if b == nil {
		return nil, unix.EOVERFLOW
	}
	return b, nil
}

func (o *opened) chip(holder, []byte) ([]byte, error) {
	return tpms.Numeral(int32(o.client.granted().chip)), nil
}

func (o *opened) locality(holder, []byte) ([]byte, error) {
	return tpms.Numeral(int32(o.client.granted().locality)), nil
}

func (o *opened) setFilter(h holder, argument []byte) ([]byte, error) {
	f, err := o.client.readProfile(tpms.String(argument))
	if err != nil {
		return nil, unix.EINVAL
	}
	return nil, o.widen(func(g *grant) { g.filter = f }, h, unix.EIO)
}

func (o *opened) setChip(h holder, argument []byte) ([]byte, error) {
	chip := int(tpms.Number(argument))
	if chip < anyChip {
		return nil, unix.ENODEV
	}
	return nil, o.widen(func(g *grant) { g.chip = chip }, h, unix.ENODEV)
}

func (o *opened) setLocality(h holder, argument []byte) ([]byte, error) {
	locality := tpms.Number(argument)
	if locality < 0 || locality > 255 {
		return nil, unix.EOPNOTSUPP
	}
	return nil, o.widen(func(g *grant) { g.locality = uint8(locality) }, h, unix.EOPNOTSUPP)
}

// widen tells the caller with impossible that he may, but that there is no such thing.
func (o *opened) widen(to func(*grant), h holder, impossible unix.Errno) error {
	err := o.client.widen(to, h)
	if err == nil || isForbidden(err) {
		return errnoOfChange(err)
	}
	return impossible
}

func (o *opened) narrow(h holder, argument []byte) ([]byte, error) {
	return nil, errnoOfChange(o.client.narrowBy(tpms.String(argument), h))
}

func (o *opened) seal(h holder, _ []byte) ([]byte, error) {
	return nil, errnoOfChange(o.client.seal(h))
}

func isForbidden(err error) bool {
	return errors.Is(err, errSealed) || errors.Is(err, errFixed) || errors.Is(err, errNotRoot)
}

func errnoOfChange(err error) error {
	switch {
	case isForbidden(err):
		return unix.EPERM
	case err == errTooNarrow:
		return unix.ENOSPC
	case err != nil: // it is no filter. No file is read here: the caller has other rights than we
		return unix.EINVAL
	}
	return nil
}
