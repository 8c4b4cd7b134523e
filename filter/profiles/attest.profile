profile attest from rsa: RSA keys, and proof by an attestation key that the chip made them
allow TPM2_Certify: prove that a key is in this chip
    handle 1 is own rsa key
    handle 2 is 0x81010002
    qualifyingData is at most 64 bytes
    inScheme is rsassa, rsapss, ecdsa or null
allow TPM2_CertifyCreation: prove how this chip made a key
    handle 1 is 0x81010002
    handle 2 is own rsa key
    qualifyingData is at most 64 bytes
    inScheme is rsassa, rsapss, ecdsa or null
allow TPM2_ReadPublic: read public keys
    handle 1 is own key, srk or 0x81010002
