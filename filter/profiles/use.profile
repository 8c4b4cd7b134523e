profile use from rsa: load and use RSA keys, make none
deny TPM2_ObjectChangeAuth: keys are used here, not changed
deny TPM2_Create: keys are used here, not made
deny TPM2_TestParms: serves only who makes keys
