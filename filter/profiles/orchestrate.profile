profile orchestrate from rsa: RSA keys, and the state of the boot, for programs that start others
allow TPM2_Quote: prove the state of the boot
    handle 1 is 0x81010002
    qualifyingData is at most 64 bytes
    inScheme is rsassa, rsapss, ecdsa or null
allow TPM2_ReadPublic: read public keys
    handle 1 is own key, srk or 0x81010002
allow TPM2_GetCapability: what the caller's TPM can do, and its PCR banks
    authorization is none
    capability is algs, handles, commands, pcrs, tpm-properties, pcr-properties or ecc-curves
allow TPM2_PCR_Read: the state of the boot
allow TPM2_PCR_Extend: measure what is started
    handle 1 is a pcr
