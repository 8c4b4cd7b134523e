profile migrate from rsa: move RSA keys that were made for it from one TPM to another
allow TPM2_Create: new RSA keys, also such as their policy lets leave
    handle 1 is own storage parent or srk
    inPublic is a new rsa key that cannot leave or a new rsa key that can be duplicated
    outsideInfo is at most 64 bytes
    creationPCR is empty
allow TPM2_Duplicate: export a key to another parent
    caller is root
    handle 1 is own rsa key
    handle 2 is own object
allow TPM2_Rewrap: move an exported key to another parent
    caller is root
    handle 1 is own storage parent, srk or null
    handle 2 is own object
allow TPM2_Import: bring an exported RSA key to the chip
    caller is root
    handle 1 is own storage parent or srk
    objectPublic is an unrestricted rsa key
allow TPM2_LoadExternal: the public part of the other TPM's parent
    caller is root
    inPrivate is empty
allow TPM2_PolicyAuthValue: a policy that asks for the key's PIN
    handle 1 is own session
allow TPM2_PolicyCommandCode: a policy for TPM2_Duplicate alone
    handle 1 is own session
allow TPM2_PolicyOR: a policy with more than one way
    handle 1 is own session
allow TPM2_StartAuthSession: sessions that keep PINs off the bus, and policies
    handle 1 is own storage parent, srk or null
    handle 2 is null
    nonceCaller is 16 to 64 bytes
    sessionType is hmac or policy
    symmetric is null or aes-cfb
    authHash is sha256, sha384, sha512, sha3-256, sha3-384 or sha3-512
allow TPM2_PolicyDuplicationSelect: a policy for one new parent
    handle 1 is own session
allow TPM2_PolicyPassword: a policy that asks for the key's PIN
    handle 1 is own session
