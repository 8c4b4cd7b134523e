profile tss from rsa: what tpm2-pkcs11 needs for RSA and elliptic curve keys
allow TPM2_EvictControl: the storage root key, which root may keep in the chip for the tokens of all
    caller is root
    handle 1 is owner
    handle 2 is own storage parent
    persistentHandle is srk
allow TPM2_ObjectChangeAuth: change the PIN of one's own key or token
    handle 1 is own rsa key without adminWithPolicy, own ecc key without adminWithPolicy or own sealed secret
    handle 2 is own storage parent or srk
allow TPM2_Create: new RSA and ECC keys, and secrets that open tokens
    handle 1 is own storage parent or srk
    inPublic is a new rsa key that cannot leave, a new ecc key that cannot leave or a new sealed secret
    outsideInfo is at most 64 bytes
    creationPCR is empty
allow TPM2_ECDH_ZGen: agree on a secret
    handle 1 is own ecc key that agrees
allow TPM2_Load: load RSA and ECC keys, and secrets that open tokens
    handle 1 is own storage parent or srk
    inPublic is an unrestricted rsa key, an unrestricted ecc key or a sealed secret without a policy
allow TPM2_Sign: sign
    handle 1 is own rsa key that signs or own ecc key that signs
    inScheme is rsassa, rsapss, ecdsa or null
    validation is a hashcheck ticket
allow TPM2_Unseal: open one's own token
    handle 1 is own sealed secret
allow TPM2_LoadExternal: read new public keys
    inPrivate is empty
    inPublic is an unrestricted rsa key or an unrestricted ecc key
    hierarchy is null
allow TPM2_StartAuthSession: sessions that keep PINs off the bus, also such as are bound to the parent
    handle 1 is own storage parent, srk or null
    handle 2 is own storage parent, srk or null
    nonceCaller is 16 to 64 bytes
    sessionType is hmac
    symmetric is null or aes-cfb
    authHash is sha256, sha384, sha512, sha3-256, sha3-384 or sha3-512
allow TPM2_TestParms: which key sizes and curves exist
    parameters is rsa or ecc
allow TPM2_CreateLoaded: new RSA and ECC keys, in one step
    handle 1 is own storage parent or srk
    inPublic is a new rsa key that cannot leave or a new ecc key that cannot leave
