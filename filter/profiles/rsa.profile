profile rsa: create, load and use RSA keys, harm nobody
deny TPM2_NV_UndefineSpaceSpecial: NV memory is shared and wears out
deny TPM2_EvictControl: would fill or empty the few persistent slots, the storage root key's among them
deny TPM2_HierarchyControl: would disable whole hierarchies
deny TPM2_NV_UndefineSpace: would delete other programs' NV data
deny TPM2_ChangeEPS: would destroy the attestation identity
deny TPM2_ChangePPS: would destroy the platform hierarchy
deny TPM2_Clear: would destroy every other user's keys
deny TPM2_ClearControl: decides whether the TPM can be cleared
deny TPM2_ClockSet: would move the clock forward for ever
deny TPM2_HierarchyChangeAuth: would take the machine from its administrator
deny TPM2_NV_DefineSpace: NV memory is shared and wears out
deny TPM2_PCR_Allocate: would break measured boot
deny TPM2_PCR_SetAuthPolicy: PCRs belong to the machine
deny TPM2_PP_Commands: the platform belongs to the firmware
deny TPM2_SetPrimaryPolicy: would open a back door to a hierarchy
deny TPM2_FieldUpgradeStart: firmware belongs to the administrator
deny TPM2_ClockRateAdjust: the clock belongs to the machine
allow TPM2_CreatePrimary: parents for RSA keys
    handle 1 is owner or null
    inPublic is a standard storage parent
    creationPCR is empty
    outsideInfo is at most 64 bytes
deny TPM2_NV_GlobalWriteLock: would lock NV memory until the next boot
deny TPM2_GetCommandAuditDigest: attestation
deny TPM2_NV_Increment: NV memory is shared and wears out
deny TPM2_NV_SetBits: NV memory is shared and wears out
deny TPM2_NV_Extend: NV memory is shared and wears out
deny TPM2_NV_Write: NV memory is shared and wears out
deny TPM2_NV_WriteLock: would lock other programs' NV data
deny TPM2_DictionaryAttackLockReset: would undo, or lock for hours, the protection of PINs against guessing
deny TPM2_DictionaryAttackParameters: would weaken the protection of PINs against guessing
deny TPM2_NV_ChangeAuth: NV memory is shared
deny TPM2_PCR_Event: would change PCRs, and lock out all that is sealed to them
deny TPM2_PCR_Reset: would forge or break measurements
answer TPM2_SequenceComplete: hashing, in software
    handle 1 is own hash sequence
    authorization is a password
deny TPM2_SetAlgorithmSet: configuration belongs to the administrator
deny TPM2_SetCommandCodeAuditStatus: audit belongs to the administrator
deny TPM2_FieldUpgradeData: firmware belongs to the administrator
deny TPM2_IncrementalSelfTest: would keep the chip busy
deny TPM2_SelfTest: would keep the chip busy for seconds
deny TPM2_Startup: the kernel starts the chip
deny TPM2_Shutdown: the kernel stops the chip
deny TPM2_StirRandom: adds nothing to safety
deny TPM2_ActivateCredential: attestation
deny TPM2_Certify: attestation
deny TPM2_PolicyNV: policy sessions are not needed for RSA keys
deny TPM2_CertifyCreation: attestation
deny TPM2_Duplicate: would export a key
deny TPM2_GetTime: a signed clock identifies the machine
deny TPM2_GetSessionAuditDigest: attestation
deny TPM2_NV_Read: NV data identifies the machine and belongs to others
deny TPM2_NV_ReadLock: would lock other programs' NV data until the next boot
allow TPM2_ObjectChangeAuth: change the PIN of one's own key
    handle 1 is own rsa key without adminWithPolicy
    handle 2 is own storage parent or srk
deny TPM2_PolicySecret: one wrong guess here can lock the whole chip's lockout auth
deny TPM2_Rewrap: would move keys between parents
allow TPM2_Create: new RSA keys
    handle 1 is own storage parent or srk
    inPublic is a new rsa key that cannot leave
    creationPCR is empty
    outsideInfo is at most 64 bytes
deny TPM2_ECDH_ZGen: not an RSA operation
deny TPM2_MAC: not an RSA operation
deny TPM2_Import: keys are made in the chip, not brought to it
allow TPM2_Load: load RSA keys
    handle 1 is own storage parent or srk
    inPublic is an unrestricted rsa key
deny TPM2_Quote: attestation; signs the state of the boot
allow TPM2_RSA_Decrypt: decrypt, and the raw RSA operation
    handle 1 is own rsa key that decrypts
    inScheme is oaep, rsaes or null
    label is empty or nul-terminated
deny TPM2_MAC_Start: not an RSA operation
answer TPM2_SequenceUpdate: hashing, in software
    handle 1 is own hash sequence
    authorization is a password
allow TPM2_Sign: sign
    handle 1 is own rsa key that signs
    inScheme is rsassa, rsapss or null
    validation is a hashcheck ticket
deny TPM2_Unseal: would open secrets whose only lock is the state of the boot
deny TPM2_PolicySigned: policy sessions are not needed for RSA keys
answer TPM2_ContextLoad: what the manager itself has saved for the same user
answer TPM2_ContextSave: programs that keep their keys in files from one command to the next
    handle 1 is own object
deny TPM2_ECDH_KeyGen: not an RSA operation
deny TPM2_EncryptDecrypt: not an RSA operation; would keep the chip busy
allow TPM2_FlushContext: give back one's own objects and sessions
deny TPM2_LoadExternal: public keys can be used in software
deny TPM2_MakeCredential: attestation
deny TPM2_NV_ReadPublic: the map of NV memory identifies the machine
deny TPM2_PolicyAuthorize: policy sessions are not needed for RSA keys
deny TPM2_PolicyAuthValue: policy sessions are not needed for RSA keys
deny TPM2_PolicyCommandCode: policy sessions are not needed for RSA keys
deny TPM2_PolicyCounterTimer: policy sessions are not needed for RSA keys
deny TPM2_PolicyCpHash: policy sessions are not needed for RSA keys
deny TPM2_PolicyLocality: policy sessions are not needed for RSA keys
deny TPM2_PolicyNameHash: policy sessions are not needed for RSA keys
deny TPM2_PolicyOR: policy sessions are not needed for RSA keys
deny TPM2_PolicyTicket: policy sessions are not needed for RSA keys
allow TPM2_ReadPublic: read public keys
    handle 1 is own key or srk
allow TPM2_RSA_Encrypt: a public operation with one's own key
    handle 1 is own rsa key that decrypts
    inScheme is oaep, rsaes or null
    label is empty or nul-terminated
allow TPM2_StartAuthSession: sessions that keep PINs off the bus
    handle 1 is own storage parent, srk or null
    handle 2 is null
    sessionType is hmac
    symmetric is null or aes-cfb
    authHash is sha256, sha384, sha512, sha3-256, sha3-384 or sha3-512
    nonceCaller is 16 to 64 bytes
deny TPM2_VerifySignature: signatures can be verified in software
deny TPM2_ECC_Parameters: not an RSA operation
deny TPM2_FirmwareRead: firmware belongs to the administrator
allow TPM2_GetCapability: what the caller's TPM can do
    authorization is none
    capability is algs, handles, commands, tpm-properties or ecc-curves
allow TPM2_GetRandom: random bytes
    bytesRequested is at most 64
deny TPM2_GetTestResult: tells about the machine, not about RSA keys
answer TPM2_Hash: hashing, in software
    authorization is none
deny TPM2_PCR_Read: PCRs tell how the machine booted
deny TPM2_PolicyPCR: policy sessions are not needed for RSA keys
deny TPM2_PolicyRestart: policy sessions are not needed for RSA keys
deny TPM2_ReadClock: the clock and the count of resets identify the machine
deny TPM2_PCR_Extend: would lock out all that is sealed to PCRs until the next boot
deny TPM2_PCR_SetAuthValue: PCRs belong to the machine
deny TPM2_NV_Certify: attestation
deny TPM2_EventSequenceComplete: would change PCRs
answer TPM2_HashSequenceStart: hashing, in software
    authorization is none
deny TPM2_PolicyPhysicalPresence: policy sessions are not needed for RSA keys
deny TPM2_PolicyDuplicationSelect: policy sessions are not needed for RSA keys
deny TPM2_PolicyGetDigest: policy sessions are not needed for RSA keys
allow TPM2_TestParms: which RSA key sizes exist
    parameters is rsa
deny TPM2_Commit: not an RSA operation; changes a counter that all share
deny TPM2_PolicyPassword: policy sessions are not needed for RSA keys
deny TPM2_ZGen_2Phase: not an RSA operation
deny TPM2_EC_Ephemeral: not an RSA operation; changes a counter that all share
deny TPM2_PolicyNvWritten: policy sessions are not needed for RSA keys
deny TPM2_PolicyTemplate: policy sessions are not needed for RSA keys
deny TPM2_CreateLoaded: makes primaries and derived keys from a template that cannot be seen into
deny TPM2_PolicyAuthorizeNV: policy sessions are not needed for RSA keys
deny TPM2_EncryptDecrypt2: not an RSA operation; would keep the chip busy
deny TPM2_AC_GetCapability: attached components belong to the machine
deny TPM2_AC_Send: would send an object out of the TPM
deny TPM2_Policy_AC_SendSelect: policy sessions are not needed for RSA keys
deny TPM2_CertifyX509: attestation
deny TPM2_ACT_SetTimeout: a timer that can reboot the machine
deny TPM2_ECC_Encrypt: not an RSA operation
deny TPM2_ECC_Decrypt: not an RSA operation
deny TPM2_PolicyCapability: policy sessions are not needed for RSA keys
deny TPM2_PolicyParameters: policy sessions are not needed for RSA keys
deny TPM2_NV_DefineSpace2: NV memory is shared and wears out
deny TPM2_NV_ReadPublic2: the map of NV memory identifies the machine
deny TPM2_SetCapability: configuration belongs to the administrator
deny TPM2_ReadOnlyControl: would make the TPM read-only for everybody
deny TPM2_PolicyTransportSPDM: policy sessions are not needed for RSA keys
