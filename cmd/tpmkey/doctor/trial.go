package doctor

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/signer"
)

// trialSignature is the check trial-signature. The key is in no file, and the later checks use it too.
func trialSignature(p *patient) outcome {
	p.trials = p.provider()
	defer p.endTrial()
	p.trial, p.trialErr = p.trials.Trial()
	if p.trialErr != nil {
		return fail(fixOfTrial(p.trialErr), "%v", p.trialErr)
	}
	for _, scheme := range signatures {
		if err := scheme.try(signer.New(p.trial)); err != nil {
			return fail("", "%s: %v", scheme.name, err)
		}
	}
	return ok("a new RSA 2048 key signs with RSASSA-PKCS1-v1_5 and RSASSA-PSS, and crypto/rsa verifies")
}

// signatures are what programs ask a crypto.Signer for: certificates and ssh, then TLS 1.3 with its salt as long as the hash.
var signatures = []struct {
	name string
	try  func(crypto.Signer) error
}{
	{"RSASSA-PKCS1-v1_5", func(key crypto.Signer) error {
		digest := sha512.Sum512([]byte(signed))
		signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA512)
		if err != nil {
			return err
		}
		return rsa.VerifyPKCS1v15(key.Public().(*rsa.PublicKey), crypto.SHA512, digest[:], signature)
	}},
	{"RSASSA-PSS", func(key crypto.Signer) error { return tryPSS(key) }},
}

const signed = "what a trial signature signs"

func tryPSS(key crypto.Signer) error {
	digest, options := sha256.Sum256([]byte(signed)), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	signature, err := key.Sign(rand.Reader, digest[:], options)
	if err != nil {
		return err
	}
	return rsa.VerifyPSS(key.Public().(*rsa.PublicKey), crypto.SHA256, digest[:], signature, options)
}

func fixOfTrial(err error) string {
	switch {
	case errors.Is(err, provider.ErrParentAuth):
		return "see the check storage-key; or say -owner-password-file FILE"
	case errors.Is(err, provider.ErrROCA):
		return "see the check firmware"
	case errors.Is(err, provider.ErrDenied):
		return "ask the administrator for another filter: tpmkey filter list"
	}
	return ""
}

// withTrial runs a check that needs the trial key.
func (p *patient) withTrial(look func() outcome) outcome {
	if p.trial == nil {
		return warn("", "not checked: there is no trial key, see trial-signature")
	}
	defer p.endTrial()
	return look()
}

// endTrial takes the trial key off and lets others have the TPM. Closing forgets the owner's password, which the next check needs.
func (p *patient) endTrial() {
	p.trials.Close()
	p.trials.GiveOwnerPassword(p.tpm.Owner)
}

// rawRSA is the check raw-rsa. Without it a TPM's own paddings are all there are.
func rawRSA(p *patient) outcome {
	return p.withTrial(func() outcome {
		_, err := p.trial.RawRSA(make([]byte, p.trial.Public().Size()))
		if errors.Is(err, provider.ErrUsage) {
			return warn("", "it does not: hashes and salts that the TPM does not have by itself cannot be had: %v", err)
		}
		if err != nil {
			return fail("", "%v", err)
		}
		return ok("it does, so that any padding can be done in software")
	})
}

// pssSalt is the check pss-salt. TLS 1.3 wants a salt as long as the hash (RFC 8446, 4.2.3); many TPMs take the longest that fits.
func pssSalt(p *patient) outcome {
	return p.withTrial(func() outcome {
		salt, err := p.trial.ChipSalt(crypto.SHA256)
		own := fmt.Sprintf("by itself it takes a salt of %d bytes with SHA-256", salt)
		if err != nil {
			own = fmt.Sprintf("by itself it does not sign with PSS (%v)", err)
		}
		tls := tryPSS(signer.New(p.trial))
		switch {
		case tls != nil:
			return fail("see whether the TPM has newer firmware; until then programs must use TLS 1.2", "%s; no salt as long as the hash, and no TLS 1.3: %v", own, tls)
		case err == nil && salt == crypto.SHA256.Size():
			return ok("%s, as TLS 1.3 wants it", own)
		}
		return ok("%s; tpmkey pads in software, as TLS 1.3 wants it", own)
	})
}

// persistSRK makes the standard parent persistent: then nobody makes it for each use.
const persistSRK = `sudo sh -c 'tpm2_createprimary -Q -C o -G ecc256:aes128cfb -a "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt" -c /run/srk.ctx && tpm2_evictcontrol -Q -C o -c /run/srk.ctx 0x81000001; tpm2_flushcontext -t'`

// storageKey is the check storage-key (TPM2_ReadPublic, Part 3, 12.4).
func storageKey(p *patient) outcome {
	o := p.with(func(tpm transport.TPM) outcome {
		r, err := tpm2.ReadPublic{ObjectHandle: tpm2.TPMHandle(0x81000001)}.Execute(tpm)
		if errors.Is(err, tpm2.TPMRCHandle) {
			return ok("nothing is persistent at 0x81000001: the parent is made for each use, which latency tells the cost of")
		}
		if err != nil {
			return refused("the key at 0x81000001", err)
		}
		public, err := r.OutPublic.Contents()
		if err != nil {
			return fail("", "the key at 0x81000001: %v", err)
		}
		return describeStorage(*public)
	})
	switch {
	case errors.Is(p.trialErr, provider.ErrParentAuth):
		return fail(persistSRK+", which asks for nothing where -P PASSWORD is added to both", "%s; making it needs the owner's password", o.fact)
	case o.Status == OK && p.trial != nil && len(p.tpm.Owner) > 0:
		o.fact += "; it works with the owner's password that was given"
	case o.Status == OK && p.trial != nil:
		o.fact += "; it works without a password"
	}
	return o
}

// describeStorage tells whether a persistent key can be the parent of keys (Part 1, 11.4.2).
func describeStorage(public tpm2.TPMTPublic) outcome {
	kind := map[tpm2.TPMAlgID]string{tpm2.TPMAlgECC: "ECC", tpm2.TPMAlgRSA: "RSA"}[public.Type]
	a := public.ObjectAttributes
	if kind == "" || !a.Restricted || !a.Decrypt || bool(a.SignEncrypt) || !a.FixedTPM || !a.UserWithAuth {
		return warn("tpm2_readpublic -c 0x81000001 shows whose it is; it may go with: sudo tpm2_evictcontrol -C o -c 0x81000001", "the key at 0x81000001 is no storage key; the parent is made for each use")
	}
	if public.Type != tpm2.TPMAlgECC {
		return ok("a storage key (%s) is persistent at 0x81000001; new keys have the standard one, ECC P-256, which is made for each use", kind)
	}
	return ok("a storage key (%s) is persistent at 0x81000001", kind)
}

// keysLoadTime is for all keys together.
const keysLoadTime = long / 2

// keysLoad is the check keys-load: it needs no PIN.
func keysLoad(p *patient) outcome {
	all := p.provider(p.tpm.Dirs...)
	defer all.Close()
	keys, _ := all.Keys() // key-files tells of those that are none
	if len(keys) == 0 {
		return ok("there are none")
	}
	var wrong []strangers
	start, tried := time.Now(), 0
	for _, k := range keys {
		if time.Since(start) > keysLoadTime {
			break
		}
		tried++
		if err := k.TryLoad(); err != nil {
			wrong = withStranger(wrong, k, err)
		}
	}
	switch {
	case len(wrong) > 0:
		facts, fixes := described(wrong)
		return fail(fixes, "%s", facts)
	case tried < len(keys):
		return warn("tpmkey doctor -dir DIR looks at one directory only", "%d of %d load in this TPM; there was no time for the rest", tried, len(keys))
	}
	return ok("%d of %d load in this TPM", tried, len(keys))
}

func fixOfKey(k *provider.Key, err error) string {
	switch {
	case errors.Is(err, provider.ErrWrongTPM):
		return "use the TPM in which it was made (TPMKEY_DEVICE); if that is gone or was cleared, the key is lost: make another, tpmkey new NAME, and keep the file until you are sure"
	case errors.Is(err, provider.ErrFormat):
		return "bring " + k.Path() + " back from a backup"
	case errors.Is(err, provider.ErrParentAuth):
		return "say -owner-password-file FILE, or see the check storage-key"
	}
	return "if others load, " + k.Path() + " is damaged: bring it back from a backup"
}
