package device

import (
	"errors"
	"fmt"
	"io"

	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/rm"
	"tpmkey.example/rm/wire"
)

// Relay answers commands as they stand one after another in a stream, each response when it is there, until the stream ends.
func (d *Device) Relay(commands io.Reader, responses io.Writer) error {
	return converse(d, commands, responses)
}

// Serve lets whoever is at the other end of a stream use a chip, until he closes it.
func Serve(stream io.ReadWriter, chip rm.Chip) error { return converse(chip, stream, stream) }

func converse(tpm transport.TPM, commands io.Reader, responses io.Writer) error {
	for {
		command, err := nextCommand(commands)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a command: %w", err)
		}
		response, err := tpm.Send(command)
		if err != nil {
			return err
		}
		if _, err := responses.Write(response); err != nil {
			return fmt.Errorf("write a response: %w", err)
		}
	}
}

// nextCommand reads one whole command. io.EOF means that none has begun.
func nextCommand(from io.Reader) ([]byte, error) {
	header := make([]byte, wire.HeaderSize)
	if _, err := io.ReadFull(from, header); err != nil {
		return nil, err
	}
	h, _ := wire.ParseHeader(header)
	if h.Size < wire.HeaderSize || h.Size > wire.MaxCommand {
		return nil, fmt.Errorf("it says that it has %d bytes, which no command has", h.Size)
	}
	command := append(header, make([]byte, h.Size-wire.HeaderSize)...)
	_, err := io.ReadFull(from, command[wire.HeaderSize:])
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return command, err
}
