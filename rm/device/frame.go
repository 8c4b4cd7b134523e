package device

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/wire"
)

// Beside TPM commands a managed device takes frames of tpmkeyd's own. They look like commands with a tag that no TPM has (Part 2, 6.9), so that nothing can be taken for
// both. The response is a header; its code says what became of it.
const frameTag tpm2.TPMST = 0x7470

// A Frame is what a client asks of tpmkeyd itself. No frame gives anybody more than he has.
type Frame uint32

// The frames.
const (
	FrameNarrow Frame = 1 // the name or the text of a profile: from now on what both let through
	FrameSeal   Frame = 2 // nothing: the client's filter changes no more
)

// Codes that a frame is answered with: TSS2_RESMGR_TPM_RC_LAYER and those of Part 2.
const (
	rcFrameSealed tpm2.TPMRC = 0x000B0143 // TPM_RC_COMMAND_CODE: it may not
	rcFrameValue  tpm2.TPMRC = 0x000B0084 // TPM_RC_VALUE: it is no profile, or no frame
)

// Bytes are a frame as it is sent.
func (f Frame) Bytes(text string) []byte {
	return wire.NewMessage(frameTag, uint32(f)).Raw([]byte(text)).Bytes()
}

// ParseFrame tells whether a message is a frame, and takes it apart.
func ParseFrame(message []byte) (f Frame, text string, ok bool) {
	h, whole := wire.ParseHeader(message)
	if !whole || h.Tag != frameTag {
		return 0, "", false
	}
	return Frame(h.Code), string(message[wire.HeaderSize:]), true
}

// AnswerFrame is what a frame is answered with; refused are those errors that say that the caller may not.
func AnswerFrame(err error, refused ...error) []byte {
	switch {
	case err == nil:
		return wire.ErrorResponse(0)
	case slices.ContainsFunc(refused, func(r error) bool { return errors.Is(err, r) }):
		return wire.ErrorResponse(rcFrameSealed)
	}
	return wire.ErrorResponse(rcFrameValue)
}

// Narrow takes rights away from this way to the TPM, for good and for whoever has it too: from now on it lets through what the profile does as well. The profile is
// given by its name, or as text where it is not built in.
func (d *Device) Narrow(profile string) error {
	if space, ok := d.sender.(*rm.Space); ok {
		f, err := ParseProfile(profile)
		if err == nil {
			space.Narrow(f)
		}
		return err
	}
	return d.frame(FrameNarrow, profile)
}

// Seal lets nobody narrow it further.
func (d *Device) Seal() error {
	if !d.Managed() {
		return errors.New("seal: only what tpmkeyd serves is sealed; here the filter is this process's own")
	}
	return d.frame(FrameSeal, "")
}

func (d *Device) frame(f Frame, text string) error {
	message := f.Bytes(text)
	if len(message) > wire.MaxCommand {
		return fmt.Errorf("%s: a profile of %d bytes; it must fit into a command of %d", d.spec, len(text), wire.MaxCommand)
	}
	response, err := d.Send(message)
	if err != nil {
		return err
	}
	h, ok := wire.ParseHeader(response)
	switch rc := tpm2.TPMRC(h.Code); {
	case !ok:
		return fmt.Errorf("%s: no answer to a change of the filter; update tpmkeyd", d.spec)
	case rc == rcFrameSealed:
		return fmt.Errorf("%s: the filter is sealed", d.spec)
	case rc == rcFrameValue:
		return fmt.Errorf("%s: %q is no profile that tpmkeyd knows", d.spec, text)
	case rc != 0:
		return fmt.Errorf("%s: change of the filter: %w", d.spec, rc)
	}
	return nil
}

// ParseProfile gives a built-in profile, or the one that a text is.
func ParseProfile(profile string) (*filter.Filter, error) {
	f, err := filter.Named(profile)
	if err == nil {
		return f, nil
	}
	if parsed, parseErr := filter.Parse(profile); parseErr == nil {
		return parsed, nil
	}
	return nil, err
}
