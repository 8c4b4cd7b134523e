package filter

import (
	"fmt"
	"strings"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// A row is what a profile says of one command: the verdict, what may stand in its handle area (one rule for each place), what its
// parameters must fulfil, and why.
type row struct {
	code       tpm2.TPMCC
	verdict    Verdict
	handles    []handleRule
	conditions []condition
	reason     string
}

// Default is the profile rsa: create, load and use RSA keys, harm nobody.
func Default() *Filter { return rsa }

var rsa = newFilter("rsa", rsaRows)

func newFilter(name string, rows []row) *Filter {
	f := &Filter{name: name, rows: make(map[tpm2.TPMCC]*row, len(rows))}
	for i := range rows {
		f.rows[rows[i].code] = &rows[i]
	}
	return f
}

// rsaRows holds every command of Part 2, 6.5.2. The caller is any local user, the owner's auth value is empty, and nothing
// that the caller does may harm another user or the machine.
var rsaRows = []row{
	{tpm2.TPMCCCreatePrimary, Allow, []handleRule{ownerOrNull}, []condition{storageTemplate, noCreationPCR, smallOutsideInfo}, "parents for RSA keys"},
	{tpm2.TPMCCObjectChangeAuth, Allow, []handleRule{plainKey, parent}, nil, "change the PIN of one's own key"},
	{tpm2.TPMCCCreate, Allow, []handleRule{parent}, []condition{rsaTemplate, noCreationPCR, smallOutsideInfo}, "new RSA keys"},
	{tpm2.TPMCCLoad, Allow, []handleRule{parent}, []condition{rsaKey}, "load RSA keys"},
	{tpm2.TPMCCRSADecrypt, Allow, []handleRule{decryptKey}, []condition{decryptScheme, oaepLabel}, "decrypt, and the raw RSA operation"},
	{tpm2.TPMCCSign, Allow, []handleRule{signKey}, []condition{rsaScheme, hashcheck}, "sign"},
	{tpm2.TPMCCFlushContext, Allow, nil, []condition{ownHandle}, "give back one's own objects and sessions"},
	{tpm2.TPMCCReadPublic, Allow, []handleRule{readable}, nil, "read public keys"},
	{tpm2.TPMCCRSAEncrypt, Allow, []handleRule{decryptKey}, []condition{decryptScheme, oaepLabel}, "a public operation with one's own key"},
	{tpm2.TPMCCStartAuthSession, Allow, []handleRule{parentOrNull, null}, []condition{hmacSession, sessionCipher, strongHash, nonceSize}, "sessions that keep PINs off the bus"},
	{tpm2.TPMCCGetCapability, Allow, nil, []condition{noSessions, publicCapability}, "what the caller's TPM can do"},
	{tpm2.TPMCCGetRandom, Allow, nil, []condition{smallRandom}, "random bytes"},
	{tpm2.TPMCCTestParms, Allow, nil, []condition{rsaParms}, "which RSA key sizes exist"},

	{tpm2.TPMCCHash, Answer, nil, []condition{unspoken}, "hashing, in software"},
	{tpm2.TPMCCHashSequenceStart, Answer, nil, []condition{unspoken}, "hashing, in software"},
	{tpm2.TPMCCSequenceUpdate, Answer, []handleRule{ownSequence}, []condition{byPassword}, "hashing, in software"},
	{tpm2.TPMCCSequenceComplete, Answer, []handleRule{ownSequence}, []condition{byPassword}, "hashing, in software"},
	{tpm2.TPMCCContextSave, Answer, []handleRule{ownObject}, nil, "programs that keep their keys in files from one command to the next"},
	{tpm2.TPMCCContextLoad, Answer, nil, nil, "what the manager itself has saved for the same user"},

	deny(tpm2.TPMCCNVUndefineSpaceSpecial, "NV memory is shared and wears out"),
	deny(tpm2.TPMCCEvictControl, "would fill or empty the few persistent slots, the storage root key's among them"),
	deny(tpm2.TPMCCHierarchyControl, "would disable whole hierarchies"),
	deny(tpm2.TPMCCNVUndefineSpace, "would delete other programs' NV data"),
	deny(tpm2.TPMCCChangeEPS, "would destroy the attestation identity"),
	deny(tpm2.TPMCCChangePPS, "would destroy the platform hierarchy"),
	deny(tpm2.TPMCCClear, "would destroy every other user's keys"),
	deny(tpm2.TPMCCClearControl, "decides whether the TPM can be cleared"),
	deny(tpm2.TPMCCClockSet, "would move the clock forward for ever"),
	deny(tpm2.TPMCCHierarchyChanegAuth, "would take the machine from its administrator"),
	deny(tpm2.TPMCCNVDefineSpace, "NV memory is shared and wears out"),
	deny(tpm2.TPMCCPCRAllocate, "would break measured boot"),
	deny(tpm2.TPMCCPCRSetAuthPolicy, "PCRs belong to the machine"),
	deny(tpm2.TPMCCPPCommands, "the platform belongs to the firmware"),
	deny(tpm2.TPMCCSetPrimaryPolicy, "would open a back door to a hierarchy"),
	deny(tpm2.TPMCCFieldUpgradeStart, "firmware belongs to the administrator"),
	deny(tpm2.TPMCCClockRateAdjust, "the clock belongs to the machine"),
	deny(tpm2.TPMCCNVGlobalWriteLock, "would lock NV memory until the next boot"),
	deny(tpm2.TPMCCGetCommandAuditDigest, "attestation"),
	deny(tpm2.TPMCCNVIncrement, "NV memory is shared and wears out"),
	deny(tpm2.TPMCCNVSetBits, "NV memory is shared and wears out"),
	deny(tpm2.TPMCCNVExtend, "NV memory is shared and wears out"),
	deny(tpm2.TPMCCNVWrite, "NV memory is shared and wears out"),
	deny(tpm2.TPMCCNVWriteLock, "would lock other programs' NV data"),
	deny(tpm2.TPMCCDictionaryAttackLockReset, "would undo, or lock for hours, the protection of PINs against guessing"),
	deny(tpm2.TPMCCDictionaryAttackParameters, "would weaken the protection of PINs against guessing"),
	deny(tpm2.TPMCCNVChangeAuth, "NV memory is shared"),
	deny(tpm2.TPMCCPCREvent, "would change PCRs, and lock out all that is sealed to them"),
	deny(tpm2.TPMCCPCRReset, "would forge or break measurements"),
	deny(tpm2.TPMCCSetAlgorithmSet, "configuration belongs to the administrator"),
	deny(tpm2.TPMCCSetCommandCodeAuditStatus, "audit belongs to the administrator"),
	deny(tpm2.TPMCCFieldUpgradeData, "firmware belongs to the administrator"),
	deny(tpm2.TPMCCIncrementalSelfTest, "would keep the chip busy"),
	deny(tpm2.TPMCCSelfTest, "would keep the chip busy for seconds"),
	deny(tpm2.TPMCCStartup, "the kernel starts the chip"),
	deny(tpm2.TPMCCShutdown, "the kernel stops the chip"),
	deny(tpm2.TPMCCStirRandom, "adds nothing to safety"),
	deny(tpm2.TPMCCActivateCredential, "attestation"),
	deny(tpm2.TPMCCCertify, "attestation"),
	deny(tpm2.TPMCCPolicyNV, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCCertifyCreation, "attestation"),
	deny(tpm2.TPMCCDuplicate, "would export a key"),
	deny(tpm2.TPMCCGetTime, "a signed clock identifies the machine"),
	deny(tpm2.TPMCCGetSessionAuditDigest, "attestation"),
	deny(tpm2.TPMCCNVRead, "NV data identifies the machine and belongs to others"),
	deny(tpm2.TPMCCNVReadLock, "would lock other programs' NV data until the next boot"),
	deny(tpm2.TPMCCPolicySecret, "one wrong guess here can lock the whole chip's lockout auth"),
	deny(tpm2.TPMCCRewrap, "would move keys between parents"),
	deny(tpm2.TPMCCECDHZGen, "not an RSA operation"),
	deny(tpm2.TPMCCMAC, "not an RSA operation"),
	deny(tpm2.TPMCCImport, "keys are made in the chip, not brought to it"),
	deny(tpm2.TPMCCQuote, "attestation; signs the state of the boot"),
	deny(tpm2.TPMCCMACStart, "not an RSA operation"),
	deny(tpm2.TPMCCUnseal, "would open secrets whose only lock is the state of the boot"),
	deny(tpm2.TPMCCPolicySigned, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCECDHKeyGen, "not an RSA operation"),
	deny(tpm2.TPMCCEncryptDecrypt, "not an RSA operation; would keep the chip busy"),
	deny(tpm2.TPMCCLoadExternal, "public keys can be used in software"),
	deny(tpm2.TPMCCMakeCredential, "attestation"),
	deny(tpm2.TPMCCNVReadPublic, "the map of NV memory identifies the machine"),
	deny(tpm2.TPMCCPolicyAuthorize, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCPolicyAuthValue, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCPolicyCommandCode, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCPolicyCounterTimer, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCPolicyCpHash, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCPolicyLocality, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCPolicyNameHash, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCPolicyOR, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCPolicyTicket, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCVerifySignature, "signatures can be verified in software"),
	deny(tpm2.TPMCCECCParameters, "not an RSA operation"),
	deny(tpm2.TPMCCFirmwareRead, "firmware belongs to the administrator"),
	deny(tpm2.TPMCCGetTestResult, "tells about the machine, not about RSA keys"),
	deny(tpm2.TPMCCPCRRead, "PCRs tell how the machine booted"),
	deny(tpm2.TPMCCPolicyPCR, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCPolicyRestart, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCReadClock, "the clock and the count of resets identify the machine"),
	deny(tpm2.TPMCCPCRExtend, "would lock out all that is sealed to PCRs until the next boot"),
	deny(tpm2.TPMCCPCRSetAuthValue, "PCRs belong to the machine"),
	deny(tpm2.TPMCCNVCertify, "attestation"),
	deny(tpm2.TPMCCEventSequenceComplete, "would change PCRs"),
	deny(tpm2.TPMCCPolicyPhysicalPresence, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCPolicyDuplicationSelect, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCPolicyGetDigest, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCCommit, "not an RSA operation; changes a counter that all share"),
	deny(tpm2.TPMCCPolicyPassword, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCZGen2Phase, "not an RSA operation"),
	deny(tpm2.TPMCCECEphemeral, "not an RSA operation; changes a counter that all share"),
	deny(tpm2.TPMCCPolicyNvWritten, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCPolicyTemplate, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCCreateLoaded, "makes primaries and derived keys from a template that cannot be seen into"),
	deny(tpm2.TPMCCPolicyAuthorizeNV, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCEncryptDecrypt2, "not an RSA operation; would keep the chip busy"),
	deny(tpm2.TPMCCACGetCapability, "attached components belong to the machine"),
	deny(tpm2.TPMCCACSend, "would send an object out of the TPM"),
	deny(tpm2.TPMCCPolicyACSendSelect, "policy sessions are not needed for RSA keys"),
	deny(tpm2.TPMCCCertifyX509, "attestation"),
	deny(tpm2.TPMCCACTSetTimeout, "a timer that can reboot the machine"),
	deny(0x199, "not an RSA operation"),
	deny(0x19A, "not an RSA operation"),
	deny(0x19B, "policy sessions are not needed for RSA keys"),
	deny(0x19C, "policy sessions are not needed for RSA keys"),
	deny(0x19D, "NV memory is shared and wears out"),
	deny(0x19E, "the map of NV memory identifies the machine"),
	deny(0x19F, "configuration belongs to the administrator"),
	deny(0x1A0, "would make the TPM read-only for everybody"),
	deny(0x1A1, "policy sessions are not needed for RSA keys"),
}

func deny(code tpm2.TPMCC, reason string) row { return row{code: code, reason: reason} }

// String is the profile as a table to read, one command a paragraph, in the order of the codes.
func (f *Filter) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "profile %s\n", f.name)
	for _, shape := range wire.Shapes() {
		r := f.rows[shape.Code]
		if r == nil {
			continue
		}
		fmt.Fprintf(&b, "%s %s: %s\n", r.verdict, shape.Name, r.reason)
		for i, rule := range r.handles {
			fmt.Fprintf(&b, "    handle %d is %s\n", i+1, rule.text)
		}
		for _, condition := range r.conditions {
			fmt.Fprintf(&b, "    %s\n", condition.text)
		}
	}
	return b.String()
}
