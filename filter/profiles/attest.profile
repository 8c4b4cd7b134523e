profile attest from rsa: RSA keys, and proof by an attestation key that the chip made them
allow TPM2_Certify: prove that a key is in this chip
    handle 1 is own rsa key
    handle 2 is own attestation key or 0x81010002
    qualifyingData is at most 64 bytes
    inScheme is rsassa, rsapss, ecdsa or null
allow TPM2_CertifyCreation: prove how this chip made a key
    handle 1 is own attestation key or 0x81010002
    handle 2 is own rsa key
    qualifyingData is at most 64 bytes
    inScheme is rsassa, rsapss, ecdsa or null
allow TPM2_ObjectChangeAuth: change the PIN of one's own key
    handle 1 is own rsa key without adminWithPolicy or own attestation key
    handle 2 is own storage parent or srk
allow TPM2_Create: new RSA keys, and keys that attest them
    handle 1 is own storage parent or srk
    inPublic is a new rsa key that cannot leave or a new attestation key
    outsideInfo is at most 64 bytes
    creationPCR is empty
allow TPM2_Load: load RSA keys, and keys that attest them
    handle 1 is own storage parent or srk
    inPublic is an unrestricted rsa key or an attestation key
allow TPM2_ReadPublic: read public keys
    handle 1 is own key, srk or 0x81010002
