package tpmtest

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"slices"
	"sync"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// RSAChip is a fake chip with crypto/rsa in it: as much of a TPM as RSA keys
// without a PIN need, below one storage primary, with sizes that no emulator has
// and with what real chips lack or do in another way. It knows no sessions and has
// room for everything.
type RSAChip struct {
	Sizes       []int           // of RSA keys; nil: 2048, 3072, 4096
	Lacks       []tpm2.TPMAlgID // hashes, which TPM2_Sign and OAEP then refuse
	LongestSalt bool            // PSS with the longest salt that fits, not one as long as the hash
	NoRaw       bool            // TPM2_RSA_Decrypt refuses the scheme NULL

	mu     sync.Mutex
	keys   map[string]*rsa.PrivateKey // by modulus
	loaded map[uint32]tpm2.TPMTPublic
	last   uint32
}

// Codes as a chip answers with them: the parameter is part of them.
const (
	rcNoKey     = tpm2.TPMRCHandle | 1<<8
	rcKeyBits   = tpm2.TPMRCValue | 0x40 | 1<<8
	rcExponent  = tpm2.TPMRCRange
	rcTemplate  = tpm2.TPMRCAttributes | 0x40 | 2<<8
	rcPrivate   = tpm2.TPMRCIntegrity | 0x40 | 1<<8
	rcCipher    = tpm2.TPMRCValue | 0x40 | 1<<8
	rcHash2     = tpm2.TPMRCHash | 0x40 | 2<<8
	rcScheme2   = tpm2.TPMRCScheme | 0x40 | 2<<8
	rcUnknown   = tpm2.TPMRCCommandCode
	rcMalformed = tpm2.TPMRCCommandSize
)

// Add gives the chip a private key, so that files with its public part load.
func (c *RSAChip) Add(key *rsa.PrivateKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil {
		c.keys = map[string]*rsa.PrivateKey{}
	}
	c.keys[string(key.N.Bytes())] = key
}

// Close does nothing: the chip may be dialled again.
func (c *RSAChip) Close() error { return nil }

// Send runs a command, one at a time but for the RSA operations.
func (c *RSAChip) Send(command []byte) ([]byte, error) {
	h, ok := wire.ParseHeader(command)
	run, known := rsaCommands[tpm2.TPMCC(h.Code)]
	if !ok || !known {
		return wire.ErrorResponse(rcUnknown), nil
	}
	handles, parameters, err := run(c, command)
	var rc tpm2.TPMRC
	if errors.As(err, &rc) {
		return wire.ErrorResponse(rc), nil
	}
	if err != nil {
		return nil, err
	}
	return rsaAnswer(tpm2.TPMST(h.Tag), handles, parameters), nil
}

// rsaAnswer is a good response, with an answer to a password if there was one.
func rsaAnswer(tag tpm2.TPMST, handles, parameters []byte) []byte {
	m := wire.NewMessage(tag, 0).Raw(handles)
	if tag == tpm2.TPMSTNoSessions {
		return m.Raw(parameters).Bytes()
	}
	return m.Uint32(uint32(len(parameters))).Raw(parameters).Raw([]byte{0, 0, 1, 0, 0}).Bytes()
}

// rsaCommands are what the chip has.
var rsaCommands = map[tpm2.TPMCC]func(c *RSAChip, command []byte) (handles, parameters []byte, err error){
	tpm2.TPMCCTestParms: (*RSAChip).testParms, tpm2.TPMCCReadPublic: (*RSAChip).readPublic, tpm2.TPMCCCreatePrimary: (*RSAChip).createPrimary,
	tpm2.TPMCCCreate: (*RSAChip).create, tpm2.TPMCCLoad: (*RSAChip).load, tpm2.TPMCCFlushContext: (*RSAChip).flushContext,
	tpm2.TPMCCSign: (*RSAChip).sign, tpm2.TPMCCRSADecrypt: (*RSAChip).rsaDecrypt,
}

// rsaBody gives the first handle and the parameters of a command with so many
// handles, and one password at most.
func rsaBody(command []byte, handles int) (handle uint32, parameters []byte) {
	rest := command[10:]
	if handles > 0 {
		handle, rest = binary.BigEndian.Uint32(rest), rest[4:]
	}
	if tpm2.TPMST(binary.BigEndian.Uint16(command)) == tpm2.TPMSTSessions {
		rest = rest[4+binary.BigEndian.Uint32(rest):]
	}
	return handle, rest
}

// rsaCommand reads a command.
func rsaCommand[C tpm2.Command[R, *R], R any](command []byte, handles int) (cmd C, handle uint32, err error) {
	handle, parameters := rsaBody(command, handles)
	// What go-tpm reads has Names where a command has handles: that of TPM_RH_NULL will do.
	named := append(slices.Clone(command[6:10]), slices.Repeat([]byte{0x40, 0, 0, 7}, handles)...)
	if cmd, err = tpm2.UnmarshalCommand[C](append(named, parameters...)); err != nil {
		err = rcMalformed
	}
	return cmd, handle, err
}

// inPublic reads the second parameter of TPM2_Create and TPM2_CreatePrimary: go-tpm
// does not read the first.
func inPublic(command []byte) (*tpm2.TPMTPublic, error) {
	_, parameters := rsaBody(command, 1)
	sensitive := 2 + binary.BigEndian.Uint16(parameters)
	size := binary.BigEndian.Uint16(parameters[sensitive:])
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](parameters[sensitive+2:][:size])
	if err != nil {
		err = rcMalformed
	}
	return public, err
}

// rsaParameters writes those of a response.
func rsaParameters[C tpm2.Command[R, *R], R any](cmd C, response *R) ([]byte, error) {
	written, err := tpm2.MarshalResponse(cmd, response)
	if err != nil {
		return nil, err
	}
	return written[8:], nil // after two codes
}

func (c *RSAChip) testParms(command []byte) ([]byte, []byte, error) {
	cmd, _, err := rsaCommand[tpm2.TestParms](command, 0)
	if err != nil {
		return nil, nil, err
	}
	parms, err := cmd.Parameters.Parameters.RSADetail()
	if err != nil || !c.has(int(parms.KeyBits)) {
		return nil, nil, rcKeyBits
	}
	return nil, nil, nil
}

func (c *RSAChip) has(bits int) bool {
	if c.Sizes == nil {
		return bits == 2048 || bits == 3072 || bits == 4096
	}
	return slices.Contains(c.Sizes, bits)
}

func (c *RSAChip) readPublic([]byte) ([]byte, []byte, error) { return nil, nil, rcNoKey }

// createPrimary gives the only storage primary there is.
func (c *RSAChip) createPrimary(command []byte) ([]byte, []byte, error) {
	public := SRKTemplate()
	if asked, err := inPublic(command); err != nil || !bytes.Equal(tpm2.Marshal(asked), tpm2.Marshal(public)) {
		return nil, nil, errors.Join(err, rcTemplate)
	}
	public.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
		X: tpm2.TPM2BECCParameter{Buffer: slices.Repeat([]byte{1}, 32)}, Y: tpm2.TPM2BECCParameter{Buffer: slices.Repeat([]byte{2}, 32)}})
	handle, name, err := c.keep(public)
	if err != nil {
		return nil, nil, err
	}
	parameters, err := rsaParameters(tpm2.CreatePrimary{}, &tpm2.CreatePrimaryResponse{OutPublic: tpm2.New2B(public), Name: *name})
	return handle, parameters, err
}

// keep gives a loaded object a handle.
func (c *RSAChip) keep(public tpm2.TPMTPublic) (handle []byte, name *tpm2.TPM2BName, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loaded == nil {
		c.loaded, c.last = map[uint32]tpm2.TPMTPublic{}, 0x80000000
	}
	c.last++
	c.loaded[c.last] = public
	name, err = tpm2.ObjectName(&public)
	return binary.BigEndian.AppendUint32(nil, c.last), name, err
}

func (c *RSAChip) flushContext(command []byte) ([]byte, []byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	handle := binary.BigEndian.Uint32(command[10:])
	if _, ok := c.loaded[handle]; !ok {
		return nil, nil, rcNoKey
	}
	delete(c.loaded, handle)
	return nil, nil, nil
}

func (c *RSAChip) create(command []byte) ([]byte, []byte, error) {
	public, err := inPublic(command)
	if err != nil {
		return nil, nil, err
	}
	parms, err := public.Parameters.RSADetail()
	switch {
	case err != nil || !c.has(int(parms.KeyBits)):
		return nil, nil, rcKeyBits
	case parms.Exponent != 0:
		return nil, nil, rcExponent
	}
	key, err := rsa.GenerateKey(rand.Reader, int(parms.KeyBits))
	if err != nil {
		return nil, nil, err
	}
	c.Add(key)
	public.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: key.N.Bytes()})
	parameters, err := rsaParameters(tpm2.Create{}, &tpm2.CreateResponse{OutPrivate: tpm2.TPM2BPrivate{Buffer: []byte{0}}, OutPublic: tpm2.New2B(*public)})
	return nil, parameters, err
}

func (c *RSAChip) load(command []byte) ([]byte, []byte, error) {
	cmd, _, err := rsaCommand[tpm2.Load](command, 1)
	if err != nil {
		return nil, nil, err
	}
	public, err := cmd.InPublic.Contents()
	if err != nil {
		return nil, nil, rcMalformed
	}
	if _, err := c.private(*public); err != nil {
		return nil, nil, err
	}
	handle, name, err := c.keep(*public)
	if err != nil {
		return nil, nil, err
	}
	parameters, err := rsaParameters(cmd, &tpm2.LoadResponse{Name: *name})
	return handle, parameters, err
}

func (c *RSAChip) private(public tpm2.TPMTPublic) (*rsa.PrivateKey, error) {
	modulus, err := public.Unique.RSA()
	if err != nil {
		return nil, rcPrivate
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key, ok := c.keys[string(modulus.Buffer)]
	if !ok {
		return nil, rcPrivate
	}
	return key, nil
}
