// Package tpms asks and changes what an open /dev/tpms may do. All of it is the descriptor's: whoever else opens /dev/tpms gets what the administrator grants,
// and whoever a descriptor is passed to gets what it was left at.
//
// Everybody may query, narrow and seal. To set a filter, a chip or a locality, who opened the descriptor and who calls must both be root, with CAP_SYS_ADMIN in
// the initial user namespace; else the error is unix.EPERM. What the chip held for the descriptor is gone then.
//
// tpms.h says the same in C.
package tpms

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"tpmkey.example/internal/ioctl"
)

// Sizes of what the calls exchange.
const (
	QuerySize  = 256   // struct tpms_query
	NameSize   = 240   // of it, the filter's name with a 0 behind it
	FilterSize = 16000 // struct tpms_filter: a text with a 0 behind it
)

const kind = 0xBE

// The calls' numbers.
var (
	IocQuery       = ioctl.Read(kind, 0, QuerySize)
	IocGetFilter   = ioctl.Read(kind, 1, FilterSize)
	IocSetFilter   = ioctl.Write(kind, 2, FilterSize)
	IocGetChip     = ioctl.Read(kind, 3, 4)
	IocSetChip     = ioctl.Write(kind, 4, 4)
	IocGetLocality = ioctl.Read(kind, 5, 4)
	IocSetLocality = ioctl.Write(kind, 6, 4)
	IocNarrow      = ioctl.Write(kind, 7, FilterSize)
	IocSeal        = ioctl.None(kind, 8)
)

// AnyChip is the first chip there is.
const AnyChip = -1

// sealed is a flag of struct tpms_query: TPMS_SEALED.
const sealed = 1

// A State is what a descriptor may do.
type State struct {
	Filter   string // its name, or the names of all that narrow it, of which long ones are cut
	Chip     int    // AnyChip: the first there is
	Locality uint8
	Sealed   bool // nothing changes any more
}

// Bytes is the state as a struct tpms_query.
func (s State) Bytes() []byte {
	b := make([]byte, QuerySize)
	var flags uint32
	if s.Sealed {
		flags |= sealed
	}
	for i, v := range []uint32{uint32(int32(s.Chip)), uint32(s.Locality), flags, 0} {
		binary.NativeEndian.PutUint32(b[4*i:], v)
	}
	copy(b[QuerySize-NameSize:QuerySize-1], s.Filter)
	return b
}

// ParseState reads a struct tpms_query.
func ParseState(b []byte) (State, error) {
	if len(b) != QuerySize {
		return State{}, fmt.Errorf("a state of %d bytes, not %d", len(b), QuerySize)
	}
	locality := binary.NativeEndian.Uint32(b[4:])
	if locality > 255 {
		return State{}, fmt.Errorf("locality %d", locality)
	}
	return State{Filter: String(b[QuerySize-NameSize:]), Chip: int(Number(b)), Locality: uint8(locality), Sealed: binary.NativeEndian.Uint32(b[8:])&sealed != 0}, nil
}

// String is the text before the first 0.
func String(b []byte) string {
	text, _, _ := bytes.Cut(b, []byte{0})
	return string(text)
}

// Text is a struct tpms_filter, nil if the text does not fit.
func Text(text string) []byte {
	if len(text) >= FilterSize {
		return nil
	}
	return append([]byte(text), make([]byte, FilterSize-len(text))...)
}

// Number is a chip or a locality, 0 if it is not there.
func Number(b []byte) int32 {
	if len(b) < 4 {
		return 0
	}
	return int32(binary.NativeEndian.Uint32(b))
}

// Numeral is what Number reads.
func Numeral(n int32) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(n)) }

// Query tells what a descriptor may do.
func Query(fd int) (State, error) {
	b, err := get(fd, "query", IocQuery)
	if err != nil {
		return State{}, err
	}
	return ParseState(b)
}

// Filter gives the text of the filter.
func Filter(fd int) (string, error) {
	b, err := get(fd, "get the filter of", IocGetFilter)
	return String(b), err
}

// SetFilter gives a descriptor another filter: a profile's name, or its text.
func SetFilter(fd int, filter string) error {
	return set(fd, "set the filter of", IocSetFilter, Text(filter))
}

// Chip tells which chip a descriptor is for.
func Chip(fd int) (int, error) {
	b, err := get(fd, "get the chip of", IocGetChip)
	return int(Number(b)), err
}

// SetChip gives a descriptor another chip.
func SetChip(fd, chip int) error { return set(fd, "set the chip of", IocSetChip, Numeral(int32(chip))) }

// Locality tells from which locality a descriptor's commands come.
func Locality(fd int) (uint8, error) {
	b, err := get(fd, "get the locality of", IocGetLocality)
	return uint8(Number(b)), err
}

// SetLocality gives a descriptor another locality.
func SetLocality(fd int, locality uint8) error {
	return set(fd, "set the locality of", IocSetLocality, Numeral(int32(locality)))
}

// Narrow adds a filter, a profile's name or its text: from now on a descriptor may send what both let through. Nothing takes it back but root's SetFilter.
func Narrow(fd int, filter string) error { return set(fd, "narrow", IocNarrow, Text(filter)) }

// Seal lets nothing of a descriptor change any more, not even by root.
func Seal(fd int) error { return set(fd, "seal", IocSeal, nil) }

func get(fd int, what string, number uint32) ([]byte, error) {
	b := make([]byte, ioctl.Size(number))
	if err := ioctl.Do(fd, number, b); err != nil {
		return nil, fmt.Errorf("%s descriptor %d: %w", what, fd, explain(err))
	}
	return b, nil
}

func set(fd int, what string, number uint32, argument []byte) error {
	if argument == nil && ioctl.Size(number) > 0 {
		return fmt.Errorf("%s descriptor %d: a text of more than %d bytes; name a profile, or write one that starts from another", what, fd, FilterSize-1)
	}
	if err := ioctl.Do(fd, number, argument); err != nil {
		return fmt.Errorf("%s descriptor %d: %w", what, fd, explain(err))
	}
	return nil
}

// explain says what is meant where errno's own words do not.
func explain(err error) error {
	reason := map[error]string{
		unix.ENOTTY:     "it is no /dev/tpms",
		unix.EPERM:      "it is sealed, or its opener and its caller are not both root",
		unix.EBUSY:      "a command runs; try again when it has ended",
		unix.ENODEV:     "there is no such chip",
		unix.EOPNOTSUPP: "the chip cannot be reached from this locality",
		unix.EOVERFLOW:  "the text is too long; query tells its name",
		unix.ENOSPC:     "it was narrowed too often; open another one",
	}[err]
	if reason == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, reason)
}
