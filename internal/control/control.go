// Package control is how root asks tpmkeyd for a descriptor: one request and one answer on a Unix socket, each a length and a JSON object, the descriptor beside the
// answer (SCM_RIGHTS).
package control

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Path is where tpmkeyd listens. The socket is root's alone.
const Path = "/run/tpmkey/control.sock"

// Patience is how long either side waits for the other.
const Patience = 10 * time.Second

// MaxSize bounds a message, of which the text of a profile is most.
const MaxSize = 1<<20 + 4096

// A Request says what a descriptor can do. Nobody widens that later.
type Request struct {
	Filter   string `json:"filter"`   // a built-in profile's name; "": the service's own filter
	Profile  string `json:"profile"`  // instead, the text of a profile
	Chip     *int   `json:"chip"`     // nil: the first there is
	Locality uint8  `json:"locality"` // from which commands come
	UID      uint32 `json:"uid"`      // who answers for what is done with it: his limits and turns
	Seal     bool   `json:"seal"`     // nobody narrows it either

	Usage bool `json:"usage"` // no descriptor, but who uses the TPM
}

// An Answer says what was made of it.
type Answer struct {
	Error  string `json:"error"`
	Filter string `json:"filter"` // the name of the one that holds
	Usage  *Usage `json:"usage"`
}

// Usage is who uses the TPM, counted since the service was started.
type Usage struct {
	PID      int          `json:"pid"` // of the service
	Chips    []int        `json:"chips"`
	Users    []UserUse    `json:"users"`
	Commands []CommandUse `json:"commands"`
	Denied   []Denial     `json:"denied"`
}

// CommandUse is what one command has cost.
type CommandUse struct {
	Name  string        `json:"name"` // "unknown": all that only the chip knows
	Count uint64        `json:"count"`
	Ran   time.Duration `json:"ran"` // turns, in nanoseconds
}

// A Denial is how often a rule has refused a command.
type Denial struct {
	Command string `json:"command"`
	Rule    string `json:"rule"`
	Count   uint64 `json:"count"`
}

// UserUse is what a user, with the uids that are lent to him, has done.
type UserUse struct {
	UID      uint32        `json:"uid"`
	Clients  int           `json:"clients"`
	Queue    int           `json:"queue"` // commands that wait or run now
	Commands uint64        `json:"commands"`
	Denied   uint64        `json:"denied"`
	Waited   time.Duration `json:"waited"` // for turns, in nanoseconds
	Ran      time.Duration `json:"ran"`    // turns, in nanoseconds
}

// Read reads one message.
func Read(r io.Reader, message any) error {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > MaxSize {
		return fmt.Errorf("a message of %d bytes; the longest has %d", n, MaxSize)
	}
	text, err := io.ReadAll(io.LimitReader(r, int64(n))) // the memory grows with what really comes
	if err != nil || uint32(len(text)) < n {
		return errors.Join(err, io.ErrUnexpectedEOF)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(message)
}

// Write writes one message, with a descriptor beside it unless that is negative.
func Write(conn *net.UnixConn, message any, fd int) error {
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	_, _, err = conn.WriteMsgUnix(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...), rights, nil)
	return err
}

// Ask asks the service at a path for a descriptor.
func Ask(path string, q Request) (*os.File, Answer, error) {
	file, a, err := ask(path, q)
	if err == nil && file == nil {
		err = errors.New("the answer has no descriptor")
	}
	return file, a, err
}

// AskUsage asks the service at a path who uses the TPM.
func AskUsage(path string) (*Usage, error) {
	file, a, err := ask(path, Request{Usage: true})
	if file != nil {
		file.Close()
	}
	if err == nil && a.Usage == nil {
		err = errors.New("the answer does not say who uses the TPM")
	}
	return a.Usage, err
}

func ask(path string, q Request) (*os.File, Answer, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, Answer{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(Patience)); err != nil {
		return nil, Answer{}, err
	}
	if err := Write(conn, q, -1); err != nil {
		return nil, Answer{}, err
	}
	return readAnswer(conn)
}

// readAnswer reads an answer and the descriptor that came with its first bytes, if one did.
func readAnswer(conn *net.UnixConn) (file *os.File, a Answer, err error) {
	buffer, rights := make([]byte, MaxSize), make([]byte, unix.CmsgSpace(4))
	n, m, _, _, err := conn.ReadMsgUnix(buffer, rights)
	if err != nil {
		return nil, a, err
	}
	fds := descriptors(rights[:m])
	if err = Read(io.MultiReader(bytes.NewReader(buffer[:n]), conn), &a); err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	if err == nil && len(fds) == 1 {
		return os.NewFile(uintptr(fds[0]), "tpmkey"), a, nil
	}
	for _, fd := range fds {
		unix.Close(fd)
	}
	return nil, a, err
}

// descriptors are those in control messages. Go has asked for close-on-exec ones.
func descriptors(rights []byte) (fds []int) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil
	}
	for i := range messages {
		if more, err := unix.ParseUnixRights(&messages[i]); err == nil {
			fds = append(fds, more...)
		}
	}
	return fds
}
