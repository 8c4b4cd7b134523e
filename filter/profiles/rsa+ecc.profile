profile rsa+ecc from rsa: RSA keys, and elliptic curve keys that sign and agree
allow TPM2_ObjectChangeAuth: change the PIN of one's own key
    handle 1 is own rsa key without adminWithPolicy or own ecc key without adminWithPolicy
    handle 2 is own storage parent or srk
allow TPM2_Create: new RSA and ECC keys
    handle 1 is own storage parent or srk
    inPublic is a new rsa key that cannot leave or a new ecc key that cannot leave
    outsideInfo is at most 64 bytes
    creationPCR is empty
allow TPM2_ECDH_ZGen: agree on a secret
    handle 1 is own ecc key that agrees
allow TPM2_Load: load RSA and ECC keys
    handle 1 is own storage parent or srk
    inPublic is an unrestricted rsa key or an unrestricted ecc key
allow TPM2_Sign: sign
    handle 1 is own rsa key that signs or own ecc key that signs
    inScheme is rsassa, rsapss, ecdsa or null
    validation is a hashcheck ticket
allow TPM2_TestParms: which key sizes and curves exist
    parameters is rsa or ecc
