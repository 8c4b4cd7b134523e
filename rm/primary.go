package rm

import (
	"bytes"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm/wire"
)

// A primary is a storage parent that was made once and is kept, because every client asks for the same one: on a discrete chip
// an RSA primary takes seconds. The response is the chip's own.
type primary struct {
	object   *object
	response []byte
}

var emptySensitive = []byte{0, 4, 0, 0, 0, 0} // TPM2B_SENSITIVE_CREATE with neither auth value nor data

// primaryKey is under what a TPM2_CreatePrimary is remembered: the whole command, when its only authorization is the empty password,
// it asks for a standard storage key, brings no secret and binds nothing to PCRs or to the outside. Other commands have the key "", under which nothing is
// kept.
func primaryKey(c *wire.Command) string {
	if c.Code != tpm2.TPMCCCreatePrimary || !hasEmptyPassword(c) {
		return ""
	}
	if p, ok := wire.ParseSizedPublic(c.Param("inPublic")); !ok || !filter.IsStorageTemplate(&p) {
		return ""
	}
	if !bytes.Equal(c.Param("inSensitive"), emptySensitive) || len(c.Param("outsideInfo")) != 2 || len(c.Param("creationPCR")) != 4 {
		return ""
	}
	return string(c.Bytes)
}

// primaryKey is that of the locality: the data of the creation name it (TPMS_CREATION_DATA, Part 2, 15.1), while the key is the same.
func (s *Space) primaryKey(c *wire.Command) string {
	key := primaryKey(c)
	if key == "" || s.options.Locality == 0 {
		return key
	}
	return key + string([]byte{s.options.Locality})
}

// hasEmptyPassword tells whether a command's only authorization is the empty password.
func hasEmptyPassword(c *wire.Command) bool {
	auths := c.Auths()
	return len(auths) == 1 && auths[0].Session == wire.RSPassword && len(auths[0].HMAC) == 0
}

// keepPrimary remembers a new object if it is such a primary. Above the kernel's manager nothing is kept: there each object that is
// held makes every command dearer.
func (m *Manager) keepPrimary(key string, o *object, response []byte) {
	if key == "" || m.config.Sharing == Stacked {
		return
	}
	if old := m.primaries[key]; old != nil {
		m.letGo(old.object)
	}
	o.holders++
	m.primaries[key] = &primary{object: o, response: bytes.Clone(response)}
}

// dropPrimaries forgets them all: the hierarchy below them may have changed.
func (m *Manager) dropPrimaries() {
	for _, p := range m.primaries {
		m.letGo(p.object)
	}
	clear(m.primaries)
}

// dropPrimary forgets one that the chip does not make any more.
func (m *Manager) dropPrimary(o *object) {
	for key, p := range m.primaries {
		if p.object == o {
			delete(m.primaries, key)
			m.letGo(o)
		}
	}
}

// givePrimary answers TPM2_CreatePrimary without the chip.
func (s *Space) givePrimary(p *primary) []byte {
	if s.full() {
		return wire.ErrorResponse(rcObjectQuota)
	}
	return withHandle(p.response, s.give(p.object))
}
