//go:build check

package main

import (
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// What programs of tpm2-tss say of the codes that they are refused with. Each begins with the layer, rmt, which is not the chip's.
const (
	saysDenied    = "rmt:error(2.0): command code not supported"
	saysBraked    = "rmt:warn(2.0): authorizations for objects subject to DA protection are not allowed at this time because the TPM is in DA lockout mode"
	saysNoObject  = "rmt:warn(2.0): out of memory for object contexts"
	saysNoSession = "rmt:warn(2.0): out of memory for session contexts"
	saysWrong     = "tpm:session(1):the authorization HMAC check failed and DA counter incremented"
)

const (
	toolsParent = "tpm2_createprimary -Q -c primary.ctx; "
	toolsKey    = "tpm2_create -Q -C primary.ctx -u key.pub -r key.priv -p 1234 -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign'; "
	toolsLoad   = "tpm2_load -Q -C primary.ctx -u key.pub -r key.priv -c key.ctx; "
	signWithPIN = "tpm2_sign -Q -c key.ctx -g sha256 -o signature data -p "
	opensslKey  = "openssl genpkey -provider tpm2 -algorithm RSA -pkeyopt user-auth:1234 -out key.pem; "
	opensslSign = "openssl dgst -provider tpm2 -provider default -propquery '?provider=tpm2' -sha256 -sign key.pem -out signature -passin pass:1234 data"
)

// refusals are scripts, one after the other, and what they say.
var refusals = []struct{ script, says string }{
	{"tpm2_clear", saysDenied},
	{"tpm2_verifysignature -c key.ctx -m data -s signature", saysDenied},
	{"tpm2_create -C primary.ctx -G aes -u aes.pub -r aes.priv", saysDenied},
	{"tpm2_startauthsession -S session.ctx", saysDenied},
	{"tpm2_getcap pcrs", saysDenied},
	{"openssl genpkey -provider tpm2 -algorithm EC -pkeyopt group:P-256 -out ec.pem", saysDenied},
	{signWithPIN + "0000", saysWrong},
	{signWithPIN + "1234", saysBraked}, // whoever was wrong may not try such keys for a day
	{opensslSign, saysBraked},
}

func TestRefusals(t *testing.T) {
	tpmtest.Need(t, "tpm2_createprimary", "openssl")
	path, _, _ := start(t, tpmtest.SWTPM(t))
	u := newToolUser(t, path)
	u.run("echo data >data; " + toolsParent + toolsKey + toolsLoad + signWithPIN + "1234; " + opensslKey)
	for _, row := range refusals {
		u.refused(row.script, row.says)
	}
}

// Somebody who may have one object has none left for a key beside its parent.
func TestRefusalOfObject(t *testing.T) {
	tpmtest.Need(t, "tpm2_createprimary", "openssl")
	path, _, _ := startGranting(t, tpmtest.SWTPM(t), granting(rm.Limits{Objects: 1}))
	u := newToolUser(t, path)
	u.run(toolsParent + toolsKey)
	u.refused(toolsLoad, saysNoObject)
	u.refused(opensslKey, saysNoObject)
}

// granting gives everybody the default filter and what may be held.
func granting(l rm.Limits) *namespaces {
	return &namespaces{everybody: grant{filter: filter.Default(), chip: anyChip, limits: l}}
}

// Somebody whose sessions are used up by other programs of his is told so.
func TestRefusalOfSession(t *testing.T) {
	tpmtest.Need(t, "tpm2_createprimary")
	path, _, _ := startGranting(t, tpmtest.SWTPM(t), granting(rm.Limits{PrincipalSessions: 1}))
	u := newToolUser(t, path)
	holder := dialAsNobody(t, path, 1)[0]
	null := uint32(tpm2.TPMRHNull)
	mustWrite(t, holder, wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCStartAuthSession)).Uint32(null).Uint32(null).
		Uint16(16).Raw(make([]byte, 16)).Uint16(0).Uint8(0).Uint16(uint16(tpm2.TPMAlgNull)).Uint16(uint16(tpm2.TPMAlgSHA256)).Bytes())
	if h, ok := wire.ParseHeader(mustRead(t, holder, wire.HeaderSize+4+2+16)); !ok || h.Code != 0 {
		t.Fatalf("the other program's session: 0x%x", h.Code)
	}
	u.refused("tpm2_createprimary -c primary.ctx", saysNoSession)
}
