package cuse

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// The kernel's protocol, by the names of include/uapi/linux/fuse.h. Numbers are in the machine's own byte order.
const (
	protocolMajor = 7
	protocolMinor = 36 // Linux 5.19; older kernels are spoken to just the same, all that is used here is of 7.12

	headerSize    = 40 // fuse_in_header
	outHeaderSize = 16 // fuse_out_header
	writeInSize   = 40 // fuse_write_in
	initOutSize   = 72 // cuse_init_out

	notifyPoll         = 1 // FUSE_NOTIFY_POLL
	pollScheduleNotify = 1 // FUSE_POLL_SCHEDULE_NOTIFY
)

// An opcode says what the kernel asks for.
type opcode uint32

const (
	opOpen      opcode = 14   // FUSE_OPEN
	opRead      opcode = 15   // FUSE_READ
	opWrite     opcode = 16   // FUSE_WRITE
	opRelease   opcode = 18   // FUSE_RELEASE
	opInterrupt opcode = 36   // FUSE_INTERRUPT
	opIoctl     opcode = 39   // FUSE_IOCTL
	opPoll      opcode = 40   // FUSE_POLL
	opInit      opcode = 4096 // CUSE_INIT
)

// fixedSize is how long the part of a request is that every request of its kind has. What is not here is answered with ENOSYS: the kernel asks for nothing
// else of a character device, and never for FUSE_FLUSH.
var fixedSize = map[opcode]int{
	opOpen:      8,           // fuse_open_in
	opRead:      40,          // fuse_read_in
	opWrite:     writeInSize, // and the bytes
	opRelease:   24,          // fuse_release_in
	opInterrupt: 8,           // fuse_interrupt_in
	opIoctl:     32,          // fuse_ioctl_in, and the argument
	opPoll:      24,          // fuse_poll_in
	opInit:      16,          // cuse_init_in
}

// A message is one request of the kernel, taken apart. What a kind does not have is zero.
type message struct {
	opcode opcode
	unique uint64 // names the request in its answer
	caller Caller

	handle uint64 // of the open file: what OPEN was answered with
	flags  uint32 // the file's, as open(2) and fcntl(2) set them; of IOCTL and POLL their own
	size   uint32 // READ: bytes wanted; IOCTL: bytes to answer with at most
	about  uint64 // INTERRUPT: the request; POLL: the kernel's name of the file
	number uint32 // IOCTL: which
	data   []byte // WRITE: what; IOCTL: the argument; points into the buffer

	major, minor uint32 // INIT
}

var (
	errShort  = errors.New("the kernel sent less than a request of this kind has")
	errLength = errors.New("the kernel sent a request that is not as long as it says")
)

// parse takes a request apart. An opcode that nobody here knows is no error: it has an answer.
func parse(b []byte) (message, error) {
	if len(b) < headerSize {
		return message{}, errShort
	}
	if n := binary.NativeEndian.Uint32(b); uint64(n) != uint64(len(b)) {
		return message{}, errLength
	}
	m := message{
		opcode: opcode(binary.NativeEndian.Uint32(b[4:])),
		unique: binary.NativeEndian.Uint64(b[8:]),
		caller: Caller{UID: binary.NativeEndian.Uint32(b[24:]), GID: binary.NativeEndian.Uint32(b[28:]), TID: int32(binary.NativeEndian.Uint32(b[32:]))},
	}
	rest := b[headerSize:]
	size, known := fixedSize[m.opcode]
	if !known {
		return m, nil
	}
	if len(rest) < size {
		return message{}, errShort
	}
	return m, m.take(rest[:size], rest[size:])
}

// take reads what the header does not have.
func (m *message) take(fixed, data []byte) error {
	u32 := func(at int) uint32 { return binary.NativeEndian.Uint32(fixed[at:]) }
	u64 := func(at int) uint64 { return binary.NativeEndian.Uint64(fixed[at:]) }
	switch m.opcode {
	case opInit:
		m.major, m.minor = u32(0), u32(4)
	case opOpen:
		m.flags = u32(0)
	case opInterrupt:
		m.about = u64(0)
	case opRelease:
		m.handle = u64(0)
	case opPoll:
		m.handle, m.about, m.flags = u64(0), u64(8), u32(16)
	case opRead:
		m.handle, m.size, m.flags = u64(0), u32(16), u32(32)
	case opWrite:
		m.handle, m.flags = u64(0), u32(32)
		return m.takeData(u32(16), data)
	case opIoctl:
		m.handle, m.flags, m.number, m.size = u64(0), u32(8), u32(12), u32(28)
		return m.takeData(u32(24), data)
	}
	return nil
}

func (m *message) takeData(size uint32, data []byte) error {
	if uint64(size) != uint64(len(data)) {
		return errLength
	}
	m.data = data
	return nil
}

// answer is a reply to a request: bytes, or an error number.
func answer(unique uint64, errno unix.Errno, parts ...[]byte) []byte {
	size := outHeaderSize
	for _, part := range parts {
		size += len(part)
	}
	b := make([]byte, outHeaderSize, size)
	binary.NativeEndian.PutUint32(b, uint32(size))
	binary.NativeEndian.PutUint32(b[4:], uint32(-int32(errno)))
	binary.NativeEndian.PutUint64(b[8:], unique)
	for _, part := range parts {
		b = append(b, part...)
	}
	return b
}

// notification tells the kernel of its own accord that a file that it polls has changed.
func notification(kernelHandle uint64) []byte {
	b := answer(0, 0, u64s(kernelHandle)) // fuse_notify_poll_wakeup_out
	binary.NativeEndian.PutUint32(b[4:], notifyPoll)
	return b
}

func u32s(values ...uint32) (b []byte) {
	for _, v := range values {
		b = binary.NativeEndian.AppendUint32(b, v)
	}
	return b
}

func u64s(values ...uint64) (b []byte) {
	for _, v := range values {
		b = binary.NativeEndian.AppendUint64(b, v)
	}
	return b
}
