profile rsa+import from rsa: RSA keys, also such as were made elsewhere
allow TPM2_Import: bring an RSA key to the chip
    handle 1 is own storage parent or srk
    objectPublic is an rsa key from outside
