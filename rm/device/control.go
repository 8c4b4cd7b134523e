package device

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"tpmkey.example/rm"
)

// swtpm's control channel: a command's number, its input, and an answer that begins with a result (swtpm's tpm_ioctl.h).
const (
	cmdSetLocality  = 5 // locality (1)
	controlPatience = 10 * time.Second
)

// controlled is an emulator of which the control channel is known too.
type controlled struct {
	rm.Chip
	spec Spec
}

func connectWithControl(s Spec) (rm.Chip, error) {
	data := s
	data.Control = ""
	chip, err := connect(data)
	if err != nil {
		return nil, err
	}
	return &controlled{chip, s}, nil
}

// SetLocality has the commands that follow come from a locality. The channel is given back at once: swtpm serves one connection on it.
func (c *controlled) SetLocality(locality uint8) error {
	if err := c.control(cmdSetLocality, locality); err != nil {
		return fmt.Errorf("set locality %d of %s: %w", locality, c.spec, err)
	}
	return nil
}

func (c *controlled) control(number uint32, input ...byte) error {
	conn, err := c.dialControl()
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(controlPatience))
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, number), input...)); err != nil {
		return err
	}
	result := make([]byte, 4)
	if _, err := io.ReadFull(conn, result); err != nil {
		return err
	}
	if n := binary.BigEndian.Uint32(result); n != 0 {
		return fmt.Errorf("the emulator refuses, result 0x%x", n)
	}
	return nil
}

func (c *controlled) dialControl() (net.Conn, error) {
	if c.spec.kind == unixSocket {
		return net.DialTimeout("unix", c.spec.Control, controlPatience)
	}
	host, _, err := net.SplitHostPort(c.spec.address)
	if err != nil {
		return nil, err
	}
	return net.DialTimeout("tcp", net.JoinHostPort(host, c.spec.Control), controlPatience)
}
