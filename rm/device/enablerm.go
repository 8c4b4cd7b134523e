package device

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"tpmkey.example/rm"
	"tpmkey.example/rm/wire"
)

// EnableRM opens a raw spec and puts a manager before it, which lets every command through: what Linux's own manager is to /dev/tpm0. Of fd:N it takes the
// descriptor N over, which is one of /dev/tpm0 or a socket with the same framing.
func EnableRM(spec string) (rm.Chip, error) {
	s, err := ParseSpec(spec)
	if err != nil {
		return nil, err
	}
	if s.Managed() && s.kind != descriptor {
		return nil, fmt.Errorf("device %q: has a manager already; name a raw one, like /dev/tpm0", spec)
	}
	raw, err := connect(s)
	if err != nil {
		return nil, err
	}
	if s.kind == descriptor {
		closeOnExec(s)
	}
	return rm.Wrap(raw)
}

// closeOnExec keeps a descriptor that was taken over from the programs that this one starts: with it they would get round the manager.
func closeOnExec(s Spec) {
	var number int
	if _, err := fmt.Sscan(s.address, &number); err == nil {
		unix.CloseOnExec(number)
	}
}

// Serve lets whoever is at the other end of a stream use a chip, until he closes it.
func Serve(stream io.ReadWriter, chip rm.Chip) error {
	for {
		command, err := readMessage(stream)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a command: %w", err)
		}
		response, err := chip.Send(command)
		if err != nil {
			return err
		}
		if _, err := stream.Write(response); err != nil {
			return fmt.Errorf("write a response: %w", err)
		}
	}
}

// readMessage reads one whole message.
func readMessage(r io.Reader) ([]byte, error) {
	message := make([]byte, wire.HeaderSize)
	if _, err := io.ReadFull(r, message); err != nil {
		return nil, err
	}
	h, _ := wire.ParseHeader(message)
	if h.Size < wire.HeaderSize || h.Size > wire.MaxCommand {
		return nil, fmt.Errorf("a command that says it has %d bytes", h.Size)
	}
	message = append(message, make([]byte, h.Size-wire.HeaderSize)...)
	if _, err := io.ReadFull(r, message[wire.HeaderSize:]); err != nil {
		return nil, errors.Join(io.ErrUnexpectedEOF, err)
	}
	return message, nil
}
