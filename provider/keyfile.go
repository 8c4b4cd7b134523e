package provider

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// ErrFormat says that a file is no usable TSS2 private key.
var ErrFormat = errors.New("not a TSS2 private key that can be used here")

const pemType = "TSS2 PRIVATE KEY"

// Types of the TSS2 key format.
var (
	oidLoadable   = asn1.ObjectIdentifier{2, 23, 133, 10, 1, 3} // id-loadablekey: the blob loads with TPM2_Load and has no policy that the format spells out
	oidImportable = asn1.ObjectIdentifier{2, 23, 133, 10, 1, 4} // id-importablekey: the blob is wrapped for TPM2_Import, without an inner wrapper
)

// Lines before the BEGIN line. Other tools skip them.
const (
	labelLine    = "tpmkey-label: "
	idLine       = "tpmkey-id: "
	parentLine   = "tpmkey-parent: "
	creationLine = "tpmkey-creation: "
	notesLine    = "tpmkey-notes: "
)

// A keyFile is what a key's file says.
type keyFile struct {
	label      string
	id         []byte    // CKA_ID; nil: SHA-1 of the modulus
	parentName []byte    // Name of the parent; nil: not pinned
	emptyAuth  bool      // the key has no PIN
	parent     uint32    // handle: a hierarchy, or a persistent object
	rsaParent  bool      // the primary of that hierarchy is an RSA key
	public     []byte    // TPMT_PUBLIC
	private    []byte    // contents of the TPM2B_PRIVATE
	seed       []byte    // contents of an importable key's TPM2B_ENCRYPTED_SECRET; nil: it is a loadable one
	creation   *creation // nil: not known
	notes      []byte    // Key.Notes
}

// parseKeyFile reads a whole file.
func parseKeyFile(text []byte) (*keyFile, error) {
	f, err := parseAnyKeyFile(text)
	if err == nil && f.seed != nil {
		return nil, formatError("it is wrapped for its way to a TPM; tpmkey migrate import takes it there")
	}
	return f, err
}

// parseAnyKeyFile also reads keys on their way to another TPM.
func parseAnyKeyFile(text []byte) (*keyFile, error) {
	begin := bytes.Index(text, []byte("-----BEGIN "+pemType+"-----"))
	if begin < 0 {
		return nil, formatError("there is no BEGIN %s", pemType)
	}
	block, _ := pem.Decode(text[begin:])
	if block == nil || block.Type != pemType {
		return nil, formatError("the PEM block is cut short or damaged")
	}
	f := &keyFile{}
	if err := f.parseLines(string(text[:begin])); err != nil {
		return nil, err
	}
	if err := f.parseDER(block.Bytes); err != nil {
		return nil, err
	}
	return f, nil
}

func formatError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// parseLines reads our lines; text of other tools is passed over.
func (f *keyFile) parseLines(text string) (err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, labelLine):
			f.label, err = strconv.Unquote(line[len(labelLine):])
		case strings.HasPrefix(line, idLine):
			f.id, err = hex.DecodeString(line[len(idLine):])
		case strings.HasPrefix(line, parentLine):
			f.parentName, err = hex.DecodeString(line[len(parentLine):])
		case strings.HasPrefix(line, creationLine):
			f.creation, err = parseCreation(line[len(creationLine):])
		case strings.HasPrefix(line, notesLine):
			f.notes, err = hex.DecodeString(line[len(notesLine):])
		}
		if err != nil {
			return formatError("the line %.80q cannot be read", line)
		}
	}
	return nil
}

// parseDER reads TPMKey, the format's one structure:
//
//	SEQUENCE { type OBJECT IDENTIFIER, emptyAuth [0] BOOLEAN OPTIONAL, policy [1], secret [2], authPolicy [3], description [4],
//	           rsaParent [5], parent INTEGER, pubkey OCTET STRING, privkey OCTET STRING }
func (f *keyFile) parseDER(der []byte) error {
	input := cryptobyte.String(der)
	var key cryptobyte.String
	var kind asn1.ObjectIdentifier
	if !input.ReadASN1(&key, cbasn1.SEQUENCE) || !input.Empty() || !key.ReadASN1ObjectIdentifier(&kind) {
		return formatError("its structure is damaged")
	}
	importable := kind.Equal(oidImportable)
	if !importable && !kind.Equal(oidLoadable) {
		return formatError("it is of type %s; only loadable keys (%s) can be used", kind, oidLoadable)
	}
	if err := f.readOptions(&key, importable); err != nil {
		return err
	}
	return f.readKey(&key)
}

// Optional fields of TPMKey by tag: what is said of one that we cannot honour. "" means that it changes nothing for us.
var optionalFields = map[uint8]string{
	1: "its use is bound to a policy", 2: "it is a loadable key with a secret", 3: "its use is bound to signed policies",
	4: "", // description
	5: "", // rsaParent
}

func (f *keyFile) readOptions(key *cryptobyte.String, importable bool) error {
	var value cryptobyte.String
	var present bool
	tag := func(n uint8) cbasn1.Tag { return cbasn1.Tag(n).ContextSpecific().Constructed() }
	if !key.ReadOptionalASN1(&value, &present, tag(0)) || present && !readBoolean(value, &f.emptyAuth) {
		return formatError("its emptyAuth field is damaged")
	}
	for n := uint8(1); n <= 5; n++ {
		if !key.ReadOptionalASN1(&value, &present, tag(n)) {
			return formatError("its structure is damaged")
		}
		if n == 2 && importable {
			if f.seed = readSecret(value); f.seed == nil {
				return formatError("its secret is missing or damaged")
			}
			continue
		}
		if why := optionalFields[n]; present && why != "" {
			return formatError("%s, which is not supported", why)
		}
		if n == 5 && present && !readBoolean(value, &f.rsaParent) {
			return formatError("its rsaParent field is damaged")
		}
	}
	return nil
}

// readSecret gives the seed of an importable key, nil for none.
func readSecret(field cryptobyte.String) []byte {
	var secret cryptobyte.String
	if !field.ReadASN1(&secret, cbasn1.OCTET_STRING) || !field.Empty() {
		return nil
	}
	if seed, ok := unsized(secret); ok {
		return seed
	}
	return nil
}

// readBoolean takes any value but 0 for true, as BER does: tpm2-openssl writes 1.
func readBoolean(field cryptobyte.String, to *bool) bool {
	var value cryptobyte.String
	ok := field.ReadASN1(&value, cbasn1.BOOLEAN) && field.Empty() && len(value) == 1
	*to = ok && value[0] != 0
	return ok
}

func (f *keyFile) readKey(key *cryptobyte.String) error {
	var parent int64
	var public, private cryptobyte.String
	if !key.ReadASN1Integer(&parent) || !key.ReadASN1(&public, cbasn1.OCTET_STRING) || !key.ReadASN1(&private, cbasn1.OCTET_STRING) || !key.Empty() {
		return formatError("its structure is damaged")
	}
	if parent < 0 { // tpm2-tss-engine wrote handles as signed numbers
		parent += 1 << 32
	}
	if parent < 0 || parent > 0xFFFFFFFF {
		return formatError("its parent %d is no handle", parent)
	}
	f.parent = uint32(parent)
	var ok bool
	if f.public, ok = unsized(public); !ok {
		return formatError("its public part is damaged")
	}
	if f.private, ok = unsized(private); !ok {
		return formatError("its private part is damaged")
	}
	return nil
}

// unsized gives the contents of a TPM2B that fills b exactly.
func unsized(b []byte) ([]byte, bool) {
	s := cryptobyte.String(b)
	var contents cryptobyte.String
	ok := s.ReadUint16LengthPrefixed(&contents) && s.Empty() && len(contents) > 0
	return contents, ok
}

func sized(b []byte) []byte { return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...) }

// format writes the file in the five-field form, which every reader of the format takes: tpm2-openssl refuses a description. Only another tool's file may need
// a sixth.
func (f *keyFile) format() ([]byte, error) {
	var b cryptobyte.Builder
	kind := oidLoadable
	if f.seed != nil {
		kind = oidImportable
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(kind)
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1Boolean(f.emptyAuth) })
		if f.seed != nil {
			b.AddASN1(cbasn1.Tag(2).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1OctetString(sized(f.seed)) })
		}
		if f.rsaParent {
			b.AddASN1(cbasn1.Tag(5).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1Boolean(true) })
		}
		b.AddASN1Int64(int64(f.parent))
		b.AddASN1OctetString(sized(f.public))
		b.AddASN1OctetString(sized(f.private))
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s%q\n%s%x\n", labelLine, f.label, idLine, f.id)
	if f.parentName != nil {
		fmt.Fprintf(&text, "%s%x\n", parentLine, f.parentName)
	}
	if f.creation != nil {
		fmt.Fprintf(&text, "%s%s\n", creationLine, f.creation)
	}
	if len(f.notes) > 0 {
		fmt.Fprintf(&text, "%s%x\n", notesLine, f.notes)
	}
	text.Write(pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}))
	return text.Bytes(), nil
}
