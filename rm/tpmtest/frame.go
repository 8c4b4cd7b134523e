package tpmtest

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A message starts with tag (2 bytes), size (4) and code (4): Part 1, 18.1.
// No emulator here has commands or responses of more than 4096 bytes.
const (
	headerSize = 10
	maxMessage = 4096
)

// readMessage reads one whole command or response. Its error is io.EOF only at
// the end of the stream between two messages.
func readMessage(r io.Reader) ([]byte, error) {
	message := make([]byte, headerSize)
	if _, err := io.ReadFull(r, message); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(message[2:])
	if size < headerSize || size > maxMessage {
		return nil, fmt.Errorf("size field says %d bytes, not %d to %d", size, headerSize, maxMessage)
	}
	message = append(message, make([]byte, size-headerSize)...)
	if _, err := io.ReadFull(r, message[headerSize:]); err != nil {
		return nil, fmt.Errorf("message of %d bytes: %w", size, io.ErrUnexpectedEOF)
	}
	return message, nil
}

// code returns the command code or the response code of a message, 0 if it is
// too short to have one.
func code(message []byte) uint32 {
	if len(message) < headerSize {
		return 0
	}
	return binary.BigEndian.Uint32(message[6:])
}
