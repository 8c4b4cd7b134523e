//go:build check

package rm_test

import (
	"bytes"

	"github.com/google/go-tpm/tpm2"
)

// What an attacker does that looks like an honest client's work. An error is nothing to wonder at: the command may have been damaged, the quota used up.

// A deed comes up as often as its weight says.
type deed struct {
	weight int
	do     func(a *attacker)
}

var deeds = []deed{
	{6, (*attacker).makeParent},
	{1, (*attacker).makeKey},
	{40, (*attacker).loadKey},
	{60, (*attacker).signWithKey},
	{20, (*attacker).decryptWithKey},
	{30, (*attacker).encryptWithKey},
	{20, (*attacker).changePIN},
	{40, (*attacker).readKey},
	{20, (*attacker).startSession},
	{40, (*attacker).flushSomething},
	{30, (*attacker).askCapability},
	{30, func(a *attacker) { tpm2.GetRandom{BytesRequested: uint16(a.IntN(70))}.Execute(a) }},
	{30, func(a *attacker) { a.Send(put(tpm2.TPMCCTestParms, nil, nil, a.param("parameters"))) }},
	{20, func(a *attacker) {
		tpm2.Hash{Data: tpm2.TPM2BMaxBuffer{Buffer: a.grammar.bytes(1024)}, HashAlg: tpm2.TPMAlgSHA256, Hierarchy: tpm2.TPMRHNull}.Execute(a)
	}},
	{30, (*attacker).hashInPieces},
	{30, (*attacker).saveAndLoad},
}

func (a *attacker) act() {
	all := 0
	for _, d := range deeds {
		all += d.weight
	}
	at := a.IntN(all)
	for _, d := range deeds {
		if at -= d.weight; at < 0 {
			d.do(a)
			return
		}
	}
}

func (a *attacker) makeParent() {
	command := tpm2.CreatePrimary{PrimaryHandle: tpm2.AuthHandle{Handle: pick(a.grammar, []tpm2.TPMHandle{tpm2.TPMRHOwner, tpm2.TPMRHOwner, tpm2.TPMRHNull}), Auth: a.authorize(nil)},
		InPublic: tpm2.New2B(publicAreas[a.IntN(2)]())}
	if a.often(2) {
		command.OutsideInfo.Buffer = a.grammar.bytes(64)
	}
	if r, err := command.Execute(a); err == nil {
		named := tpm2.NamedHandle{Handle: r.ObjectHandle, Name: r.Name}
		if bytes.Equal(r.Name.Buffer, a.bench.srk.Buffer) {
			a.parents = append(a.parents, named)
		}
	}
	if len(a.parents) > 4 {
		a.flush(a.parents[0].Handle)
		a.parents = a.parents[1:]
	}
}

func (a *attacker) makeKey() {
	auth := pick(a.grammar, [][]byte{nil, nil, []byte("right")})
	r, err := tpm2.Create{ParentHandle: tpm2.AuthHandle{Handle: a.storageParent().Handle, Name: a.bench.srk, Auth: a.authorize(nil)}, InPublic: tpm2.New2B(template(a.often(2))),
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: auth}}}}.Execute(a)
	if err == nil {
		a.blobs = keep(a.grammar, a.blobs, blob{tpm2.Marshal(r.OutPrivate), tpm2.Marshal(r.OutPublic), auth})
	}
}

func (a *attacker) loadKey() {
	b := pick(a.grammar, a.blobs)
	if b.private == nil {
		a.makeKey()
		return
	}
	parent := a.storageParent()
	r, err := tpm2.Load{ParentHandle: tpm2.AuthHandle{Handle: parent.Handle, Name: parent.Name, Auth: a.authorize(nil)},
		InPrivate: tpm2.TPM2BPrivate{Buffer: b.private[2:]}, InPublic: tpm2.BytesAs2B[tpm2.TPMTPublic](b.public[2:])}.Execute(a)
	if err != nil {
		return
	}
	a.keys = append(a.keys, held{tpm2.NamedHandle{Handle: r.ObjectHandle, Name: r.Name}, b.auth, b})
	if len(a.keys) > 12 {
		a.flush(a.keys[0].named.Handle)
		a.keys = a.keys[1:]
	}
}

func (a *attacker) flush(handle tpm2.TPMHandle) { tpm2.FlushContext{FlushHandle: handle}.Execute(a) }

// authorized is a key and how it is authorized.
func (a *attacker) authorized(k held) tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: k.named.Handle, Name: k.named.Name, Auth: a.authorize(k.auth)}
}

func (a *attacker) signWithKey() {
	k := pick(a.grammar, a.keys)
	scheme := pick(a.grammar, []tpm2.TPMAlgID{tpm2.TPMAlgRSASSA, tpm2.TPMAlgRSAPSS})
	tpm2.Sign{KeyHandle: a.authorized(k), Digest: tpm2.TPM2BDigest{Buffer: digest[:]},
		InScheme:   tpm2.TPMTSigScheme{Scheme: scheme, Details: tpm2.NewTPMUSigScheme(scheme, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull}}.Execute(a)
}

func (a *attacker) decryptWithKey() {
	text := a.exactly(256)
	tpm2.RSADecrypt{KeyHandle: a.authorized(pick(a.grammar, a.keys)), CipherText: tpm2.TPM2BPublicKeyRSA{Buffer: text},
		InScheme: tpm2.TPMTRSADecrypt{Scheme: tpm2.TPMAlgNull}}.Execute(a)
}

func (a *attacker) encryptWithKey() {
	scheme := pick(a.grammar, []tpm2.TPMAlgID{tpm2.TPMAlgRSAES, tpm2.TPMAlgNull})
	tpm2.RSAEncrypt{KeyHandle: pick(a.grammar, a.keys).named.Handle, Message: tpm2.TPM2BPublicKeyRSA{Buffer: a.grammar.bytes(64)},
		InScheme: tpm2.TPMTRSADecrypt{Scheme: scheme}}.Execute(a)
}

func (a *attacker) changePIN() {
	k := pick(a.grammar, a.keys)
	r, err := tpm2.ObjectChangeAuth{ObjectHandle: a.authorized(k), ParentHandle: a.storageParent(), NewAuth: tpm2.TPM2BAuth{Buffer: []byte("right")}}.Execute(a)
	if err == nil {
		a.blobs = keep(a.grammar, a.blobs, blob{tpm2.Marshal(r.OutPrivate), k.blob.public, []byte("right")})
	}
}

func (a *attacker) readKey() {
	handle := pick(a.grammar, a.keys).named.Handle
	if a.often(3) {
		handle = a.storageParent().Handle
	}
	tpm2.ReadPublic{ObjectHandle: handle}.Execute(a)
}

// startSession keeps an HMAC session, and ends an older one.
func (a *attacker) startSession() {
	options := []tpm2.AuthOption{tpm2.Auth(pick(a.grammar, [][]byte{nil, []byte("right")}))}
	if a.often(2) {
		options = append(options, tpm2.AESEncryption(128, tpm2.EncryptIn))
	}
	if a.often(3) {
		options = append(options, tpm2.Salted(a.storageParent().Handle, a.bench.srkPublic))
	}
	if kept, _, err := tpm2.HMACSession(a, tpm2.TPMAlgSHA256, 16, options...); err == nil {
		a.session = append(a.session, kept)
	}
	if len(a.session) > 2 {
		a.flush(a.session[0].Handle())
		a.session = a.session[1:]
	}
}

// flushSomething is one of the attacker's own, or not.
func (a *attacker) flushSomething() {
	if len(a.keys) > 0 && a.often(4) {
		a.flush(a.keys[0].named.Handle)
		a.keys = a.keys[1:]
		return
	}
	a.flush(tpm2.TPMHandle(a.handle()))
}

func (a *attacker) askCapability() {
	tpm2.GetCapability{Capability: tpm2.TPMCap(a.IntN(9)), Property: pick(a.grammar, properties), PropertyCount: uint32(a.IntN(40))}.Execute(a)
}

func (a *attacker) hashInPieces() {
	if len(a.hashes) == 0 || a.often(4) {
		if r, err := (tpm2.HashSequenceStart{HashAlg: tpm2.TPMAlgSHA256}).Execute(a); err == nil {
			a.hashes = append(a.hashes, tpm2.AuthHandle{Handle: r.SequenceHandle, Auth: tpm2.PasswordAuth(nil)})
		}
		return
	}
	if a.often(2) {
		tpm2.SequenceUpdate{SequenceHandle: a.hashes[0], Buffer: tpm2.TPM2BMaxBuffer{Buffer: a.grammar.bytes(200)}}.Execute(a)
		return
	}
	tpm2.SequenceComplete{SequenceHandle: a.hashes[0], Hierarchy: tpm2.TPMRHNull}.Execute(a)
	a.hashes = a.hashes[1:]
}

func (a *attacker) saveAndLoad() {
	if a.often(2) {
		tpm2.ContextSave{SaveHandle: pick(a.grammar, a.keys).named.Handle}.Execute(a)
		return
	}
	if context := pick(a.grammar, a.contexts); context != nil {
		a.Send(put(tpm2.TPMCCContextLoad, nil, nil, context))
	}
}
