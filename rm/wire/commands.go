package wire

import (
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// A Shape is what Part 3 says of a command's form, and what TPM2_GetCapability(TPM_CAP_COMMANDS) repeats.
type Shape struct {
	Code    tpm2.TPMCC
	Name    string // as Part 3 writes it
	Handles int    // in the handle area of the command, 0 to 3
	Auths   int    // how many of these, from the first on, must be authorized
	flags   flags
	params  []param // nil: the parameters are not read here; empty: there are none
}

type flags uint8

const (
	out        flags = 1 << iota // the response has a handle
	nv                           // may write to NV memory
	dec                          // the first parameter may be encrypted (it is a TPM2B)
	enc                          // the first parameter of the response may be encrypted
	noSessions                   // takes no sessions of any kind
	flushes                      // a success ends the object of the last handle
	nameOnly                     // only the name is known here
)

// HandleOut tells whether a successful response begins with a handle.
func (s *Shape) HandleOut() bool { return s.flags&out != 0 }

// WritesNV tells whether the command may write to NV memory.
func (s *Shape) WritesNV() bool { return s.flags&nv != 0 }

// MayDecrypt tells whether the first parameter of the command may be encrypted.
func (s *Shape) MayDecrypt() bool { return s.flags&dec != 0 }

// MayEncrypt tells whether the first parameter of the response may be encrypted.
func (s *Shape) MayEncrypt() bool { return s.flags&enc != 0 }

// NoSessions tells whether the command refuses every session.
func (s *Shape) NoSessions() bool { return s.flags&noSessions != 0 }

// Flushes tells whether a success ends the object of the last handle.
func (s *Shape) Flushes() bool { return s.flags&flushes != 0 }

// HandleCount is how many handles a command has; of an unknown shape, none.
func (s *Shape) HandleCount() int {
	if s == nil {
		return 0
	}
	return s.Handles
}

// NameOnly tells whether only the command's name is known here, and its form must be asked of the chip.
func (s *Shape) NameOnly() bool { return s.flags&nameOnly != 0 }

// ShapeFrom is what a TPMA_CC (Part 2, 8.9) tells of a command's form: its handles, not which of them are authorized or what may be encrypted, so all may
// be. The chip judges the parameters.
func ShapeFrom(attributes uint32) Shape {
	const flushed, rHandle, cHandles = 1 << 24, 1 << 28, 25
	handles := int(attributes >> cHandles & 7)
	s := Shape{Code: tpm2.TPMCC(attributes & CommandIndex), Name: fmt.Sprintf("command 0x%x", attributes&CommandIndex), Handles: handles, Auths: handles, flags: dec | enc}
	if attributes&flushed != 0 {
		s.flags |= flushes
	}
	if attributes&rHandle != 0 {
		s.flags |= out
	}
	return s
}

// CommandIndex is what is left of a TPMA_CC when only the command code is wanted: the index and the V bit.
const CommandIndex uint32 = 0x2000FFFF

// ShapeOf gives the shape of a command, nil for a code that has no row. Reserved bits and the V bit make a code unknown.
func ShapeOf(code tpm2.TPMCC) *Shape {
	if code < firstCode || int(code-firstCode) >= len(shapeByCode) {
		return nil
	}
	return shapeByCode[code-firstCode]
}

// Shapes gives every known command, in the order of the codes.
func Shapes() []Shape { return commands }

const firstCode = tpm2.TPMCCNVUndefineSpaceSpecial

var shapeByCode = func() (index [0x100]*Shape) {
	for i := range commands {
		index[commands[i].Code-firstCode] = &commands[i]
	}
	return index
}()

// commands has one row per command code of Part 2, 6.5.2, in their order. The counts and flags are checked against an
// emulator's TPM_CAP_COMMANDS.
var commands = []Shape{
	{Code: tpm2.TPMCCNVUndefineSpaceSpecial, Name: "TPM2_NV_UndefineSpaceSpecial", Handles: 2, Auths: 2, flags: nv},
	{Code: tpm2.TPMCCEvictControl, Name: "TPM2_EvictControl", Handles: 2, Auths: 1, flags: nv, params: []param{persistentHandle}},
	{Code: tpm2.TPMCCHierarchyControl, Name: "TPM2_HierarchyControl", Handles: 1, Auths: 1, flags: nv},
	{Code: tpm2.TPMCCNVUndefineSpace, Name: "TPM2_NV_UndefineSpace", Handles: 2, Auths: 1, flags: nv},
	{Code: tpm2.TPMCCChangeEPS, Name: "TPM2_ChangeEPS", Handles: 1, Auths: 1, flags: nv},
	{Code: tpm2.TPMCCChangePPS, Name: "TPM2_ChangePPS", Handles: 1, Auths: 1, flags: nv},
	{Code: tpm2.TPMCCClear, Name: "TPM2_Clear", Handles: 1, Auths: 1, flags: nv},
	{Code: tpm2.TPMCCClearControl, Name: "TPM2_ClearControl", Handles: 1, Auths: 1, flags: nv},
	{Code: tpm2.TPMCCClockSet, Name: "TPM2_ClockSet", Handles: 1, Auths: 1, flags: nv},
	{Code: tpm2.TPMCCHierarchyChanegAuth, Name: "TPM2_HierarchyChangeAuth", Handles: 1, Auths: 1, flags: nv | dec},
	{Code: tpm2.TPMCCNVDefineSpace, Name: "TPM2_NV_DefineSpace", Handles: 1, Auths: 1, flags: nv | dec},
	{Code: tpm2.TPMCCPCRAllocate, Name: "TPM2_PCR_Allocate", Handles: 1, Auths: 1, flags: nv},
	{Code: tpm2.TPMCCPCRSetAuthPolicy, Name: "TPM2_PCR_SetAuthPolicy", Handles: 1, Auths: 1, flags: nv | dec},
	{Code: tpm2.TPMCCPPCommands, Name: "TPM2_PP_Commands", Handles: 1, Auths: 1, flags: nv},
	{Code: tpm2.TPMCCSetPrimaryPolicy, Name: "TPM2_SetPrimaryPolicy", Handles: 1, Auths: 1, flags: nv | dec},
	{Code: tpm2.TPMCCFieldUpgradeStart, Name: "TPM2_FieldUpgradeStart", Handles: 2, Auths: 1, flags: dec},
	{Code: tpm2.TPMCCClockRateAdjust, Name: "TPM2_ClockRateAdjust", Handles: 1, Auths: 1},
	{Code: tpm2.TPMCCCreatePrimary, Name: "TPM2_CreatePrimary", Handles: 1, Auths: 1, flags: out | dec | enc, params: []param{sensitiveCreate, public, dataBuffer, pcrSelections}},
	{Code: tpm2.TPMCCNVGlobalWriteLock, Name: "TPM2_NV_GlobalWriteLock", Handles: 1, Auths: 1, flags: nv},
	{Code: tpm2.TPMCCGetCommandAuditDigest, Name: "TPM2_GetCommandAuditDigest", Handles: 2, Auths: 2, flags: nv | dec | enc},
	{Code: tpm2.TPMCCNVIncrement, Name: "TPM2_NV_Increment", Handles: 2, Auths: 1, flags: nv},
	{Code: tpm2.TPMCCNVSetBits, Name: "TPM2_NV_SetBits", Handles: 2, Auths: 1, flags: nv},
	{Code: tpm2.TPMCCNVExtend, Name: "TPM2_NV_Extend", Handles: 2, Auths: 1, flags: nv | dec},
	{Code: tpm2.TPMCCNVWrite, Name: "TPM2_NV_Write", Handles: 2, Auths: 1, flags: nv | dec},
	{Code: tpm2.TPMCCNVWriteLock, Name: "TPM2_NV_WriteLock", Handles: 2, Auths: 1, flags: nv},
	{Code: tpm2.TPMCCDictionaryAttackLockReset, Name: "TPM2_DictionaryAttackLockReset", Handles: 1, Auths: 1, flags: nv},
	{Code: tpm2.TPMCCDictionaryAttackParameters, Name: "TPM2_DictionaryAttackParameters", Handles: 1, Auths: 1, flags: nv},
	{Code: tpm2.TPMCCNVChangeAuth, Name: "TPM2_NV_ChangeAuth", Handles: 1, Auths: 1, flags: nv | dec},
	{Code: tpm2.TPMCCPCREvent, Name: "TPM2_PCR_Event", Handles: 1, Auths: 1, flags: nv | dec},
	{Code: tpm2.TPMCCPCRReset, Name: "TPM2_PCR_Reset", Handles: 1, Auths: 1, flags: nv},
	{Code: tpm2.TPMCCSequenceComplete, Name: "TPM2_SequenceComplete", Handles: 1, Auths: 1, flags: flushes | dec | enc, params: []param{buffer, hierarchy}},
	{Code: tpm2.TPMCCSetAlgorithmSet, Name: "TPM2_SetAlgorithmSet", Handles: 1, Auths: 1, flags: nv},
	{Code: tpm2.TPMCCSetCommandCodeAuditStatus, Name: "TPM2_SetCommandCodeAuditStatus", Handles: 1, Auths: 1, flags: nv},
	{Code: tpm2.TPMCCFieldUpgradeData, Name: "TPM2_FieldUpgradeData", Handles: 0, Auths: 0, flags: nv | dec},
	{Code: tpm2.TPMCCIncrementalSelfTest, Name: "TPM2_IncrementalSelfTest", Handles: 0, Auths: 0, flags: nv},
	{Code: tpm2.TPMCCSelfTest, Name: "TPM2_SelfTest", Handles: 0, Auths: 0, flags: nv},
	{Code: tpm2.TPMCCStartup, Name: "TPM2_Startup", Handles: 0, Auths: 0, flags: nv | noSessions},
	{Code: tpm2.TPMCCShutdown, Name: "TPM2_Shutdown", Handles: 0, Auths: 0, flags: nv},
	{Code: tpm2.TPMCCStirRandom, Name: "TPM2_StirRandom", Handles: 0, Auths: 0, flags: nv | dec},
	{Code: tpm2.TPMCCActivateCredential, Name: "TPM2_ActivateCredential", Handles: 2, Auths: 2, flags: dec | enc},
	{Code: tpm2.TPMCCCertify, Name: "TPM2_Certify", Handles: 2, Auths: 2, flags: dec | enc, params: []param{qualifyingData, signScheme}},
	{Code: tpm2.TPMCCPolicyNV, Name: "TPM2_PolicyNV", Handles: 3, Auths: 1, flags: dec},
	{Code: tpm2.TPMCCCertifyCreation, Name: "TPM2_CertifyCreation", Handles: 2, Auths: 1, flags: dec | enc, params: []param{qualifyingData, creationHash, signScheme, creationTicket}},
	{Code: tpm2.TPMCCDuplicate, Name: "TPM2_Duplicate", Handles: 2, Auths: 1, flags: dec | enc, params: []param{encryptionKeyIn, symmetricAlg}},
	{Code: tpm2.TPMCCGetTime, Name: "TPM2_GetTime", Handles: 2, Auths: 2, flags: dec | enc},
	{Code: tpm2.TPMCCGetSessionAuditDigest, Name: "TPM2_GetSessionAuditDigest", Handles: 3, Auths: 2, flags: dec | enc},
	{Code: tpm2.TPMCCNVRead, Name: "TPM2_NV_Read", Handles: 2, Auths: 1, flags: enc},
	{Code: tpm2.TPMCCNVReadLock, Name: "TPM2_NV_ReadLock", Handles: 2, Auths: 1, flags: nv},
	{Code: tpm2.TPMCCObjectChangeAuth, Name: "TPM2_ObjectChangeAuth", Handles: 2, Auths: 1, flags: dec | enc, params: []param{authValue}},
	{Code: tpm2.TPMCCPolicySecret, Name: "TPM2_PolicySecret", Handles: 2, Auths: 1, flags: dec | enc},
	{Code: tpm2.TPMCCRewrap, Name: "TPM2_Rewrap", Handles: 2, Auths: 1, flags: dec | enc, params: []param{inDuplicate, name, inSymSeed}},
	{Code: tpm2.TPMCCCreate, Name: "TPM2_Create", Handles: 1, Auths: 1, flags: dec | enc, params: []param{sensitiveCreate, public, dataBuffer, pcrSelections}},
	{Code: tpm2.TPMCCECDHZGen, Name: "TPM2_ECDH_ZGen", Handles: 1, Auths: 1, flags: dec | enc, params: []param{inPoint}},
	{Code: tpm2.TPMCCMAC, Name: "TPM2_MAC", Handles: 1, Auths: 1, flags: dec | enc},
	{Code: tpm2.TPMCCImport, Name: "TPM2_Import", Handles: 1, Auths: 1, flags: dec | enc, params: []param{encryptionKey, objectPublic, duplicate, inSymSeed, symmetricAlg}},
	{Code: tpm2.TPMCCLoad, Name: "TPM2_Load", Handles: 1, Auths: 1, flags: out | dec | enc, params: []param{privateBlob, public}},
	{Code: tpm2.TPMCCQuote, Name: "TPM2_Quote", Handles: 1, Auths: 1, flags: dec | enc, params: []param{qualifyingData, signScheme, pcrSelect}},
	{Code: tpm2.TPMCCRSADecrypt, Name: "TPM2_RSA_Decrypt", Handles: 1, Auths: 1, flags: dec | enc, params: []param{rsaText, decryptScheme, label}},
	{Code: tpm2.TPMCCMACStart, Name: "TPM2_MAC_Start", Handles: 1, Auths: 1, flags: out | dec},
	{Code: tpm2.TPMCCSequenceUpdate, Name: "TPM2_SequenceUpdate", Handles: 1, Auths: 1, flags: dec, params: []param{buffer}},
	{Code: tpm2.TPMCCSign, Name: "TPM2_Sign", Handles: 1, Auths: 1, flags: dec, params: []param{digest, signScheme, hashcheckTicket}},
	{Code: tpm2.TPMCCUnseal, Name: "TPM2_Unseal", Handles: 1, Auths: 1, flags: enc, params: []param{}},
	{Code: tpm2.TPMCCPolicySigned, Name: "TPM2_PolicySigned", Handles: 2, Auths: 0, flags: dec | enc},
	{Code: tpm2.TPMCCContextLoad, Name: "TPM2_ContextLoad", Handles: 0, Auths: 0, flags: out | noSessions, params: []param{savedContext}},
	{Code: tpm2.TPMCCContextSave, Name: "TPM2_ContextSave", Handles: 1, Auths: 0, flags: noSessions, params: []param{}},
	{Code: tpm2.TPMCCECDHKeyGen, Name: "TPM2_ECDH_KeyGen", Handles: 1, Auths: 0, flags: enc, params: []param{}},
	{Code: tpm2.TPMCCEncryptDecrypt, Name: "TPM2_EncryptDecrypt", Handles: 1, Auths: 1, flags: enc},
	{Code: tpm2.TPMCCFlushContext, Name: "TPM2_FlushContext", Handles: 0, Auths: 0, flags: noSessions, params: []param{flushHandle}},
	{Code: tpm2.TPMCCLoadExternal, Name: "TPM2_LoadExternal", Handles: 0, Auths: 0, flags: out | dec | enc, params: []param{sensitive, public, hierarchy}},
	{Code: tpm2.TPMCCMakeCredential, Name: "TPM2_MakeCredential", Handles: 1, Auths: 0, flags: dec | enc},
	{Code: tpm2.TPMCCNVReadPublic, Name: "TPM2_NV_ReadPublic", Handles: 1, Auths: 0, flags: enc},
	{Code: tpm2.TPMCCPolicyAuthorize, Name: "TPM2_PolicyAuthorize", Handles: 1, Auths: 0, flags: dec},
	{Code: tpm2.TPMCCPolicyAuthValue, Name: "TPM2_PolicyAuthValue", Handles: 1, Auths: 0, params: []param{}},
	{Code: tpm2.TPMCCPolicyCommandCode, Name: "TPM2_PolicyCommandCode", Handles: 1, Auths: 0, params: []param{policyCode}},
	{Code: tpm2.TPMCCPolicyCounterTimer, Name: "TPM2_PolicyCounterTimer", Handles: 1, Auths: 0, flags: dec},
	{Code: tpm2.TPMCCPolicyCpHash, Name: "TPM2_PolicyCpHash", Handles: 1, Auths: 0, flags: dec},
	{Code: tpm2.TPMCCPolicyLocality, Name: "TPM2_PolicyLocality", Handles: 1, Auths: 0},
	{Code: tpm2.TPMCCPolicyNameHash, Name: "TPM2_PolicyNameHash", Handles: 1, Auths: 0, flags: dec},
	{Code: tpm2.TPMCCPolicyOR, Name: "TPM2_PolicyOR", Handles: 1, Auths: 0, params: []param{pHashList}},
	{Code: tpm2.TPMCCPolicyTicket, Name: "TPM2_PolicyTicket", Handles: 1, Auths: 0, flags: dec},
	{Code: tpm2.TPMCCReadPublic, Name: "TPM2_ReadPublic", Handles: 1, Auths: 0, flags: enc, params: []param{}},
	{Code: tpm2.TPMCCRSAEncrypt, Name: "TPM2_RSA_Encrypt", Handles: 1, Auths: 0, flags: dec | enc, params: []param{rsaText, decryptScheme, label}},
	{Code: tpm2.TPMCCStartAuthSession, Name: "TPM2_StartAuthSession", Handles: 2, Auths: 0, flags: out | dec | enc, params: []param{nonce, encryptedSalt, sessionType, symmetric, authHash}},
	{Code: tpm2.TPMCCVerifySignature, Name: "TPM2_VerifySignature", Handles: 1, Auths: 0, flags: dec},
	{Code: tpm2.TPMCCECCParameters, Name: "TPM2_ECC_Parameters", Handles: 0, Auths: 0},
	{Code: tpm2.TPMCCFirmwareRead, Name: "TPM2_FirmwareRead", Handles: 0, Auths: 0, flags: enc},
	{Code: tpm2.TPMCCGetCapability, Name: "TPM2_GetCapability", Handles: 0, Auths: 0, params: []param{capability, property, propertyCount}},
	{Code: tpm2.TPMCCGetRandom, Name: "TPM2_GetRandom", Handles: 0, Auths: 0, flags: enc, params: []param{bytesRequested}},
	{Code: tpm2.TPMCCGetTestResult, Name: "TPM2_GetTestResult", Handles: 0, Auths: 0, flags: enc},
	{Code: tpm2.TPMCCHash, Name: "TPM2_Hash", Handles: 0, Auths: 0, flags: dec | enc, params: []param{hashData, hashAlg, hierarchy}},
	{Code: tpm2.TPMCCPCRRead, Name: "TPM2_PCR_Read", Handles: 0, Auths: 0, params: []param{pcrSelectionIn}},
	{Code: tpm2.TPMCCPolicyPCR, Name: "TPM2_PolicyPCR", Handles: 1, Auths: 0, flags: dec},
	{Code: tpm2.TPMCCPolicyRestart, Name: "TPM2_PolicyRestart", Handles: 1, Auths: 0, params: []param{}},
	{Code: tpm2.TPMCCReadClock, Name: "TPM2_ReadClock", Handles: 0, Auths: 0},
	{Code: tpm2.TPMCCPCRExtend, Name: "TPM2_PCR_Extend", Handles: 1, Auths: 1, flags: nv, params: []param{digestValues}},
	{Code: tpm2.TPMCCPCRSetAuthValue, Name: "TPM2_PCR_SetAuthValue", Handles: 1, Auths: 1, flags: dec},
	{Code: tpm2.TPMCCNVCertify, Name: "TPM2_NV_Certify", Handles: 3, Auths: 2, flags: dec | enc},
	{Code: tpm2.TPMCCEventSequenceComplete, Name: "TPM2_EventSequenceComplete", Handles: 2, Auths: 2, flags: nv | flushes | dec},
	{Code: tpm2.TPMCCHashSequenceStart, Name: "TPM2_HashSequenceStart", Handles: 0, Auths: 0, flags: out | dec, params: []param{sequenceAuth, hashAlg}},
	{Code: tpm2.TPMCCPolicyPhysicalPresence, Name: "TPM2_PolicyPhysicalPresence", Handles: 1, Auths: 0},
	{Code: tpm2.TPMCCPolicyDuplicationSelect, Name: "TPM2_PolicyDuplicationSelect", Handles: 1, Auths: 0, flags: dec, params: []param{objectName, newParentName, includeObject}},
	{Code: tpm2.TPMCCPolicyGetDigest, Name: "TPM2_PolicyGetDigest", Handles: 1, Auths: 0, flags: enc, params: []param{}},
	{Code: tpm2.TPMCCTestParms, Name: "TPM2_TestParms", Handles: 0, Auths: 0, params: []param{publicParms}},
	{Code: tpm2.TPMCCCommit, Name: "TPM2_Commit", Handles: 1, Auths: 1, flags: dec | enc},
	{Code: tpm2.TPMCCPolicyPassword, Name: "TPM2_PolicyPassword", Handles: 1, Auths: 0, params: []param{}},
	{Code: tpm2.TPMCCZGen2Phase, Name: "TPM2_ZGen_2Phase", Handles: 1, Auths: 1, flags: dec | enc},
	{Code: tpm2.TPMCCECEphemeral, Name: "TPM2_EC_Ephemeral", Handles: 0, Auths: 0, flags: enc},
	{Code: tpm2.TPMCCPolicyNvWritten, Name: "TPM2_PolicyNvWritten", Handles: 1, Auths: 0},
	{Code: tpm2.TPMCCPolicyTemplate, Name: "TPM2_PolicyTemplate", Handles: 1, Auths: 0, flags: dec},
	{Code: tpm2.TPMCCCreateLoaded, Name: "TPM2_CreateLoaded", Handles: 1, Auths: 1, flags: out | dec | enc, params: []param{sensitiveCreate, template}},
	{Code: tpm2.TPMCCPolicyAuthorizeNV, Name: "TPM2_PolicyAuthorizeNV", Handles: 3, Auths: 1},
	{Code: tpm2.TPMCCEncryptDecrypt2, Name: "TPM2_EncryptDecrypt2", Handles: 1, Auths: 1, flags: dec | enc},
	{Code: tpm2.TPMCCACGetCapability, Name: "TPM2_AC_GetCapability", Handles: 1, Auths: 0},
	{Code: tpm2.TPMCCACSend, Name: "TPM2_AC_Send", Handles: 3, Auths: 2, flags: dec},
	{Code: tpm2.TPMCCPolicyACSendSelect, Name: "TPM2_Policy_AC_SendSelect", Handles: 1, Auths: 0, flags: dec},
	{Code: tpm2.TPMCCCertifyX509, Name: "TPM2_CertifyX509", Handles: 2, Auths: 2, flags: dec | enc},
	{Code: tpm2.TPMCCACTSetTimeout, Name: "TPM2_ACT_SetTimeout", Handles: 1, Auths: 1},

	// Codes that came with revision 1.83, and that no emulator has yet.
	{Code: 0x199, Name: "TPM2_ECC_Encrypt", flags: nameOnly},
	{Code: 0x19A, Name: "TPM2_ECC_Decrypt", flags: nameOnly},
	{Code: 0x19B, Name: "TPM2_PolicyCapability", flags: nameOnly},
	{Code: 0x19C, Name: "TPM2_PolicyParameters", flags: nameOnly},
	{Code: 0x19D, Name: "TPM2_NV_DefineSpace2", flags: nameOnly},
	{Code: 0x19E, Name: "TPM2_NV_ReadPublic2", flags: nameOnly},
	{Code: 0x19F, Name: "TPM2_SetCapability", flags: nameOnly},
	{Code: 0x1A0, Name: "TPM2_ReadOnlyControl", flags: nameOnly},
	{Code: 0x1A1, Name: "TPM2_PolicyTransportSPDM", flags: nameOnly},
}
